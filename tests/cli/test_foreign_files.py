"""Other tools' problem files from the command line: converted, trained on as they are, and handed on to verl."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
from micro import MICRO, ok, rise

from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import make_problems


def write_parquet(path: Path, split: str, per_level: int) -> None:
    """Problems of the tiny world as EasyR1 has its own."""
    store = ImageStore(path.parent / f".{split}")
    problems = make_problems(split, per_level, 0, store)
    rows = [{"problem": p.question, "answer": p.answer, "images": [*map(store.open, p.images)]} for p in problems]
    features = {name: datasets.Value("string") for name in ("problem", "answer")}
    features |= {"images": datasets.List(datasets.Image())}
    datasets.Dataset.from_list(rows, features=datasets.Features(features)).to_parquet(path)


def test_a_recipe_trains_on_parquet_and_what_comes_of_it_goes_to_verl(tmp_path: Path):
    write_parquet(tmp_path / "train.parquet", "train", 2)
    write_parquet(tmp_path / "test.parquet", "test", 1)
    settings = [setting for setting in MICRO if "world" not in setting and "stages.1" not in setting]
    files = ["problems.train=train.parquet", "problems.test=test.parquet", "model.path=tiny", "rl.micro_tokens=4096"]
    ok(tmp_path, "rl", "user_jsonl", *files, *settings, "--name", "mine")
    run = tmp_path / "runs" / "mine"
    assert (run / "1-rl" / "DONE").is_file()
    printed = ok(tmp_path, "export", "rl", "runs/mine", "--format", "verl", "--to", "out")
    assert "out/train.parquet: " in printed and "pkg://metis_rise.rewards" in printed
    ok(tmp_path, "convert", "out/test.parquet", "--to", "back")
    asked = [
        [json.loads(line)["question"] for line in file.read_text().splitlines()]
        for file in (tmp_path / "back" / "problems.jsonl", run / "problems" / "test.jsonl")
    ]
    assert len(asked[0]) == 18 and asked[0] == asked[1]


def test_bad_rows_are_told_and_left_out(tmp_path: Path):
    rows = [{"problem": "How many?", "answer": "4"}, {"problem": "How much?", "answer": "3 or 5"}]
    datasets.Dataset.from_list(rows).to_parquet(tmp_path / "mine.parquet")
    refused = rise(tmp_path, "convert", "mine.parquet", "--to", "mine")
    assert refused.returncode == 2 and not (tmp_path / "mine").exists()
    assert "error: mine.parquet, row 2: answer '3 or 5' cannot be judged: it lists alternatives" in refused.stderr
    printed = ok(tmp_path, "convert", "mine.parquet", "--to", "mine", "--skip-bad")
    assert "mine/problems.jsonl: 1 problems" in printed and "1 rows left out: gold answer: it lists" in printed
