from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import tiny
import torch
from naive import short_rows
from safetensors.torch import load_file
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.adapter_folder import base_name
from metis_rise.policy.checkpoint import load_training, load_weights, save_training
from metis_rise.policy.forward import Row, completion_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.recipe import LoraConfig

LORA = LoraConfig(rank=4, alpha=8.0)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("one"))


def adapted(folder: Path, lora: LoraConfig = LORA, moved: bool = True, **settings: object) -> Policy:
    """A policy whose adapters say something."""
    policy = Policy.load(folder, lora=lora, **settings)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(3)
    for name, value in policy.named_trainable():
        if moved and "lora_B" in name:
            value.data = 0.02 * torch.randn(value.shape, generator=generator)
    return policy


@torch.no_grad()
def scores(policy: Policy) -> Tensor:
    return completion_logprobs(policy, short_rows(policy)).values


def train(policy: Policy, optimizer: Optimizer, steps: int) -> list[float]:
    """Steps on completions drawn from torch's generator: they go on exactly only if its state does."""
    prompt = policy.encode(tiny.message("How many?", 1), [tiny.picture(1)])
    norms = []
    for _ in range(steps):
        drawn = [(prompt, torch.randint(8, 300, (6,))) for _ in range(2)]
        (-completion_logprobs(policy, drawn).values.mean()).backward()
        norms.append(optimizer.step(1e-2))
    return norms


def test_new_adapters_change_nothing(folder: Path) -> None:
    assert torch.equal(scores(adapted(folder, moved=False)), scores(Policy.load(folder)))


def test_adapters_off_is_the_base(folder: Path) -> None:
    policy, base = adapted(folder), scores(Policy.load(folder))
    with_adapters = scores(policy)
    assert float((with_adapters - base).abs().max()) > 0.01
    with policy.without_adapters():
        assert torch.equal(scores(policy), base)
    assert torch.equal(scores(policy), with_adapters)
    assert {name.split(".")[-3] for name, _ in policy.named_trainable()} == {"lora_A", "lora_B"}


def test_adapters_come_back_after_an_error(one: Path) -> None:
    policy = adapted(one)
    before = scores(policy)
    with pytest.raises(ZeroDivisionError), policy.without_adapters():
        raise ZeroDivisionError
    assert torch.equal(scores(policy), before)


def test_a_policy_without_adapters_has_none_to_switch_off(one: Path) -> None:
    with pytest.raises(ValueError, match="no adapters"):
        Policy.load(one).without_adapters()


def test_a_reference_in_between_leaves_the_gradient(one: Path) -> None:
    """The KL penalty asks the reference between the forward and the backward pass of the policy."""

    def gradients(ask: Callable[[Policy], None]) -> list[Tensor]:
        policy = adapted(one)
        with policy.updating():
            values = completion_logprobs(policy, short_rows(policy)).values
            ask(policy)
            values.sum().backward()
        return [value.grad for _, value in policy.named_trainable() if value.grad is not None]

    def reference(policy: Policy) -> None:
        with policy.without_adapters():
            scores(policy)

    plain, between = gradients(lambda policy: None), gradients(reference)
    assert len(plain) == len(between) == 2 * 7 * 5
    assert all(map(torch.equal, plain, between))


def naive(model: Any, row: Row) -> Tensor:
    """Log-probabilities of one row from a full forward of transformers."""
    return naive_logits(model, row).log_softmax(-1).gather(-1, row[1][:, None])[:, 0]


@torch.no_grad()
def naive_logits(model: Any, row: Row) -> Tensor:
    """The logits of the completion of one row, likewise."""
    prompt, completion = row
    kinds = torch.cat([prompt.mm_token_type_ids, torch.zeros_like(completion)])[None]
    pictures = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw} if prompt.key else {}
    ids = torch.cat([prompt.input_ids, completion])[None]
    model.model.rope_deltas = None
    return model(input_ids=ids, mm_token_type_ids=kinds, **pictures).logits[0, len(prompt) - 1 : -1]


