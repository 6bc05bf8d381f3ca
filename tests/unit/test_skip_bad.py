"""Gold answers that cannot be judged, when a run begins: named, or left out and recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metis_rise.errors import InputError
from metis_rise.opening import open_workshop
from metis_rise.recipe import Recipe, load_recipe


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {"question": f"What is {number} + 0?", "answer": str(number), "answer_type": "number"} | fields


def recipe_for(folder: Path, *overrides: str, bad: int) -> Recipe:
    """A recipe on a train file whose first `bad` gold answers are ambiguous, and a good test file."""
    train = [row(n, answer=f"{n} or {n + 1}", answer_type="text") if n < bad else row(n) for n in range(12)]
    for name, rows in (("train", train), ("test", [row(100 + n) for n in range(3)])):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = [f"problems.{name}={folder / name}.jsonl" for name in ("train", "test")]
    return load_recipe("user_jsonl", [*files, "threads=1", "sampling.max_tokens=32", *overrides])


def test_an_ambiguous_gold_answer_ends_the_command_and_leaves_no_run(tmp_path: Path):
    with pytest.raises(InputError) as caught:
        open_workshop(recipe_for(tmp_path, bad=2), tmp_path / "runs", "mine")
    first, second, last = str(caught.value).splitlines()
    assert first.startswith(f"{tmp_path / 'train.jsonl'}, row 1: answer '0 or 1' cannot be judged: ")
    assert "row 2: answer '1 or 2'" in second and "2 of 12 rows cannot be used" in last and "--skip-bad" in last
    assert not (tmp_path / "runs" / "mine").exists()


def test_skipped_rows_are_said_and_recorded_in_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shop = open_workshop(recipe_for(tmp_path, "problems.skip_bad=true", bad=2), tmp_path / "runs", "mine")
    assert len(shop.sets.train) + len(shop.sets.dev) == 10
    events = [json.loads(line) for line in (shop.run.path / "manifest.jsonl").read_text().splitlines()]
    (skipped,) = (event for event in events if event["kind"] == "skipped rows")
    assert skipped["file"] == str(tmp_path / "train.jsonl")
    ((reason, count),) = skipped["reasons"].items()
    assert reason.startswith("gold answer: ") and count == 2
    said = f"{tmp_path / 'train.jsonl'}: 2 rows left out (problems.skip_bad): 2 {reason}"
    assert [event["text"] for event in events if event["kind"] == "warning"] == [said]
    assert said in capsys.readouterr().out and said in (shop.run.path / "log.txt").read_text()


def test_nothing_left_is_an_error_in_any_case(tmp_path: Path):
    with pytest.raises(InputError, match="12 of 12 rows cannot be used"):
        open_workshop(recipe_for(tmp_path, "problems.skip_bad=true", bad=12), tmp_path / "runs", "mine")


def test_the_world_has_no_rows_to_skip():
    with pytest.raises(InputError, match=r"problems\.skip_bad = true: must be false for problems\.kind=world"):
        load_recipe("tiny", ["problems.skip_bad=true"])


def test_a_judge_without_its_key_ends_the_command_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RISE_TEST_KEY", raising=False)
    judge = ["judge.url=http://127.0.0.1:1/v1", "judge.model=m", "judge.api_key_env=RISE_TEST_KEY"]
    with pytest.raises(InputError, match=r"^the environment variable RISE_TEST_KEY is not set"):
        open_workshop(recipe_for(tmp_path, *judge, bad=0), tmp_path / "runs", "mine")
    assert not (tmp_path / "runs").exists()
