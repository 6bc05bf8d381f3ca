"""A policy that two processes share is the policy of one: gradients, updates, checkpoints, exports, samples."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import shares
import tiny
import torch
from naive import naive_logprobs, short_rows
from ranks import Ranks
from safetensors.torch import load_file

from metis_rise.errors import InputError
from metis_rise.policy.checkpoint_folders import fault
from metis_rise.policy.forward import completion_logprobs
from metis_rise.policy.lora import merged_state
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.agreement import Work, combine
from metis_rise.policy.writing import saved_names
from metis_rise.recipe import LoraConfig

LORA = {"lora": LoraConfig(rank=4, alpha=8.0)}
TRAINED_TOWER = {"freeze_vision": False, "gradient_checkpointing": True}

# Rows of rank 0 (the others are rank 1's) and token budget: both have pictures and several passes; rank 1 has text
# alone; rank 0 has nothing; a group is split on rank 0 alone, and on rank 1 alone; rank 1 has nothing, rank 0 a split.
CASES = [(4, 100), (6, None), (0, None), (4, 70), (0, 70), (9, 65)]


@pytest.mark.parametrize(
    ("family", "mode", "settings"),
    [
        ("qwen2_5_vl", {}, {}),
        ("qwen2_5_vl", {}, LORA),
        ("qwen2_5_vl", {"offload": True}, {"gradient_checkpointing": True}),
        ("qwen2_5_vl", {"shard": "none"}, TRAINED_TOWER),
        ("qwen3_vl", {}, TRAINED_TOWER),
    ],
)
def test_gradients_are_those_of_one_process(
    pair: Ranks, folder: Path, folder3: Path, family: str, mode: dict[str, Any], settings: dict[str, Any]
) -> None:
    model = folder if family == "qwen2_5_vl" else folder3
    for errors in pair.do(shares.gradient_error, model, CASES, mode, settings):
        assert max(errors) < 1e-5, dict(zip(CASES, errors, strict=True))


def test_log_probabilities_without_gradient(pair: Ranks, folder: Path) -> None:
    assert max(pair.do(shares.logprobs, folder, 4, 70)) < 1e-4
    assert max(pair.do(shares.logprobs, folder, 0, 70)) < 1e-4


def test_autocast_keeps_float32_parts_and_gathers_bfloat16(pair: Ranks, folder: Path) -> None:
    for found in pair.do(shares.precisions, folder):
        assert found == ({"torch.float32"}, {"torch.bfloat16"}, {"torch.float32"})


@pytest.mark.parametrize(
    "settings", [{}, LORA, {"dtype": "bfloat16"}, TRAINED_TOWER], ids=["full", "lora", "bfloat16", "tower"]
)
def test_updates_and_checkpoints(
    pair: Ranks, trio: Ranks, folder: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Two processes train as one does, and what either saved is taken up by one, two or three."""
    two, one = tmp_path / "two", tmp_path / "one"
    norms, again = pair.do(shares.trained, folder, two, settings)
    assert norms == again
    expected = shares.trained_alone(folder, one, settings)
    # Another order of sums is another last bit, which bfloat16 weights round up or down.
    close = {"rtol": 2e-2} if "dtype" in settings else {"rtol": 1e-4}
    torch.testing.assert_close(norms, expected, atol=0, **close)
    assert sorted(path.name for path in two.iterdir()) == sorted(
        ["COMPLETE", "model", "optimizer", "state.json", *(["adapters.safetensors"] if "lora" in settings else [])]
    )
    assert {path.suffix for path in (two / "optimizer").iterdir()} == {".safetensors"}
    assert fault(two) == fault(one) == ""

    for later, state, version in pair.do(shares.resumed, folder, two, settings):
        assert (later, state, version) == (norms[2:], {"rank": 0}, 2)
    torch.testing.assert_close(shares.resumed_alone(folder, two, settings), norms[2:], atol=0, **close)
    for later, _, version in trio.do(shares.resumed, folder, two, settings):
        torch.testing.assert_close(later, norms[2:], atol=0, **close)
        assert version == 2
    for later, _, _ in pair.do(shares.resumed, folder, one, settings):
        torch.testing.assert_close(later, expected[2:], atol=0, **close)


def test_a_checkpoint_of_other_parameters_is_refused(pair: Ranks, folder: Path, tmp_path: Path) -> None:
    pair.do(shares.trained, folder, tmp_path / "two", TRAINED_TOWER)
    with pytest.raises(InputError, match=r"optimizer state of model\.visual\..*, which is not trained here"):
        shares.resumed_alone(folder, tmp_path / "two", {})


