"""A run's problems for verl: the columns that it reads, and the same problems when we read them back."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
from exported_run import SYSTEM, make_run, picture

from metis_rise.errors import InputError
from metis_rise.exchange.verl import export_verl
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import dump_problems, load_problems, read_problems
from metis_rise.recipe import load_recipe, resolved
from metis_rise.rewards import compute_score


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The run of `exported_run`, with a recipe and the other splits."""
    run = make_run(tmp_path / "run")
    (run / "recipe.json").write_text(json.dumps(resolved(load_recipe("tiny", ["prompt.system=rise"]))))
    (run / "system.txt").write_text(SYSTEM)
    for split in ("dev", "test"):
        dump_problems([], run / "problems" / f"{split}.jsonl")
    return run


def test_the_columns_are_those_that_verl_reads(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    export_verl(run, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{split}.parquet" for split in ("dev", "test", "train")
    ]
    file = str(tmp_path / "out" / "train.parquet")
    data = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path / "cache"))
    two, plain = data.cast_column("images", datasets.List(datasets.Image(decode=False)))
    assert two["prompt"] == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Is <image>darker than <image>?"},
    ]
    assert [image["bytes"] for image in two["images"]] == [picture(10), picture(200)]
    assert two["reward_model"] == {"style": "rule", "ground_truth": "3"} and two["data_source"] == "f"
    assert (two["extra_info"]["index"], two["extra_info"]["split"], two["extra_info"]["solve_rate"]) == (
        0,
        "train",
        0.5,
    )
    assert plain["images"] == [] and plain["prompt"][1]["content"] == "What is 1 + 2?\nA. four\nB. three"
    assert "data.train_files=" in capsys.readouterr().out


def test_what_is_exported_reads_as_the_same_problems(run: Path, tmp_path: Path):
    export_verl(run, tmp_path / "out")
    found = read_problems(tmp_path / "out" / "train.parquet", ImageStore(tmp_path / "images"), opener=open_rows)
    names = ("id", "question", "answer", "answer_type", "images", "choices", "solution", "source", "level")
    for one, other in zip(found, load_problems(run / "problems" / "train.jsonl"), strict=True):
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def test_a_missing_picture_leaves_nothing_behind(run: Path, tmp_path: Path):
    next((run / "images").iterdir()).unlink()
    with pytest.raises(InputError, match="the picture is missing"):
        export_verl(run, tmp_path / "out")
    assert not any(path.name.startswith(("out", ".out")) for path in tmp_path.iterdir())
    with pytest.raises(InputError, match="no run folder"):
        export_verl(tmp_path, tmp_path / "out")


def test_the_score_of_a_completion():
    right, other = "<think> So. </think><answer> \\boxed{B} </answer>", "\\boxed{B}"
    extra = {"answer_type": "choice", "choices": ["four", "three"], "question": "What is 1 + 2?"}
    assert compute_score("f", right, "B", extra) == {"score": 1.1, "accuracy": 1.0, "format": 1.0}
    assert compute_score("f", right.replace("B", "three"), "B", extra)["accuracy"] == 1.0
    assert compute_score("f", other, "B", extra) == {"score": 0.0, "accuracy": 0.0, "format": 0.0}
    assert compute_score("f", right.replace("B", "4"), "4.0")["accuracy"] == 1.0
