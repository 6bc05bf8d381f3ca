"""RL with an engine that has weights of its own, as over servers: when they are pushed, what is sampled from them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from micro import MICRO
from remote_copy import RemoteCopy, Script
from safetensors.torch import load_file

from metis_rise import opening, pipeline
from metis_rise.errors import InputError
from metis_rise.opening import open_workshop
from metis_rise.recipe import load_recipe
from metis_rise.run import read_jsonl
from metis_rise.stages import rl, workshop
from metis_rise.stages.update import Updater

SERVER = ("engine.kind=server", "engine.urls=[http://nowhere:1]")
# No surplus is carried: then every group is sampled for the step that trains on it.
SETTINGS = (*MICRO, "rl.refill_rounds=0", "rl.carry_steps=0", "rl.filter_bounds=closed", "rl.warmup_steps=0")
AHEAD = (*SETTINGS, *SERVER, "rl.max_staleness=1")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """What the engines of this test do and have seen."""
    script = Script()
    use(script, monkeypatch)
    return script


def use(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "check_servers", lambda recipe: None)
    monkeypatch.setattr(
        workshop,
        "make_engine",
        lambda recipe, run, sets, store, policy, encode, turn: RemoteCopy(policy, encode, script),
    )


def run_rl(root: Path, name: str, settings: Sequence[str], *more: str) -> Path:
    return pipeline.run_stage(load_recipe("tiny", [*settings, *more]), root, name, "rl")


def steps(run: Path) -> list[dict[str, Any]]:
    return [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl"]


def no_thread_is_left() -> bool:
    return not any(thread.name.startswith("groups of step") for thread in threading.enumerate())


def test_pushed_after_every_update_it_is_the_run_of_the_native_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In float32 a copy with the same weights computes the same, so that nothing may differ: dev scores, weights."""
    native = run_rl(tmp_path, "native", SETTINGS, "rl.old_logprobs=trainer")
    script = Script()
    use(script, monkeypatch)
    remote = run_rl(tmp_path, "remote", (*SETTINGS, *SERVER))
    ours, theirs = (load_file(run / "1-rl" / "model" / "model.safetensors") for run in (remote, native))
    assert all(value.equal(theirs[name]) for name, value in ours.items())
    dev = [
        [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl-dev"]
        for run in (remote, native)
    ]
    assert dev[0] == dev[1]
    assert script.pushed == [0, 1, 2, 3, 4] and script.closed.is_set()
    assert {name for name, _ in script.asked} == {threading.current_thread().name}
    for values in steps(remote):
        assert values["staleness"] == values["staleness_max"] == 0
        assert values["sampler_gap"] <= values["sampler_gap_max"] < 1e-4 and abs(values["sampler_kl"]) < 1e-6
        assert values["push_seconds"] > 0 and values["probe_difference"] == 0 and 0 < values["waiting"] < 1


def test_one_step_ahead_the_next_groups_are_sampled_while_a_step_is_trained(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    training, update, seen = threading.Semaphore(0), Updater.update, []

    def before() -> None:
        name = threading.current_thread().name
        if name.startswith("groups of step") and name not in seen:
            assert training.acquire(timeout=60), "nothing is trained while this is sampled"
            seen.append(name)

    def updating(self: Updater, *arguments: Any) -> Any:
        training.release()
        return update(self, *arguments)

    script.before = before
    monkeypatch.setattr(Updater, "update", updating)
    run = run_rl(tmp_path, "ahead", AHEAD)
    found = steps(run)
    assert [values["staleness_max"] for values in found] == [0, 1, 1, 1]
    assert script.pushed == [0, 1, 2, 3, 4]
    # The difference is that of a whole update: more than rounding.
    assert all(values["sampler_gap"] > 1e-4 for values in found[1:])
    sampling = [name for name, _ in script.asked if name.startswith("groups of step")]
    assert sampling == [f"groups of step {step}" for step in (1, 2, 3)]
    rows = [row for file in sorted((run / "1-rl").glob("trajectories-*.jsonl")) for row in read_jsonl(file)]
    assert [row["weights_version"] for row in rows] == [v for v in (0, 0, 1, 2) for _ in range(16)]


def test_ahead_the_best_checkpoint_has_the_weights_that_were_scored(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    scored = []

    def score(shop: Any, bench: Any, curve: str, step: int) -> float:
        scored.append((step, bench.engine.copy.version, bench.policy.version))
        return float(step == 2)

    monkeypatch.setattr(rl, "score_dev", score)
    run = run_rl(tmp_path, "ahead", AHEAD)
    assert scored[1:] == [(2, 2, 2), (4, 4, 4)]
    model, best = (load_file(run / "1-rl" / part / "model.safetensors") for part in ("model", "checkpoint-2/model"))
    assert all(value.equal(best[name]) for name, value in model.items())


def test_a_run_that_ends_in_an_update_draws_the_next_groups_again(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
):
    update, calls = Updater.update, []

    def third(self: Updater, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return update(self, *arguments)

    monkeypatch.setattr(Updater, "update", third)
    with pytest.raises(KeyboardInterrupt):
        run_rl(tmp_path, "cut", AHEAD)
    assert no_thread_is_left() and script.closed.is_set()
    drawn = [problems for name, problems in script.asked if name == "groups of step 2"]
    before = len(script.asked)
    run = run_rl(tmp_path, "cut", AHEAD)
    assert len(steps(run)) == 4
    # Checkpoint 2 knows nothing of the groups that were ready for the third step.
    assert script.asked[before] == (threading.current_thread().name, drawn[0])
    assert script.pushed[-3:] == [2, 3, 4]


def test_a_failure_of_the_sampler_ends_the_run_with_its_own_words(tmp_path: Path, script: Script):
    def before() -> None:
        if threading.current_thread().name == "groups of step 2":
            raise InputError("http://nowhere:1 is gone")

    script.before = before
    with pytest.raises(InputError, match="http://nowhere:1 is gone"):
        run_rl(tmp_path, "gone", AHEAD)
    assert len(script.pushed) == 2 and no_thread_is_left()


def test_an_interrupted_run_leaves_no_thread_behind(tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch):
    def before() -> None:
        if threading.current_thread().name == "groups of step 1":
            assert script.closed.wait(60)
            raise ConnectionError("closed")

    def interrupted(self: Updater, *arguments: Any) -> Any:
        raise KeyboardInterrupt

    script.before = before
    monkeypatch.setattr(Updater, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_rl(tmp_path, "cut", AHEAD)
    assert no_thread_is_left()


@pytest.mark.parametrize(("settings", "trained"), [((*SETTINGS, *SERVER), 1), (AHEAD, 2)])
def test_groups_of_weights_that_are_too_old_are_never_trained_on(
    tmp_path: Path, script: Script, settings: Sequence[str], trained: int
):
    """Of a server that takes up no weights after the first; a version is as old as the updates since."""
    script.lazy = True
    run = run_rl(tmp_path, "lazy", settings)
    assert [values["groups_kept"] for values in steps(run)] == [4] * trained + [0] * (4 - trained)
    done = (run / "1-rl" / "DONE").read_text()
    assert f'"weights too old": {4 * 4 * (4 - trained)}' in done


def test_what_the_sampler_gives_up_is_neither_trained_on_nor_wrong(tmp_path: Path, script: Script):
    script.abort = lambda request, times: request.n == 4 and times == 0 and len(script.times) % 4 == 1
    run = run_rl(tmp_path, "abort", (*SETTINGS, *SERVER))
    rows = [row for file in sorted((run / "1-rl").glob("trajectories-*.jsonl")) for row in read_jsonl(file)]
    assert rows and not any(row["stop"] == "abort" for row in rows)
    found = steps(run)
    assert any(values["groups_sampled"] < 4 for values in found)
    lost = sum(4 - values["groups_sampled"] for values in found)
    assert f'"given up by the sampler": {4 * lost}' in (run / "1-rl" / "DONE").read_text()


def test_problems_that_the_sampler_gives_up_are_scored_when_asked_again(tmp_path: Path, script: Script):
    calm = run_rl(tmp_path, "calm", (*SETTINGS, *SERVER))
    script.times.clear()
    script.abort = lambda request, times: request.n == 1 and times == 0
    shaken = run_rl(tmp_path, "shaken", (*SETTINGS, *SERVER))
    dev = [
        [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl-dev"]
        for run in (calm, shaken)
    ]
    assert len(dev[0]) == 3 and dev[0] == dev[1]


def test_a_problem_that_is_given_up_every_time_ends_the_stage(tmp_path: Path, script: Script):
    script.abort = lambda request, times: request.n == 1
    with pytest.raises(
        InputError, match=r"the sampler gave up 6 of 6 problems 3 times, the first is '.*'; .*run again"
    ):
        run_rl(tmp_path, "stuck", (*SETTINGS, *SERVER))


def test_servers_that_are_not_there_are_told_before_any_work(tmp_path: Path):
    with pytest.raises(InputError, match=r"^engine\.urls: .*127\.0\.0\.1:9") as error:
        run_rl(tmp_path, "alone", SETTINGS, "engine.kind=server", "engine.urls=[http://127.0.0.1:9]")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "alone").exists()


def test_a_run_is_not_deleted_for_one_whose_servers_are_not_there(tmp_path: Path):
    kept = tmp_path / "kept" / "recipe.json"
    open_workshop(load_recipe("tiny", SETTINGS), tmp_path, "kept")
    before = kept.read_bytes()
    servers = load_recipe("tiny", [*SETTINGS, "engine.kind=server", "engine.urls=[http://127.0.0.1:9]"])
    with pytest.raises(InputError, match=r"^engine\.urls: "):
        open_workshop(servers, tmp_path, "kept", fresh=True)
    assert kept.read_bytes() == before


def test_a_run_may_go_on_with_other_servers(tmp_path: Path, script: Script):
    run_rl(tmp_path, "moved", (*SETTINGS, *SERVER), "rl.steps=1")
    addresses = "engine.urls=[http://elsewhere:2, http://elsewhere:3]"
    run = run_rl(tmp_path, "moved", (*SETTINGS, *SERVER), "rl.steps=1", addresses, "engine.concurrency=3")
    assert 'goes on with engine.urls.1 = "http://elsewhere:3" (was absent)' in (run / "log.txt").read_text()
