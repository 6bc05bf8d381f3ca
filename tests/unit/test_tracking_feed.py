"""What a tracker is sent of a run folder, in one process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from fake_tracker import FakeTracker, noted, tell
from whole_run import RECIPE, make_whole

from metis_rise.recipe.root import MAY_CHANGE
from metis_rise.run import Run, write_jsonl
from metis_rise.tracking.feed import Feed


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.open(tmp_path, "new", RECIPE)
    for step in (1, 2, 3):
        run.metric("rl", step, {"reward": step / 10})
    return run


def feed(run: Run, warnings: list[str] | None = None) -> Feed:
    return Feed(run.path, "fake", FakeTracker, [].append if warnings is None else warnings.append)


def steps(run: Run, curve: str = "rl") -> list[int]:
    return [row["step"] for row in noted(run.path, "row") if row["curve"] == curve]


def test_rows_come_as_they_are_written_and_each_once(run: Run):
    made = feed(run)
    made.sync()
    assert steps(run) == [1, 2, 3]
    made.sync()
    run.metric("rl", 4, {"reward": 0.4})
    run.in_round(2).metric("rl", 1, {"reward": 0.5})
    made.close(done=True)
    assert steps(run) == [1, 2, 3, 4]
    assert steps(run, "round-2/rl") == [1]
    assert noted(run.path, "row")[0]["values"] == {"reward": 0.1}
    assert noted(run.path, "close") == [{"what": "close", "done": True}]


def test_a_line_that_is_being_written_is_read_when_it_is_whole(run: Run):
    made, file = feed(run), run.path / "metrics.jsonl"
    run.metric("rl", 4, {"reward": 0.4})
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    made.sync()
    assert steps(run) == [1, 2, 3]
    file.write_bytes(whole)
    made.sync()
    assert steps(run) == [1, 2, 3, 4]


def test_the_next_attempt_continues_the_same_run(run: Run):
    feed(run).close(done=False)
    run.metric("rl", 4, {"reward": 0.4})
    feed(run).close(done=True)
    assert steps(run) == [1, 2, 3, 4]
    first, second = noted(run.path, "open")
    assert first["id"] == second["id"]
    assert (first["sent"], second["sent"]) == (0, 3)
    assert (first["name"], first["project"], first["seed"]) == ("new", "metis-rise", RECIPE["seed"])


def test_a_run_whose_last_rows_were_sent_for_a_killed_attempt_is_done_there_all_the_same(run: Run):
    """The killed attempt's process sends the rest: by then that can be all that the next attempt wrote."""
    feed(run).close(done=False)
    feed(run).close(done=True)
    # That it is done is said once, not by every attempt that finds nothing to do.
    feed(run).close(done=True)
    assert [row["done"] for row in noted(run.path, "close")] == [False, True]
    assert steps(run) == [1, 2, 3]
    run.metric("rl", 4, {"reward": 0.4})
    feed(run).close(done=False)
    feed(run).close(done=True)
    assert [row["done"] for row in noted(run.path, "close")] == [False, True, False, True]


def test_trackers_may_be_added_and_left_out_when_a_run_is_taken_up(tmp_path: Path):
    for to in (["tensorboard", "wandb"], [], ["trackio"]):
        recipe = RECIPE | {"tracking": RECIPE["tracking"] | {"to": to}}
        run = Run.open(tmp_path, "new", recipe, may_change=MAY_CHANGE)
        assert json.loads((run.path / "recipe.json").read_bytes())["tracking"]["to"] == to


def test_steps_that_a_resumed_stage_does_again_are_not_sent_again(run: Run):
    made = feed(run)
    made.sync()
    run.truncate_metrics("rl", 1)
    for step in (2, 3, 4):
        run.metric("rl", step, {"reward": 9.0})
    made.sync()
    assert steps(run) == [1, 2, 3, 4]


def test_a_journal_that_was_written_anew_twice_is_read_from_its_start(run: Run):
    made, file = feed(run), run.path / "metrics.jsonl"
    run.metric("rl-dev", 3, {"greedy": 0.5})
    made.sync()
    # ext4 gives a new file the lowest free number: from the third on, each has that of the last but one.
    for _ in range(2):
        write_jsonl(file, run.metrics())
    run.metric("rl-dev", 4, {"greedy": 0.5})
    made.sync()
    before = file.stat().st_ino
    run.truncate_metrics("rl", 1)
    run.truncate_metrics("rl-dev", 1)
    assert file.stat().st_ino != before
    for step in (2, 3, 4, 5):
        run.metric("rl", step, {"reward": 9.0})
    run.metric("rl-dev", 5, {"greedy": 0.6})
    made.sync()
    assert (steps(run), steps(run, "rl-dev")) == ([1, 2, 3, 4, 5], [3, 4, 5])


