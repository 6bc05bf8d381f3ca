from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import torch
from heavier_layers import heavier
from rich.console import Console
from typer.testing import CliRunner

from metis_rise.bench import command, measure
from metis_rise.bench.cases import Case, Fresh, rollout_cases, sft_cases, step_cases, update_cases
from metis_rise.bench.model import Sizes
from metis_rise.bench.options import Options
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.setup import Setup
from metis_rise.bench.table import table
from metis_rise.bench.workbench import Workbench
from metis_rise.cli import app
from metis_rise.errors import InputError

CASE = Case(image_tokens=16, completion_tokens=12, group_size=3, prompts=2)
SMALL = Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64)
PATCHES = 16 * 4
# The likeliest token has all the probability then, though completions of a group are still drawn one by one.
ALL_BUT_GREEDY = 1e-5


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bench() -> Workbench:
    # A random model with tied embeddings repeats its last token, whatever it sees, unless its layers weigh more.
    return heavier(Workbench.study(SMALL), 8)


def test_rollout_arms_draw_the_same_tokens(bench: Workbench):
    tokens = {name: arm() for name, arm in rollout_arms(bench, CASE, ALL_BUT_GREEDY).items()}
    assert list(tokens) == ["ours", "generate", "num_return_sequences"]
    for name, drawn in tokens.items():
        assert drawn.shape == (6, 12), name
        assert torch.equal(drawn, tokens["ours"]), name
    assert not torch.equal(tokens["ours"][0], tokens["ours"][3]), "prompts must differ for this to mean anything"


def test_rollout_arms_sample_full_length_completions_that_differ(monkeypatch: pytest.MonkeyPatch):
    eager = Workbench.study(SMALL)
    ends = torch.tensor(eager.policy.eos_ids)
    with torch.no_grad():
        for model in (eager.policy.model, eager.plain):
            model.lm_head.weight[ends] *= 40
    for name, arm in rollout_arms(eager, CASE).items():
        drawn = arm()
        assert drawn.shape == (6, 12), name
        assert not torch.isin(drawn, torch.tensor(eager.policy.banned_ids)).any(), name
        assert len(set(map(tuple, drawn.tolist()))) == 6, name
    monkeypatch.setattr(eager.policy, "banned_ids", (5,))
    drawn = rollout_arms(eager, CASE)["generate"]()
    assert torch.isin(drawn, ends).any(), "without the ban completions must end for this test to mean anything"


def test_every_rollout_encodes_new_pictures(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    """Ours encodes each picture once, `generate` each copy; equal rounds of two arms have equal pictures."""
    seen: dict[str, list[set[float]]] = {}
    copies = {"ours": 1, "generate": 3, "num_return_sequences": 1}
    for name, arm in rollout_arms(bench, CASE).items():
        visual = (bench.policy.core if name == "ours" else bench.plain.model).visual
        whole, pixels = visual.forward, []
        with monkeypatch.context() as patched:
            patched.setattr(
                visual, "forward", lambda p, *a, whole=whole, to=pixels, **k: to.append(p) or whole(p, *a, **k)
            )
            for _ in range(2):
                arm()
        assert [len(each) for each in pixels] == [copies[name] * CASE.prompts * PATCHES] * 2, name
        assert not torch.equal(*pixels), name
        seen[name] = [set(each.view(-1, PATCHES, each.shape[-1]).sum((1, 2)).tolist()) for each in pixels]
    assert len(seen["ours"][0] | seen["ours"][1]) == 2 * CASE.prompts
    assert seen["ours"] == seen["generate"] == seen["num_return_sequences"]


def test_fresh_input_is_made_outside_the_measured_time(monkeypatch: pytest.MonkeyPatch):
    clock = [0.0]

    def spend(seconds: float) -> torch.Tensor:
        clock[0] += seconds
        return torch.zeros(())

    made: list[int] = []
    arm = Fresh(lambda turn: spend(100.0) if made.append(turn) is None else None, lambda _: spend(2.0))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: clock[0])
    assert measure.interleaved_seconds({"ours": arm}, 3, lambda: None) == {"ours": [2.0, 2.0, 2.0]}
    assert made == [0, 1, 2, 3]
    arm()
    assert made == [0, 1, 2, 3, 4]


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
    found = measure.interleaved_seconds({name: partial(arm, name) for name in seconds}, 3, lambda: None)
    assert found == {"ours": [1.0, 3.0, 1.0], "peer": [2.0, 6.0, 4.0], "other": [0.5, 1.5, 0.5]}
    assert measure.summary(found) == {
        "ratio": {"peer": 2.0, "other": 0.5},
        "spread": {"peer": [2.0, 4.0], "other": [0.5, 0.5]},
        "seconds": {"ours": 1.0, "peer": 4.0, "other": 0.5},
    }
    rounds = [runs[start : start + 3] for start in range(0, 12, 3)]
    assert all(set(names) == set(seconds) for names in rounds), "every arm runs in every round"
    assert {names[0] for names in rounds[1:]} == set(seconds), "another arm begins each round"


