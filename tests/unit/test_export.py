"""A run's SFT set in the forms of other tools: every example, every picture, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pandas
import pytest
from exported_run import COMPLETIONS, SYSTEM, make_run, picture

from metis_rise.errors import InputError
from metis_rise.exchange.export import FORMATS, export_sft
from metis_rise.run import read_jsonl, write_jsonl

ASKED = "Is <image>darker than <image>?"
CHOICES = "What is 1 + 2?\nA. four\nB. three"
ORDER = [("two", "one", "self", 0.5, 1), ("two", "two", "self", 0.5, 1), ("plain", "three", "expert", 0.0, 1)]
ORDER += [("two", "four", "mastered", 1.0, 2)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def check_common(rows: list[dict[str, object]]) -> None:
    assert [(r["id"], r["source"], r["solve_rate"], r["round"]) for r in rows] == [
        (problem, source, rate, number) for problem, _, source, rate, number in ORDER
    ]


@pytest.mark.parametrize(("kind", "file"), [("sharegpt", "train.jsonl"), ("llamafactory", "train.json")])
def test_conversations_have_a_marker_and_a_file_for_every_picture(run: Path, tmp_path: Path, kind: str, file: str):
    out = tmp_path / "out"
    export_sft(run, kind, out)
    rows = read_jsonl(out / file) if kind == "sharegpt" else json.loads((out / file).read_text())
    check_common(rows)
    for row, (problem, completion, *_) in zip(rows, ORDER, strict=True):
        turns = {turn["from"]: turn["value"] for turn in row["conversations"]}
        assert turns["human"] == (ASKED if problem == "two" else CHOICES)
        assert turns["gpt"] == COMPLETIONS[completion]
        assert (row["system"] if kind == "llamafactory" else turns["system"]) == SYSTEM
        shown = [(out / name).read_bytes() for name in row["images"]]
        assert shown == ([picture(10), picture(200)] if problem == "two" else [])


def test_trl_gets_prompt_completion_and_pictures(run: Path, tmp_path: Path):
    export_sft(run, "trl", tmp_path / "out")
    file = str(tmp_path / "out" / "train.parquet")
    rows = list(datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=str(tmp_path / "cache")))
    check_common(rows)
    system, user = rows[0]["prompt"]
    assert system["content"][0]["text"] == SYSTEM
    assert [(part["type"], part["text"]) for part in user["content"]] == [
        ("text", "Is "),
        ("image", None),
        ("text", "darker than "),
        ("image", None),
        ("text", "?"),
    ]
    assert [image.getpixel((0, 0))[0] for image in rows[0]["images"]] == [10, 200]
    assert [row["completion"][0]["content"][0]["text"] for row in rows] == [COMPLETIONS[name] for _, name, *_ in ORDER]


def test_plain_parquet_has_a_column_for_each_thing(run: Path, tmp_path: Path):
    export_sft(run, "parquet", tmp_path / "out")
    table = pandas.read_parquet(tmp_path / "out" / "train.parquet")
    check_common(table.to_dict("records"))
    assert list(table["completion"]) == [COMPLETIONS[name] for _, name, *_ in ORDER]
    assert list(table["family"]) == ["f", "f", "", "f"] and list(table["level"]) == [0, 0, 2, 0]
    assert [image["bytes"] for image in table["images"][0]] == [picture(10), picture(200)]


@pytest.mark.parametrize("kind", FORMATS)
def test_without_a_system_prompt_none_is_written(tmp_path: Path, kind: str):
    export_sft(make_run(tmp_path / "run", system=None), kind, tmp_path / "out")
    for file in (tmp_path / "out").glob("*.js*"):
        assert '"system"' not in file.read_text()
    for file in (tmp_path / "out").glob("*.parquet"):
        assert not str(pandas.read_parquet(file).to_dict()).count("Think, then")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_is_missing_leaves_nothing_behind(run: Path, tmp_path: Path, kind: str):
    next((run / "images").iterdir()).unlink()
    with pytest.raises(InputError, match=r"images/[0-9a-f]{64}\.png: the picture is missing"):
        export_sft(run, kind, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_that_was_changed_is_not_exported(run: Path, tmp_path: Path, kind: str):
    next((run / "images").iterdir()).write_bytes(picture(77))
    with pytest.raises(InputError, match=r"images/[0-9a-f]{64}\.png: the picture was changed or damaged"):
        export_sft(run, kind, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_what_cannot_be_exported_is_said(run: Path, tmp_path: Path):
    with pytest.raises(InputError, match="no run folder"):
        export_sft(tmp_path, "trl", tmp_path / "out")
    with pytest.raises(InputError, match="finish the stage expert first"):
        export_sft(make_run(tmp_path / "young", done=False), "trl", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists; name a new folder"):
        export_sft(run, "trl", tmp_path / "out")


@pytest.mark.parametrize(("kind", "file"), [("sharegpt", "train.jsonl"), ("llamafactory", "train.json")])
def test_words_that_stand_for_a_file_in_llama_factory_lose_their_brackets(tmp_path: Path, kind: str, file: str):
    run = make_run(tmp_path / "run", system="A <video> is no <image>.")
    journal = run / "4-expert" / "trajectories-0000.jsonl"
    said = "The <image> and <audio>, not <images>."
    write_jsonl(journal, [row | {"text": row["text"].replace("three", said)} for row in read_jsonl(journal)])
    export_sft(run, kind, tmp_path / "out")
    text = (tmp_path / "out" / file).read_text()
    rows = read_jsonl(tmp_path / "out" / file) if kind == "sharegpt" else json.loads(text)
    (expert,) = (row for row in rows if row["source"] == "expert")
    assert expert["conversations"][-1]["value"].startswith("<think> The image and audio, not <images>. </think>")
    assert "A video is no image." in json.dumps(expert) and expert["images"] == []
    assert all(json.dumps(row["conversations"]).count("<image>") == len(row["images"]) for row in rows)