def test_what_was_sent_is_kept_while_more_is_being_sent(run: Run, monkeypatch: pytest.MonkeyPatch):
    class Killed(FakeTracker):
        def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
            if step == 3:
                raise KeyboardInterrupt
            super().scalars(curve, step, at, values)

    monkeypatch.setattr("metis_rise.tracking.feed._KEEP_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        Feed(run.path, "fake", Killed, [].append).sync()
    feed(run).close(done=True)
    assert steps(run) == [1, 2, 3]


def test_a_run_that_was_begun_anew_is_another_one_there(run: Run):
    feed(run).close(done=True)
    late = feed(run)
    before = noted(run.path, "open")
    again = Run.open(run.path.parent, "new", RECIPE, fresh=True)
    again.metric("rl", 1, {"reward": 0.1})
    with pytest.raises(Exception, match="another run"):
        late.close(done=True)
    assert not (run.path / "tracking").exists()
    feed(again).close(done=True)
    assert noted(run.path, "open")[0]["id"] != before[0]["id"]


def test_a_tracker_that_cannot_be_reached_is_asked_ever_less_often_and_gets_everything_in_the_end(run: Run):
    warnings: list[str] = []
    made = feed(run, warnings)
    tell(run.path, "refuse")
    for _ in range(20):
        made.sync()
    assert made.state.failures == 4
    assert len(warnings) == 1
    assert "fake failed (ConnectionError: no way there second line)" in warnings[0]
    tell(run.path, "")
    made.close(done=True)
    assert steps(run) == [1, 2, 3]
    assert (made.state.items, made.state.lost) == (3, 0)


def test_a_row_that_is_refused_three_times_is_given_up_and_counted(run: Run):
    warnings: list[str] = []
    made = feed(run, warnings)
    made.sync()
    run.metric("rl", 4, {"reward": 0.4})
    tell(run.path, "fail")
    for _ in range(20):
        made.sync()
    tell(run.path, "")
    run.metric("rl", 5, {"reward": 0.5})
    made.close(done=True)
    assert steps(run) == [1, 2, 3, 5]
    assert (made.state.items, made.state.failures, made.state.lost) == (4, 3, 1)
    assert len(warnings) == 1


def test_tables_of_a_whole_run_show_the_same_problems_with_their_pictures(tmp_path: Path):
    run = Run(make_whole(tmp_path))
    run.metric("rl-dev", 2, {"greedy": 0.5})
    feed(run).close(done=True)
    tables = {row["name"]: row for row in noted(run.path, "table")}
    arms = {f"samples/{arm}-{mode}" for arm in ("base", "rl", "rise") for mode in ("greedy", "sampled")}
    assert set(tables) == arms | {"samples/rl", "samples/diagnose", "samples/distill", "samples/expert"}
    assert tables["samples/rl"]["step"] == 2
    ids = {name: [cells[0] for cells in tables[name]["cells"]] for name in arms}
    assert len(ids["samples/rl-greedy"]) == 2
    assert all(found == ids["samples/rl-greedy"] for found in ids.values())
    cells = tables["samples/base-greedy"]["cells"][0]
    assert cells[1:6] == [[4, 4], "How many?", "1", "text", "1"]
    (scores,) = (row for row in noted(run.path, "row") if row["curve"] == "evaluate")
    assert scores["values"] == {f"{name[8:].replace('-', '/')}/accuracy": 0.5 for name in arms}


def test_no_samples_are_sent_where_none_are_wanted(tmp_path: Path):
    run = Run(make_whole(tmp_path))
    recipe = RECIPE | {"tracking": RECIPE["tracking"] | {"samples": 0}}
    Run.open(tmp_path, "whole", recipe, may_change=("tracking.samples",))
    feed(run).close(done=True)
    assert noted(run.path, "table") == []


def test_a_damaged_picture_costs_its_table_and_nothing_else(tmp_path: Path):
    run = Run(make_whole(tmp_path))
    for picture in (run.path / "images").iterdir():
        picture.write_bytes(b"not a picture")
    warnings: list[str] = []
    made = feed(run, warnings)
    for _ in range(2000):
        made.sync()
    made.close(done=True)
    assert made.state.lost == 9
    assert "evaluate" in {row["curve"] for row in noted(run.path, "row")}
    assert len(warnings) == 1