def test_the_saved_folder_is_a_plain_model_that_says_the_same(folder: Path, tmp_path: Path) -> None:
    policy = adapted(folder)
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    expected = scores(policy)
    policy.save(tmp_path / "merged")
    assert all(torch.equal(before[name], value) for name, value in policy.model.state_dict().items())
    assert before.keys() == policy.model.state_dict().keys()

    kind = type(policy.model)
    model, report = kind.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not any(report.values())
    assert {p.name for p in folder.iterdir()} <= {p.name for p in (tmp_path / "merged").iterdir()}
    values = [naive(model.eval(), row) for row in short_rows(policy)]
    torch.testing.assert_close(torch.cat(values), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(scores(Policy.load(tmp_path / "merged")), expected, atol=1e-5, rtol=0)


def test_peft_puts_the_saved_adapters_onto_the_base(folder: Path, tmp_path: Path) -> None:
    """By plain transformers and peft, every logit as the merged model has it; the tower gets no adapters."""
    policy = adapted(folder, LoraConfig(rank=4, alpha=6.0, targets=("q_proj", "gate_proj", "down_proj")))
    policy.save(tmp_path / "saved")
    kind = type(policy.model)
    merged, base = kind.from_pretrained(tmp_path / "saved").eval(), kind.from_pretrained(folder).eval()
    row = short_rows(policy)[0]
    before = naive_logits(base, row)
    with warnings.catch_warnings():
        # It warns of adapters that the folder lacks, and of those that the model has no place for.
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", FutureWarning)
        model = peft.PeftModel.from_pretrained(base, str(tmp_path / "saved" / "adapter")).get_base_model()
    expected = naive_logits(merged, row)
    assert float((expected - before).abs().max()) > 0.01
    torch.testing.assert_close(naive_logits(model, row), expected, atol=1e-5, rtol=0)

    settings = json.loads((tmp_path / "saved" / "adapter" / "adapter_config.json").read_text())
    assert (settings["base_model_name_or_path"], settings["r"], settings["lora_alpha"]) == (str(folder), 4, 6.0)
    assert len(load_file(tmp_path / "saved" / "adapter" / "adapter_model.safetensors")) == 2 * 3 * 5
    assert sum(".lora_" in name for name in model.state_dict()) == 2 * 3 * 5


def test_adapters_name_a_hub_model_by_its_id(tmp_path: Path) -> None:
    assert base_name("Qwen/Qwen2.5-VL-7B-Instruct", tmp_path) == "Qwen/Qwen2.5-VL-7B-Instruct"
    assert base_name(str(tmp_path), tmp_path) == str(tmp_path)
    assert base_name("tiny", tmp_path) == str(tmp_path)


def test_a_model_without_adapters_is_saved_without_their_folder(one: Path, tmp_path: Path) -> None:
    Policy.load(one).save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "adapter").exists()


def test_merging_into_another_type_rounds_once(one: Path, tmp_path: Path) -> None:
    policy = adapted(one)
    policy.save(tmp_path / "whole")
    policy.save(tmp_path / "half", dtype="bfloat16")
    whole, half = (Policy.load(tmp_path / name).model.state_dict() for name in ("whole", "half"))
    assert all(torch.equal(half[name], value.bfloat16().float()) for name, value in whole.items())
    assert json.loads((tmp_path / "half" / "config.json").read_text())["dtype"] == "bfloat16"


def test_tied_weights_stay_tied(one: Path, tmp_path: Path) -> None:
    base, tied = Policy.load(one), tmp_path / "tied"
    base.model.lm_head.weight = base.model.get_input_embeddings().weight
    base.model.config.tie_word_embeddings = base.model.config.text_config.tie_word_embeddings = True
    base.save(tied)
    assert "lm_head.weight" not in load_file(tied / "model.safetensors")

    policy = adapted(tied)
    expected = scores(policy)
    policy.save(tmp_path / "merged")
    assert "lm_head.weight" not in load_file(tmp_path / "merged" / "model.safetensors")
    again = Policy.load(tmp_path / "merged")
    assert again.model.lm_head.weight is again.model.get_input_embeddings().weight
    torch.testing.assert_close(scores(again), expected, atol=1e-5, rtol=0)


def test_only_adapters_learn(folder: Path) -> None:
    policy = adapted(folder, moved=False)
    before = {name: value.detach().clone() for name, value in policy.model.named_parameters()}
    norms = train(policy, Optimizer(policy, weight_decay=0.1), 2)
    assert min(norms) > 0
    moved = {name for name, value in policy.model.named_parameters() if not torch.equal(value.detach(), before[name])}
    assert moved == {name for name, _ in policy.named_trainable()}
    assert all(".language_model.layers." in name and ".lora_" in name for name in moved)
    assert len(moved) == 2 * 7 * 5