PEERS = {
    "rollout": {"generate", "num_return_sequences"},
    "update": {"repeated", "padding_free"},
    "sft": {"repeated", "padding_free"},
    "step": {"trl"},
}


Asked = list[tuple[Setup, list[Case], bool]]
ROW = {
    "case": CASE.named(),
    "ratio": {"repeated": 4.567},
    "spread": {"repeated": [3.21, 5.43]},
    "seconds": {"ours": 1.2345, "repeated": 5.6},
    "memory_mb": {"ours": 123.4, "repeated": 987.6},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the command was asked to measure; nothing is."""
    calls: Asked = []

    def measured(setup: Setup, chosen: list[Case], *, memory: bool):
        calls.append((setup, chosen, memory))
        return {"environment": {"threads": setup.threads}, "rows": [ROW]}

    monkeypatch.setattr(command, "measure", measured)
    return calls


@pytest.mark.parametrize("kind", PEERS)
def test_command_prints_the_contract(kind: str, monkeypatch: pytest.MonkeyPatch):
    real = command.measure
    case = replace(CASE, prompts=1) if kind == "step" else CASE
    monkeypatch.setattr(
        command,
        "measure",
        lambda setup, _, memory: real(replace(setup, sizes=SMALL), [case], memory=False, rounds=2),
    )
    done = CliRunner().invoke(app, ["bench", kind, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result.keys() == {"environment", "rows"}
    assert {"torch", "transformers", "threads", "cores", "load_before", "attention"} <= result["environment"].keys()
    (row,) = result["rows"]
    assert row.keys() == {"case", "ratio", "spread", "seconds", "memory_mb"}
    assert row["case"] == {"image_tokens": 16, "completion_tokens": 12, "group_size": 3, "prompts": case.prompts}
    assert row["ratio"].keys() == row["spread"].keys() == PEERS[kind]
    assert row["seconds"].keys() == PEERS[kind] | {"ours"}
    for peer, (least, greatest) in row["spread"].items():
        assert 0 < least <= row["ratio"][peer] <= greatest
    assert row["memory_mb"] == {}
    shown = CliRunner().invoke(app, ["bench", kind]).stdout
    assert all(peer in shown for peer in PEERS[kind]) and f"{case.prompts} x 3" in shown and "MB" not in shown


def test_table_shows_memory_where_it_was_measured():
    console = Console(width=100, record=True, file=StringIO())
    console.print(table("update", [ROW]))
    shown = console.export_text()
    for part in ("4.57x", "3.21-5.43", "1.234 s", "123 MB", "988 MB", "2 x 3"):
        assert part in shown, part


def test_options_reach_the_measurement(asked: Asked):
    for line in (
        "rollout",
        "rollout --memory --threads 2",
        "update",
        "update --all --no-memory",
        "update --ragged --against trl",
        "sft --ragged",
        "step",
    ):
        done = CliRunner().invoke(app, ["bench", *line.split(), "--json"])
        assert done.exit_code == 0, done.output
    assert asked == [
        (Setup("rollout"), rollout_cases(), False),
        (Setup("rollout", threads=2), rollout_cases(), True),
        (Setup("update"), update_cases(everything=False, ragged=False), True),
        (Setup("update"), update_cases(everything=True, ragged=False), False),
        (Setup("update", trl=True), update_cases(everything=False, ragged=True), True),
        (Setup("sft"), sft_cases(ragged=True), True),
        (Setup("step", trl=True), step_cases(), False),
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for_whatever_torch_had(threads: int):
    torch.set_num_threads(3 - threads)
    Setup("update", threads=threads, sizes=SMALL).workbench()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("rollout --all", "update"),
        ("sft --all", "update"),
        ("rollout --ragged", "update and sft"),
        ("rollout --against trl", "update and sft"),
        ("step --against trl", "update and sft"),
        ("update --against vllm", "rollout"),
        ("update --vllm-python x", "rollout"),
    ],
)
def test_an_option_of_another_measurement_is_refused(line: str, others: str, asked: Asked):
    done = CliRunner().invoke(app, ["bench", *line.split()])
    assert done.exit_code == 2 and asked == []
    name = " ".join(line.split()[1:]).removesuffix(" x")
    assert f"{name} is an option of rise bench {others}, not of {line.split()[0]}" in done.stderr


def test_memory_is_refused_where_it_cannot_be_measured(asked: Asked, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measure.sys, "platform", "darwin")
    for line in ("update", "sft", "rollout --memory"):
        done = CliRunner().invoke(app, ["bench", *line.split()])
        assert done.exit_code == 2 and "--no-memory" in done.stderr and asked == []
    with pytest.raises(InputError):
        measure.check_memory()
    command.run("update", Options(memory=False), as_json=True)
    assert len(asked) == 1


def test_cases_are_those_of_the_docs():
    rollout, step = rollout_cases(), step_cases()
    assert [(c.image_tokens, c.completion_tokens) for c in rollout] == [(64, 64), (256, 64), (1024, 64), (256, 256)]
    assert {(c.prompts, c.group_size) for c in rollout} == {(2, 8)}
    assert [(c.image_tokens, c.completion_tokens) for c in step] == [(256, 64), (1024, 64), (256, 256)]
    assert {(c.prompts, c.group_size) for c in step} == {(1, 8)}
    goals = update_cases(everything=False, ragged=False)
    sizes = [(c.image_tokens, c.completion_tokens) for c in goals]
    assert sizes == [(64, 64), (256, 64), (256, 256), (1024, 64), (1024, 256)]
    assert {(c.group_size, c.prompts, c.ragged) for c in goals} == {(8, 1, False)}
    everything = update_cases(everything=True, ragged=True)
    assert len(set(everything)) == 12 and all(c.ragged and c.prompts == 1 for c in everything)
    assert {c.image_tokens for c in everything} == {64, 256, 1024}
    assert {c.completion_tokens for c in everything} == {64, 256} and {c.group_size for c in everything} == {8, 16}
    assert [(c.prompts, c.group_size) for c in sft_cases(ragged=False)] == [(4, 1), (2, 4)]
    assert {(c.image_tokens, c.completion_tokens) for c in sft_cases(ragged=False)} == {(256, 128)}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads /proc")
def test_memory_is_what_the_arm_needs_not_what_loading_took():
    setup = Setup("update", sizes=SMALL)
    small = measure.peak_memory_mb(setup, "repeated", Case(16, 8, 2, 1))
    large = measure.peak_memory_mb(setup, "repeated", Case(64, 64, 8, 2))
    assert 0 < small < large
    assert large > 50