@pytest.mark.parametrize("settings", [{}, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_export_is_what_one_process_saves(
    pair: Ranks, folder: Path, folder3: Path, family: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    source = folder if family == "qwen2_5_vl" else folder3
    alone = Policy.load(source, **settings)
    shares.speak(alone)
    alone.save(tmp_path / "one")
    pair.do(shares.saved, source, tmp_path / "two", settings)
    assert shares.configs(tmp_path / "two") == shares.configs(tmp_path / "one")
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}
    assert "Metis-RISE" in (tmp_path / "two" / "README.md").read_text()
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-7, rtol=0)
    if "lora" in settings:
        assert shares.configs(tmp_path / "two" / "adapter") == shares.configs(tmp_path / "one" / "adapter")
        expected, found = (load_file(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("one", "two"))
        assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)

    plain, report = type(alone.model).from_pretrained(tmp_path / "two", output_loading_info=True)
    assert not any(report.values())
    rows = short_rows(alone)
    said = completion_logprobs(alone, rows).values.detach()
    alone.model = plain.eval()
    torch.testing.assert_close(naive_logprobs(alone, rows)[0].detach(), said, atol=2e-5, rtol=0)


@pytest.mark.parametrize("settings", [{}, LORA], ids=["full", "lora"])
def test_servers_get_the_weights_of_one_process(pair: Ranks, folder: Path, settings: dict[str, Any]) -> None:
    alone = Policy.load(folder, **settings)
    shares.speak(alone)
    found, _ = pair.do(shares.served, folder, settings)
    expected = Policy.load(folder)
    expected.model.load_state_dict(merged_state(alone.model, torch.float32) if settings else alone.model.state_dict())
    wanted = dict(expected.model.named_parameters())
    assert list(found) == list(wanted)
    for name, value in found.items():
        torch.testing.assert_close(value, wanted[name].detach(), atol=1e-7, rtol=0)


def test_a_large_model_is_saved_in_several_files_and_read_from_them(pair: Ranks, folder: Path, tmp_path: Path) -> None:
    pair.do(shares.saved, folder, tmp_path / "cut", {}, 300_000)
    assert len(list((tmp_path / "cut").glob("model-*-of-*.safetensors"))) > 5
    expected = Policy.load(folder).model.state_dict()
    for name, value in Policy.load(tmp_path / "cut").model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert max(max(errors) for errors in pair.do(shares.gradient_error, tmp_path / "cut", [(4, None)], {}, {})) < 1e-5


def test_tied_embeddings(pair: Ranks, folder: Path, tmp_path: Path) -> None:
    base = Policy.load(folder)
    base.model.lm_head.weight = base.model.get_input_embeddings().weight
    base.model.config.tie_word_embeddings = base.model.config.text_config.tie_word_embeddings = True
    base.save(tmp_path / "tied")
    errors = pair.do(shares.gradient_error, tmp_path / "tied", [(6, None), (4, 70)], {}, {})
    assert max(map(max, errors)) < 1e-5
    pair.do(shares.saved, tmp_path / "tied", tmp_path / "again", {})
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("tied", "again"))
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("settings", [{}, LORA], ids=["full", "lora"])
def test_each_process_samples_by_itself(pair: Ranks, folder: Path, settings: dict[str, Any]) -> None:
    alone = Policy.load(folder, **settings)
    before = shares.draw(alone, 2)
    shares.train(0, alone, shares.start(alone), (0,), 9)
    expected = [before, shares.draw(alone, 2)]
    one, two = pair.do(shares.sampled, folder, settings)
    assert two == expected
    assert one == [drawn[:1] for drawn in expected]


def test_loading_takes_no_more_memory_than_the_own_part(pair: Ranks, tmp_path: Path) -> None:
    large = tiny.write_folder(tmp_path / "large", dtype=torch.bfloat16, text={"intermediate_size": 150_000})
    whole = (large / "model.safetensors").stat().st_size
    assert whole > 550e6
    for grown, parts in pair.do(shares.growth, large, "bfloat16"):
        assert 0.45 * whole < parts < 0.55 * whole
        assert grown < parts + 150e6


def test_what_cannot_be_is_said(pair: Ranks, folder: Path, tmp_path: Path) -> None:
    for said in pair.do(shares.error_of, folder, {"shard": "hybrid", "shard_size": 3}):
        assert said.startswith("parallel.shard_size = 3: 2 processes cannot share copies of 3 each")
    for said in pair.do(shares.error_of, shares.without_a_tensor(folder, tmp_path / "lacking"), {}):
        assert "the weights lack 1 tensor(s), the first is model.language_model.norm.weight" in said


@pytest.mark.parametrize(
    ("name", "size", "ranks"), [("Qwen2.5-VL-7B", 8, range(8)), ("Qwen2.5-VL-72B", 64, (0, 31, 63))]
)
def test_the_parts_of_published_models_add_up(name: str, size: int, ranks: Sequence[int]) -> None:
    """On the meta device, without memory for any weight."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        total, sizes = pool.apply(shares.part_sizes, (name, size, ranks))
    assert total == {"Qwen2.5-VL-7B": 8_292_166_656, "Qwen2.5-VL-72B": 73_410_777_344}[name]
    assert sum(sizes) == total if len(ranks) == size else set(sizes) == {total // size}


def test_work_that_all_can_do() -> None:
    works = [Work(1, 0, (), 5), Work(0, 2, (4, 2), 1), Work(3, 1, (2,), 2)]
    # The first one does all its five rows in the place of the six pieces; the third has four places.
    assert combine(works) == Work(3, 2, (4, 2), 1)
    assert combine([Work(0, 0, (), 9), Work(0, 0, (4, 2), 0)]) == Work(0, 0, (4, 2), 3)
    assert combine([Work(), Work()]) == Work()


def test_names_in_files_are_those_of_transformers(folder: Path) -> None:
    policy = Policy.load(folder)
    names = saved_names(policy.model, dict(policy.model.named_parameters()))
    assert names.keys() == dict(policy.model.named_parameters()).keys()
    assert set(names.values()) == load_file(folder / "model.safetensors").keys()
