from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from typer.testing import CliRunner

from metis_rise.bench import command, measure
from metis_rise.bench.cases import Case, Workbench, cases
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.update import update_arms
from metis_rise.cli import app

CASE = Case(image_tokens=16, completion_tokens=12, group_size=3, prompts=2)
# The likeliest token has all the probability then, though completions of a group are still drawn one by one.
ALL_BUT_GREEDY = 1e-4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bench(folder: Path) -> Workbench:
    return Workbench.load(folder)


def count_patches(module: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The list that will hold the patches of each pass through the vision tower `module`."""
    seen: list[int] = []
    whole = module.forward
    monkeypatch.setattr(module, "forward", lambda pixels, *a, **k: seen.append(len(pixels)) or whole(pixels, *a, **k))
    return seen


def test_rollout_arms_draw_the_same_tokens(bench: Workbench):
    tokens = {name: arm() for name, arm in rollout_arms(bench, CASE, ALL_BUT_GREEDY).items()}
    assert list(tokens) == ["ours", "generate", "num_return_sequences"]
    for name, drawn in tokens.items():
        assert drawn.shape == (6, 12), name
        assert torch.equal(drawn, tokens["ours"]), name
    assert not torch.equal(tokens["ours"][0], tokens["ours"][3]), "prompts must differ for this to mean anything"


def test_rollout_arms_sample_full_length_completions_that_differ(folder: Path, monkeypatch: pytest.MonkeyPatch):
    eager = Workbench.load(folder)
    ends = torch.tensor(eager.policy.eos_ids)
    with torch.no_grad():
        for model in (eager.policy.model, eager.plain):
            model.lm_head.weight[ends] *= 6
    for name, arm in rollout_arms(eager, CASE).items():
        drawn = arm()
        assert drawn.shape == (6, 12), name
        assert not torch.isin(drawn, torch.tensor(eager.policy.banned_ids)).any(), name
        assert len(set(map(tuple, drawn.tolist()))) == 6, name
    monkeypatch.setattr(eager.policy, "banned_ids", (5,))
    drawn = rollout_arms(eager, CASE)["generate"]()
    assert torch.isin(drawn, ends).any(), "without the ban completions must end for this test to mean anything"


def test_update_arms_have_the_same_loss_and_gradients(bench: Workbench):
    ours, repeated = (arm() for arm in update_arms(bench, CASE).values())
    torch.testing.assert_close(ours, repeated)
    theirs = dict(bench.plain.named_parameters())
    trained = dict(bench.policy.named_trainable())
    assert trained.keys() == {name for name, value in theirs.items() if value.grad is not None}
    for name, value in trained.items():
        assert value.grad is not None
        assert (value.grad - theirs[name].grad).norm() <= 1e-4 * theirs[name].grad.norm(), name
    assert max(float(value.grad.norm()) for value in trained.values()) > 1e-3, "gradients must be there"


def test_every_round_does_the_whole_work(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    """What the policy remembers of pictures must not make a later round cheaper; gradients must not add up."""
    seen = count_patches(bench.policy.core.visual, monkeypatch)
    patches = CASE.prompts * CASE.image_tokens * 4
    for make in (rollout_arms, update_arms):
        arm = make(bench, CASE)["ours"]
        for _ in range(2):
            seen.clear()
            arm()
            assert seen == [patches], make.__name__
    for arm, model in zip(update_arms(bench, CASE).values(), (bench.policy.model, bench.plain), strict=True):
        arm()
        once = model.lm_head.weight.grad.clone()
        arm()
        torch.testing.assert_close(model.lm_head.weight.grad, once)


def test_peers_repeat_what_they_are_said_to(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    seen = count_patches(bench.plain.model.visual, monkeypatch)
    patches = CASE.prompts * CASE.image_tokens * 4
    arms = {**rollout_arms(bench, CASE), **update_arms(bench, CASE)}
    passes = {}
    for name in ("generate", "num_return_sequences", "repeated"):
        seen.clear()
        arms[name]()
        passes[name] = sum(seen)
    assert passes == {"generate": 3 * patches, "num_return_sequences": patches, "repeated": 3 * patches}


def test_ratios_are_taken_within_rounds_and_over_one_where_we_are_faster(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]
    runs: list[str] = []
    seconds = {"ours": 1.0, "peer": 2.0, "other": 0.5}

    def arm(name: str) -> torch.Tensor:
        turn = runs.count(name)
        runs.append(name)
        # The first call is slow, the machine is three times slower in round 2, the peer has a bad moment in round 3.
        slow = {0: 100, 2: 3}.get(turn, 1) * (2 if (name, turn) == ("peer", 3) else 1)
        clock[0] += seconds[name] * slow
        return torch.zeros(())

    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    ratios = measure.interleaved_ratios({name: partial(arm, name) for name in seconds}, 3, lambda: None)
    assert ratios == {"peer": [2.0, 2.0, 4.0], "other": [0.5, 0.5, 0.5]}
    assert measure.summary(ratios) == {
        "ratio": {"peer": 2.0, "other": 0.5},
        "spread": {"peer": [2.0, 4.0], "other": [0.5, 0.5]},
    }
    rounds = [runs[start : start + 3] for start in range(0, 12, 3)]
    assert all(set(names) == set(seconds) for names in rounds), "every arm runs in every round"
    assert {names[0] for names in rounds[1:]} == set(seconds), "another arm begins each round"


@pytest.mark.parametrize(
    ("kind", "peers"), [("rollout", {"generate", "num_return_sequences"}), ("update", {"repeated"})]
)
def test_command_prints_the_contract(kind: str, peers: set[str], folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = command.measure
    monkeypatch.setattr(
        command, "measure", lambda kind, cases, memory: real(kind, [CASE], memory=memory, rounds=2, spec=folder)
    )
    done = CliRunner().invoke(app, ["bench", kind, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result.keys() == {"environment", "rows"}
    assert {"torch", "transformers", "threads", "cores", "load_before"} <= result["environment"].keys()
    (row,) = result["rows"]
    assert row.keys() == {"case", "ratio", "spread", "memory_mb"}
    assert row["case"] == {"image_tokens": 16, "completion_tokens": 12, "group_size": 3, "prompts": 2}
    assert row["ratio"].keys() == row["spread"].keys() == peers
    for peer, (least, greatest) in row["spread"].items():
        assert 0 < least <= row["ratio"][peer] <= greatest
    assert row["memory_mb"] == {}
    shown = CliRunner().invoke(app, ["bench", kind]).stdout
    assert all(peer in shown for peer in peers) and "2 x 3" in shown


def test_cases_are_those_of_the_docs():
    small, full = cases("small"), cases("full")
    assert [(c.image_tokens, c.completion_tokens) for c in small] == [(16, 32), (16, 64), (64, 32), (64, 64)]
    assert full[:4] == small and {c.image_tokens for c in full[4:]} == {256}
    assert {(c.group_size, c.prompts) for c in full} == {(8, 4)}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
def test_memory_is_what_the_arm_needs_not_what_loading_took(folder: Path):
    small = measure.peak_memory_mb("update", "repeated", Case(16, 8, 2, 1), folder)
    large = measure.peak_memory_mb("update", "repeated", Case(64, 64, 8, 2), folder)
    assert 0 < small < large
    assert large > 50
