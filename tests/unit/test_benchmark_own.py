"""The authors' own files: the rows that VLMEvalKit's file would have, and pictures from the data folder only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_benchmark import picture

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Row
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.own import open_source
from metis_rise.benchmarks.registry import BENCHMARKS
from metis_rise.benchmarks.sources import find
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore


def put(path: Path, content: Any) -> Path:
    """A JSON file; a list as lines where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(map(json.dumps, content)) if path.suffix == ".jsonl" else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def put_picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture())


def rows(name: str, path: Path) -> list[Row]:
    return [line.row for line in open_source(BENCHMARKS[name], path).lines()]


def vista(**changed: Any) -> dict[str, Any]:
    metadata = {
        "split": "testmini",
        "language": "english",
        "img_width": 24,
        "img_height": 16,
        "source": "Made",
        "category": "general-vqa",
        "task": "figure question answering",
        "context": "bar chart",
        "grade": "high school",
        "skills": ["statistical reasoning", "arithmetic reasoning"],
    }
    record = {
        "question": "How tall is the tallest bar?",
        "image": "images/7.jpg",
        "choices": None,
        "unit": None,
        "precision": None,
        "answer": "12",
        "question_type": "free_form",
        "answer_type": "integer",
        "pid": "7",
        "metadata": metadata,
    }
    return record | changed


def test_mathvista(tmp_path: Path, store: ImageStore):
    choice = vista(pid="8", choices=["red", "blue"], answer="blue", question_type="multi_choice", answer_type="text")
    path = put(tmp_path / "testmini.json", {"7": vista(unit="cm"), "8": choice})
    put_picture(tmp_path / "images" / "7.jpg")
    first, second = rows("mathvista", path)
    assert (first.index, first["answer"], first["answer_option"], first["unit"]) == ("7", "12", "", "cm")
    assert first["question"] == (
        "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, "
        "at the end.\nQuestion: How tall is the tallest bar? (Unit: cm)"
    )
    assert cells.strings(first, "skills") == ("statistical reasoning", "arithmetic reasoning")
    assert (first["task"], cells.strings(first, "choices")) == ("figure question answering", ())
    assert second["answer_option"] == "B" and cells.strings(second, "choices") == ("red", "blue")
    assert second["question"].endswith("\nQuestion: How tall is the tallest bar?\nChoices:\n(A) red\n(B) blue")
    data = load(BENCHMARKS["mathvista"], path, store)
    assert [item.problem.answer for item in data.items] == ["12", "B"] and len(data.items[0].problem.images) == 1


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"answer_type": "float", "precision": 1}, "with one decimal place and provide the final value, e.g., 1.2"),
        ({"answer_type": "float", "precision": 2.0}, "with two decimal places and provide the final value, e.g., 1.23"),
        ({"answer_type": "list"}, "requiring a Python list as an answer"),
        ({"answer_type": "text"}, "Please answer the question and provide the final answer at the end."),
    ],
)
def test_mathvista_asks_for_the_kind_of_answer(tmp_path: Path, changed: dict[str, Any], part: str):
    assert part in rows("mathvista", put(tmp_path / "testmini.json", {"7": vista(**changed)}))[0]["question"]


def test_mathvision_has_its_pictures_beside_the_folder_of_the_file(tmp_path: Path, store: ImageStore):
    record = {"question": "Which?\n<image1>", "solution": None, "level": 3, "subject": "logic", "image": "images/4.jpg"}
    choice = record | {"id": "4", "options": ["A", "B", "C", "D", "E"], "answer": "D"}
    free = record | {"id": "5", "options": [], "answer": "61", "image": "images/5.jpg"}
    path = put(tmp_path / "data" / "test.jsonl", [choice, free])
    for number in (4, 5):
        put_picture(tmp_path / "images" / f"{number}.jpg")
    first, second = rows("mathvision", path)
    assert first["question"].startswith(
        "Hint: Please answer the question and provide the correct option letter, e.g., A"
    )
    assert second["question"] == (
        "Hint: Please answer the question and provide the final answer at the end.\nQuestion: Which?\n<image1>"
    )
    assert (first["category"], first["level"], cells.strings(second, "choices")) == ("logic", "3", ())
    assert len(load(BENCHMARKS["mathvision"], path, store).items) == 2


def test_mathverse_takes_its_vision_only_version(tmp_path: Path, store: ImageStore):
    record = {
        "sample_index": "3425",
        "problem_index": "685",
        "problem_version": "Vision Only",
        "question": "",
        "image": "images_version_6/image_685.png",
        "answer": "14",
        "question_type": "free-form",
        "metadata": {"split": "testmini", "source": "Made", "subject": "Solid Geometry", "subfield": "Length"},
        "query_wo": "please directly answer the question",
        "query_cot": "please first conduct reasoning",
        "question_for_eval": "Find L.",
    }
    other = record | {"sample_index": "3424", "problem_version": "Vision Dominant"}
    path = put(tmp_path / "testmini.json", [other, record])
    put_picture(tmp_path / "images" / "images_version_6" / "image_685.png")
    (row,) = rows("mathverse", path)
    assert (row.index, row["question"]) == ("3425", "please directly answer the question")
    assert cells.mapping(row, "metadata")["subfield"] == "Length"
    assert len(load(BENCHMARKS["mathverse"], path, store).items) == 1


