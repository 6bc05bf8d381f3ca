"""`rise ablate` as a user runs it: arms, seeds, a kill, and what comes of it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from micro import ENVIRONMENT, command, ok

from metis_rise.ablation.results import read_rows
from metis_rise.run import STAGES, read_jsonl

SETTINGS = (
    "problems.world.train_per_level=2",
    "problems.world.dev_per_level=1",
    "problems.world.test_per_level=1",
    "problems.world.levels=[1,2]",
    "sampling.max_tokens=60",
    "rl.steps=2",
    "rl.prompts_per_step=4",
    "rl.group_size=4",
    "rl.refill_rounds=0",
    "rl.overlong_buffer=8",
    "rl.eval_every=9",
    "rl.eval_problems=4",
    "rl.checkpoint_every=1",
    "diagnose.samples=2",
    "diagnose.max_samples=2",
)
STAGE = "{{name: expert, data: [expert], learning_rate: 7e-4, epochs: {epochs}, batch_size: 8}}"
HEAD = "title: {title}\ngroup: own\nhypothesis: none\nline: all\n"
RL = HEAD.format(title="RL") + "legs: [{last: rl}]\n"
RISE = (
    HEAD.format(title="RISE")
    + "against: [rl]\nsettings: {expert.max_problems: 5, sft.stages: ["
    + STAGE.format(epochs=2)
    + "]}\n"
)
FIRST = (
    HEAD.format(title="FIRST")
    + "settings: {expert.max_problems: 5}\nlegs:\n  - settings: {sft.start_from: start, sft.stages: ["
    + STAGE.format(epochs=1)
    + "]}\n  - {last: rl}\n"
)
COLD = (
    HEAD.format(title="COLD")
    + "legs:\n  - settings: {rl.steps: 0, diagnose.samples: 0, diagnose.max_samples: 0, expert.max_problems: 4, "
    + "expert.experts: [{name: foreign}], sft.stages: ["
    + STAGE.format(epochs=1)
    + "]}\n"
)
ARMS = {"rl": RL, "rise": RISE, "first": FIRST, "cold": COLD}


def arguments(folder: Path, *arms: str, seeds: str = "0") -> list[str]:
    for arm in arms:
        (folder / f"{arm}.yaml").write_text(ARMS[arm])
    settings = chain.from_iterable(("--set", each) for each in SETTINGS)
    return [*(f"{arm}.yaml" for arm in arms), "--seeds", seeds, "--results", "r.jsonl", "--root", "runs", *settings]


def run_of(folder: Path, name: str) -> Path:
    """The run of an arm and leg, such as rise.1, of seed 0 or of the one that is named."""
    arm, leg, *seed = name.split(".")
    (found,) = (folder / "runs").glob(f"{arm}-*.{leg}.tiny.{seed[0] if seed else 0}")
    return found


def done(run: Path, stage: str) -> dict[str, Any]:
    return json.loads((run / stage / "DONE").read_text())


def forked(run: Path) -> list[str]:
    return [stage for row in read_jsonl(run / "manifest.jsonl") if row["kind"] == "fork" for stage in row["stages"]]


def test_two_arms_with_two_seeds_share_their_stages_and_go_on_after_a_kill(tmp_path: Path):
    given = ["ablate", *arguments(tmp_path, "rl", "rise", seeds="0,1")]
    process = subprocess.Popen(command(*given), cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    marker, end = "runs/rise-*.1.tiny.0/3-distill/DONE", time.monotonic() + 300
    while not [*tmp_path.glob(marker)] and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [*tmp_path.glob(marker)] and [row.arm for row in read_rows(tmp_path / "r.jsonl")] == ["rl"]

    printed = ok(tmp_path, *given)
    assert "1 of 4 cells are done" in printed and "3-distill: done before" in printed
    rows = read_rows(tmp_path / "r.jsonl")
    assert [(row.arm, row.seed) for row in rows] == [("rl", 0), ("rise", 0), ("rl", 1), ("rise", 1)]
    for seed in (0, 1):
        rl, rise = (run_of(tmp_path, f"{arm}.1.{seed}") for arm in ("rl", "rise"))
        assert forked(rise) == ["1-rl"] and done(rl, "1-rl") == done(rise, "1-rl")
        assert not list(rl.glob("1-rl/checkpoint-*")) and (rl / "1-rl" / "model").is_dir()
    for row in rows:
        assert set(row.raw["scores"]) == {"test", "unseen level", "unseen light"}
        assert [row.raw["scores"][split]["greedy"]["n"] for split in row.raw["scores"]] == [12, 6, 5]
        assert row.raw["generated"]["rl"] > 0 and row.raw["seconds"]["rl"] > 0
    rl, rise = (row.raw for row in rows[:2])
    assert rl["expert"] == {} and rise["expert"]["traces"] == rise["expert"]["taught"] == rise["expert"]["calls"] == 5
    assert rise["generated"]["rl"] == rl["generated"]["rl"] and rise["trained"]["sft"] > 0
    assert rise["generated"]["diagnose"] > 0 and sum(rise["buckets"].values()) == 24

    assert "4 of 4 cells are done" in ok(tmp_path, *given)
    table = ok(tmp_path, "ablate", "rl.yaml", "rise.yaml", "--table", "--results", "r.jsonl")
    assert "| RISE | 2 | 5 |" in table and "| rise - rl | greedy | 2 |" in table


@pytest.mark.slow
def test_legs_cold_starts_and_the_order_control(tmp_path: Path):
    ok(tmp_path, "ablate", *arguments(tmp_path, "rise", "first", "cold"))
    rows = {row.arm: row.raw for row in read_rows(tmp_path / "r.jsonl")}
    rise, first, after, cold = (run_of(tmp_path, name) for name in ("rise.1", "first.1", "first.2", "cold.1"))
    assert forked(first) == list(STAGES[:4]) and forked(after) == forked(cold) == []
    assert done(first, "5-sft")["taken"] == "stage expert" and done(after, "1-rl")["steps"] == 2
    traces = [(run / "4-expert" / "trajectories-0000.jsonl").read_text() for run in (rise, first)]
    assert traces[0] == traces[1]
    dev = next(r["values"] for r in read_jsonl(first / "metrics.jsonl") if r["stage"] == "sft-dev")
    assert dev == next(r["values"] for r in read_jsonl(first / "metrics.jsonl") if r["stage"] == "rl-dev")
    assert rows["first"]["generated"]["rl"] > rows["rise"]["generated"]["rl"], "both RLs count"
    assert rows["first"]["expert"]["traces"] == 5

    assert done(cold, "1-rl")["steps"] == 0 and done(cold, "2-diagnose")["buckets"]["absent"] == 24
    assert "no step scored as well" not in (cold / "log.txt").read_text()
    assert rows["cold"]["generated"] == {"rl": 0, "diagnose": 0} and rows["cold"]["trained"]["rl"] == 0
    assert rows["cold"]["expert"]["asked"] == 4 <= rows["cold"]["expert"]["calls"]
    texts = [row["text"] for row in read_jsonl(cold / "4-expert" / "trajectories-0000.jsonl")]
    assert texts and all("I see that" in text for text in texts)
