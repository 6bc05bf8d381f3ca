from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
import tiny
import torch
from rich.console import Console
from typer.testing import CliRunner

from metis_rise.bench import command, measure
from metis_rise.bench.cases import Case, rollout_cases, sft_cases, update_cases
from metis_rise.bench.command import Options
from metis_rise.bench.model import Sizes
from metis_rise.bench.rollout import rollout_arms
from metis_rise.bench.setup import Setup
from metis_rise.bench.table import table
from metis_rise.bench.workbench import Workbench
from metis_rise.cli import app
from metis_rise.errors import InputError

CASE = Case(image_tokens=16, completion_tokens=12, group_size=3, prompts=2)
SMALL = Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64)
# The likeliest token has all the probability then, though completions of a group are still drawn one by one.
ALL_BUT_GREEDY = 1e-4


@pytest.fixture(autouse=True)
def restored_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


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


def test_every_round_encodes_the_pictures_anew(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    """What the policy remembers of pictures must not make a later round cheaper."""
    seen = count_patches(bench.policy.core.visual, monkeypatch)
    arm = rollout_arms(bench, CASE)["ours"]
    for _ in range(2):
        seen.clear()
        arm()
        assert seen == [CASE.prompts * CASE.image_tokens * 4]


def test_peers_repeat_what_they_are_said_to(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    seen = count_patches(bench.plain.model.visual, monkeypatch)
    patches = CASE.prompts * CASE.image_tokens * 4
    arms = rollout_arms(bench, CASE)
    passes = {}
    for name in ("generate", "num_return_sequences"):
        seen.clear()
        arms[name]()
        passes[name] = sum(seen)
    assert passes == {"generate": 3 * patches, "num_return_sequences": patches}


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
def test_command_prints_the_contract(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    real = command.measure
    monkeypatch.setattr(
        command,
        "measure",
        lambda setup, _, memory: real(replace(setup, spec=folder, sizes=SMALL), [CASE], memory=False, rounds=2),
    )
    done = CliRunner().invoke(app, ["bench", kind, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result.keys() == {"environment", "rows"}
    assert {"torch", "transformers", "threads", "cores", "load_before", "attention"} <= result["environment"].keys()
    (row,) = result["rows"]
    assert row.keys() == {"case", "ratio", "spread", "seconds", "memory_mb"}
    assert row["case"] == {"image_tokens": 16, "completion_tokens": 12, "group_size": 3, "prompts": 2}
    assert row["ratio"].keys() == row["spread"].keys() == PEERS[kind]
    assert row["seconds"].keys() == PEERS[kind] | {"ours"}
    for peer, (least, greatest) in row["spread"].items():
        assert 0 < least <= row["ratio"][peer] <= greatest
    assert row["memory_mb"] == {}
    shown = CliRunner().invoke(app, ["bench", kind]).stdout
    assert all(peer in shown for peer in PEERS[kind]) and "2 x 3" in shown and "MB" not in shown


def test_table_shows_memory_where_it_was_measured():
    console = Console(width=100, record=True, file=StringIO())
    console.print(table("update", [ROW]))
    shown = console.export_text()
    for part in ("4.57x", "3.21-5.43", "1.234 s", "123 MB", "988 MB", "2 x 3"):
        assert part in shown, part


def test_options_reach_the_measurement(asked: Asked):
    for line in (
        "rollout",
        "rollout --cases full --memory --threads 2",
        "update",
        "update --all --no-memory",
        "update --ragged --against trl",
        "sft --ragged",
    ):
        done = CliRunner().invoke(app, ["bench", *line.split(), "--json"])
        assert done.exit_code == 0, done.output
    assert asked == [
        (Setup("rollout"), rollout_cases("small"), False),
        (Setup("rollout", threads=2), rollout_cases("full"), True),
        (Setup("update"), update_cases(everything=False, ragged=False), True),
        (Setup("update"), update_cases(everything=True, ragged=False), False),
        (Setup("update", trl=True), update_cases(everything=False, ragged=True), True),
        (Setup("sft"), sft_cases(ragged=True), True),
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for_whatever_torch_had(threads: int):
    torch.set_num_threads(3 - threads)
    Setup("update", threads=threads, sizes=SMALL).workbench()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("line", "others"),
    [
        ("update --cases full", "rollout"),
        ("rollout --all", "update"),
        ("sft --all", "update"),
        ("rollout --ragged", "update and sft"),
        ("rollout --against trl", "update and sft"),
    ],
)
def test_an_option_of_another_measurement_is_refused(line: str, others: str, asked: Asked):
    done = CliRunner().invoke(app, ["bench", *line.split()])
    assert done.exit_code == 2 and asked == []
    assert f"{line.split()[1]} is an option of rise bench {others}, not of {line.split()[0]}" in done.stderr


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
    small, full = rollout_cases("small"), rollout_cases("full")
    assert [(c.image_tokens, c.completion_tokens) for c in small] == [(16, 32), (16, 64), (64, 32), (64, 64)]
    assert full[:4] == small and {c.image_tokens for c in full[4:]} == {256}
    assert {(c.group_size, c.prompts) for c in full} == {(8, 4)}
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