def test_dynamath_reads_all_trials(tmp_path: Path, store: ImageStore):
    for trial in range(1, 11):
        folder = tmp_path / f"trial{trial}"
        record = {
            "question": "How many?",
            "answer": str(trial),
            "image": "image/image91.png",
            "answer_type": "float",
            "subject": "arithmetic",
            "level": "high school",
        }
        put(folder / "dataset.json", {"91": record})
        put_picture(folder / "image" / "image91.png")
    found = rows("dynamath", tmp_path / "trial3" / "dataset.json")
    assert [(row["varid"], row["answer"]) for row in found] == [(str(k), str(k)) for k in range(1, 11)]
    assert [row.index for row in found[:3]] == ["91", "592", "1093"]
    assert {(row["qid"], row["knowledge_level"]) for row in found} == {("91", "high school")}
    benchmark = BENCHMARKS["dynamath"]
    path = find(benchmark, tmp_path)
    data = load(benchmark, path, store, limit=1)
    assert len(data.items) == 10 and all(item.problem.images for item in data.items)


def wemath(option: str) -> dict[str, Any]:
    return {
        "ID": "2steps_1",
        "split": "testmini",
        "knowledge concept": "Length",
        "question": "OA = ( ) m",
        "option": option,
        "answer": "C",
        "image_path": "2steps/image/1-1.png",
        "key": "2steps_1",
        "question number": 1,
        "knowledge concept description": "Length: ...",
    }


def test_wemath_splits_its_options(tmp_path: Path, store: ImageStore):
    path = put(tmp_path / "testmini.json", [wemath("A. 3; 4;B. 400 m.;   C. B; D. No correct answer")])
    put_picture(tmp_path / "2steps" / "image" / "1-1.png")
    (row,) = rows("wemath", path)
    assert cells.options(row, required=True) == ("3; 4", "400 m.", "B", "No correct answer")
    assert (row.index, row["key"], row["knowledge concept"]) == ("1", "2steps_1", "Length")
    assert len(load(BENCHMARKS["wemath"], path, store).items) == 1


@pytest.mark.parametrize("option", ["300, 400", "A. 3; C. 4", "B. 3; A. 4"])
def test_wemath_options_out_of_order_are_named(tmp_path: Path, option: str):
    with pytest.raises(InputError, match="row 1: field 'option' lacks"):
        rows("wemath", put(tmp_path / "testmini.json", [wemath(option)]))


def test_logicvista(tmp_path: Path, store: ImageStore):
    record = {
        "imagename": "v1_2.png",
        "question": "Which two of A, B, C or D?",
        "answer": "B, D",
        "reasoning": "...",
        "skill": ["inductive"],
        "capability": ["diagram"],
        "imagesource": "made",
        "sourcelink": "",
    }
    path = put(tmp_path / "dataset.json", {"v1_2": record})
    put_picture(tmp_path / "images" / "v1_2.png")
    (row,) = rows("logicvista", path)
    assert (row.index, row["answer"]) == ("2", "B, D") and "inductive" in row["skill"]
    assert len(load(BENCHMARKS["logicvista"], path, store).items) == 1


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("../secret.png", "is outside the data folder"),
        ("/etc/hostname", "is outside the data folder"),
        ("images/none.jpg", "no picture 'images/none.jpg' in"),
        ("images/bad.jpg", "the picture cannot be decoded"),
    ],
)
def test_a_picture_that_cannot_be_had_takes_out_its_row(tmp_path: Path, store: ImageStore, image: str, told: str):
    folder = tmp_path / "data"
    path = put(folder / "testmini.json", {"7": vista(), "8": vista(pid="8", image=image)})
    put_picture(folder / "images" / "7.jpg")
    put_picture(tmp_path / "secret.png")
    (folder / "images" / "bad.jpg").write_bytes(b"<html>")
    data = load(BENCHMARKS["mathvista"], path, store)
    assert [item.index for item in data.items] == ["7"]
    assert told in data.bad["8"] and f"{path} row 2 index 8" in data.bad["8"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "not JSON in UTF-8"),
        (b"\xff\xfe{}", "not JSON in UTF-8"),
        (b"[" * 100_000, "not JSON in UTF-8"),
        (b"[1, 2]", "row 1: not an object"),
        (b'{"7": {"pid": "7"}}', "row 1: no field"),
        (b"[]", "it has no rows"),
        (b"7", "it has no rows"),
    ],
)
def test_what_is_not_the_authors_file_is_named(tmp_path: Path, content: bytes, told: str):
    path = tmp_path / "testmini.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        load(BENCHMARKS["mathvista"], path, None)
    assert str(caught.value).startswith(str(path))


def test_an_index_that_comes_twice_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"row 2: index '7' is already used in .* row 1"):
        rows("mathvista", put(tmp_path / "testmini.json", {"7": vista(), "8": vista()}))


def test_the_file_of_another_benchmark_is_refused(tmp_path: Path):
    path = put(tmp_path / "testmini.json", {"7": vista()})
    with pytest.raises(InputError, match="no field 'question number'"):
        load(BENCHMARKS["wemath"], path, None)


def test_only_benchmarks_with_an_authors_layout_read_json(tmp_path: Path):
    class Other(type(BENCHMARKS["mathvista"])):  # type: ignore[misc]
        name = "other"
        title = "Other"

    other: Benchmark = Other()
    with pytest.raises(InputError, match=r"Other is not read from \.json"):
        open_source(other, tmp_path / "testmini.json")
