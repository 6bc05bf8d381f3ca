"""The manifest has each finished stage once, wherever a kill came."""

from __future__ import annotations

from pathlib import Path

from diagnosing import make_shop

from metis_rise import pipeline
from metis_rise.journal import append_jsonl


def noted(shop: pipeline.Workshop) -> list[tuple[str, int, float]]:
    return [(row["stage"], row["round"], row["seconds"]) for row in shop.run.events("stage")]


def test_a_stage_that_a_kill_left_out_is_added_by_the_next_attempt(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.5})
    second = shop.in_round(2)
    for turn, seconds in ((shop, 2.0), (second, 3.0)):
        # Killed right after.
        turn.run.stage("rl").finish({"seconds": seconds})
    for _ in range(2):
        pipeline._do(shop, "rl")
        pipeline._do(second, "rl")
    assert noted(shop) == [("rl", 1, 2.0), ("rl", 2, 3.0)]


def test_what_another_run_did_is_not_noted_as_done_here(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.5})
    for turn in (shop, shop.in_round(2)):
        turn.run.stage("rl").finish({"seconds": 1.0})
    shop.run.event("fork", source="runs/other", stages=["1-rl"])
    pipeline._do(shop, "rl")
    pipeline._do(shop.in_round(2), "rl")
    assert noted(shop) == [("rl", 2, 1.0)]


def test_a_stage_of_a_run_from_before_there_were_rounds_is_of_the_first(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.5})
    shop.run.stage("rl").finish({"seconds": 1.0})
    append_jsonl(shop.run.path / "manifest.jsonl", [{"time": "", "kind": "stage", "stage": "rl", "seconds": 1.0}])
    pipeline._do(shop, "rl")
    assert len(shop.run.events("stage")) == 1