def test_targets_rank_and_alpha(one: Path) -> None:
    policy = adapted(one, LoraConfig(rank=3, alpha=6.0, targets=("q_proj", "down_proj")))
    shapes = {name.split(".layers.")[1]: tuple(value.shape) for name, value in policy.named_trainable()}
    assert shapes["0.self_attn.q_proj.lora_A.default.weight"] == (3, 128)
    assert shapes["4.mlp.down_proj.lora_B.default.weight"] == (128, 3)
    assert len(shapes) == 2 * 2 * 5
    half, whole = (scores(adapted(one, LoraConfig(rank=4, alpha=alpha))) for alpha in (1.0, 2.0))
    assert not torch.equal(half, whole)


def test_adapters_start_alike_whatever_the_generator_says_and_leave_it_alone(one: Path) -> None:
    torch.manual_seed(1)
    first = dict(adapted(one, moved=False).named_trainable())
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = dict(adapted(one, moved=False).named_trainable())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    downs = [value.detach() for name, value in first.items() if "q_proj.lora_A" in name]
    assert not torch.equal(downs[0], downs[1])
    assert 0.9 / 128**0.5 < float(downs[0].abs().max()) <= 1 / 128**0.5


def test_adapters_are_float32_on_bfloat16_weights(one: Path, tmp_path: Path) -> None:
    policy = adapted(one, dtype="bfloat16", moved=False)
    assert {value.dtype for _, value in policy.named_trainable()} == {torch.float32}
    assert policy.dtype == torch.bfloat16
    train(policy, Optimizer(policy), 1)
    assert any(value.any() for name, value in policy.named_trainable() if "lora_B" in name)
    policy.save(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "bfloat16"


def test_resume_is_bit_identical(folder: Path, tmp_path: Path) -> None:
    def start() -> tuple[Policy, Optimizer]:
        policy = Policy.load(folder, lora=LORA)
        return policy, Optimizer(policy, weight_decay=0.01)

    torch.manual_seed(5)
    policy, optimizer = start()
    whole = train(policy, optimizer, 4)

    torch.manual_seed(5)
    first, first_optimizer = start()
    head = train(first, first_optimizer, 2)
    save_training(tmp_path / "checkpoint-2", first, first_optimizer, {"cursor": 7})
    torch.manual_seed(99)
    second, second_optimizer = start()
    assert load_training(tmp_path / "checkpoint-2", second, second_optimizer) == {"cursor": 7}
    assert head + train(second, second_optimizer, 2) == whole
    for (name, expected), (_, got) in zip(
        policy.model.named_parameters(), second.model.named_parameters(), strict=True
    ):
        assert torch.equal(got, expected), name

    plain = Policy.load(tmp_path / "checkpoint-2" / "model")
    load_weights(tmp_path / "checkpoint-2", second)
    torch.testing.assert_close(scores(plain), scores(second), atol=1e-5, rtol=0)


def test_weights_come_back_from_checkpoints_of_the_same_settings_only(one: Path, tmp_path: Path) -> None:
    policy, plain = adapted(one), Policy.load(one)
    save_training(tmp_path / "checkpoint-1", policy, Optimizer(policy), {})
    save_training(tmp_path / "checkpoint-2", plain, Optimizer(plain), {})
    with pytest.raises(InputError, match=r"checkpoint-1: made with model\.lora"):
        load_weights(tmp_path / "checkpoint-1", plain)
    with pytest.raises(InputError, match=r"checkpoint-2/adapters\.safetensors: the adapters cannot be read"):
        load_weights(tmp_path / "checkpoint-2", policy)
    with pytest.raises(InputError, match=r'adapters\.safetensors: made with .*"alpha":8\.0.* says .*"alpha":9\.0'):
        load_weights(tmp_path / "checkpoint-1", adapted(one, LoraConfig(rank=4, alpha=9.0)))
    with pytest.raises(ValueError, match="cannot be told"):
        policy.load_weights(tmp_path / "checkpoint-1" / "model")


def test_a_trained_tower_is_refused(one: Path) -> None:
    with pytest.raises(InputError, match="freeze_vision must be true"):
        Policy.load(one, lora=LORA, freeze_vision=False)


def test_a_missing_peft_is_told_before_weights_load(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    monkeypatch.setattr("metis_rise.policy.model.load_model", lambda *args: 1 / 0)
    with pytest.raises(InputError, match=r"pip install 'metis-rise\[lora\]'"):
        Policy.load(one, lora=LORA)
