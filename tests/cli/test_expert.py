"""Experts over HTTP as a user meets them: what is found out before a run begins, the dry run, the stage itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from micro import ok, rise
from scripted_chat import ChatServer, refused, said

from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.run import read_jsonl

SIZES = ("problems.world.train_per_level=1", "problems.world.dev_per_level=1", "problems.world.test_per_level=1")


def experts(url: str, more: str = "") -> str:
    return f"expert.experts=[{{name: big, url: '{url}/v1', model: big{more}}}]"


@pytest.mark.parametrize(
    ("more", "probe", "said_then"),
    [
        (", api_key_env: RISE_NO_SUCH_KEY", None, "expert 'big': the environment variable RISE_NO_SUCH_KEY is not set"),
        ("", refused(400, "no pictures here"), "model 'big' refuses pictures, and the problems have some"),
    ],
    ids=["no key", "no pictures"],
)
def test_experts_that_cannot_do_their_work_end_a_run_before_it_begins(
    tmp_path: Path, more: str, probe: object, said_then: str
):
    with ChatServer(lambda call: said("never"), probe=probe) as server:  # type: ignore[arg-type]
        done = rise(tmp_path, "run", "tiny", *SIZES, experts(server.url, more))
        assert server.asked == []
    assert done.returncode == 2 and said_then in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "runs").exists()


def test_a_dry_run_needs_no_run_and_leaves_none_and_the_stage_asks_what_it_said(tmp_path: Path):
    problems = world.make_problems("train", 1, 0, ImageStore(tmp_path / "images"))
    chains = {problem.question: world.expert(problem) for problem in problems}

    def script(call: object) -> object:
        text = next(part["text"] for part in call.body["messages"][-1]["content"] if "text" in part)  # type: ignore[attr-defined]
        return said(chains[text.splitlines()[0]])

    with ChatServer(script) as server:  # type: ignore[arg-type]
        arguments = ("tiny", *SIZES, experts(server.url, ", price_in: 1, price_out: 2"), "rl.steps=1", "threads=1")
        printed = ok(tmp_path, "expert", *arguments, "--dry-run")
        assert "18 training problems (diagnosis is not done" in printed and "at most 54" in printed
        assert server.calls == [] and not (tmp_path / "runs").exists()
        ok(tmp_path, "rl", *arguments, "rl.prompts_per_step=1", "rl.group_size=2", "rl.refill_rounds=0")
        run = tmp_path / "runs" / "tiny"
        assert [row["problem"] for row in read_jsonl(run / "4-expert" / "answers.jsonl")] == [""], "the probe is kept"
        rates = {problem.id: 0.0 for problem in problems}
        for stage, result in (("2-diagnose", {"solve_rates": rates}), ("3-distill", {})):
            (run / stage).mkdir(exist_ok=True)
            done = {"seconds": 1, "counts": {}, "dropped": {}, "buckets": {}} | result
            (run / stage / "DONE").write_text(json.dumps(done))
        for name in ("trajectories-0000.jsonl", "replay-0000.jsonl"):
            (run / "3-distill" / name).write_text("")
        same = (*arguments, "rl.prompts_per_step=1", "rl.group_size=2", "rl.refill_rounds=0")
        assert "18 absent problems" in ok(tmp_path, "expert", *same, "--dry-run")
        ok(tmp_path, "expert", *same)
        assert len(server.asked) == 18 and len(server.probes) == 1
    found = json.loads((run / "4-expert" / "DONE").read_text())
    assert found["counts"]["kept"] == 18 and found["experts"]["big"]["calls"] == 19


def test_a_dry_run_in_several_processes_is_refused(tmp_path: Path):
    done = rise(tmp_path, "expert", "tiny", "--dry-run", "--nproc", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nproc 2: a dry run is done by one process; leave --nproc out" in done.stderr


def test_the_help_says_that_a_dry_run_calls_nobody(tmp_path: Path):
    assert "--dry-run" in ok(tmp_path, "expert", "--help") and "--dry-run" not in ok(tmp_path, "sft", "--help")
