"""Files of predictions in every layout that is read, and the one that is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas
import pytest
from fake_benchmark import Fake
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Prediction, Row
from metis_rise.benchmarks.mathvision import MathVision
from metis_rise.benchmarks.predictions import PredictionFile, model_of, read, sidecar, write
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.errors import InputError

BENCHMARK = Fake()
RECORD = ProtocolRecord(style="rise", max_tokens=64)
TABLE = {"index": [3, 4], "question": ["q 3", "q\t4"], "prediction": ["It is 3.", 'He said "4"\nand left.']}


def item(index: str, **cells: str) -> Item:
    cells = {"index": index, "question": "?", "answer": index, "pair": "a", **cells}
    return BENCHMARK.item(Row(index, cells, f"row {index}"))


def answers(file: PredictionFile) -> dict[str, tuple[str, ...]]:
    return {each.index: each.texts for each in file.predictions}


def saved(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def frame_to(folder: Path, kind: str) -> Path:
    """`TABLE` as pandas, and so VLMEvalKit, writes it."""
    frame, path = pandas.DataFrame(TABLE), folder / f"p.{kind.partition(' ')[0]}"
    match kind:
        case "tsv":
            frame.to_csv(path, sep="\t", index=False)
        case "csv":
            frame.to_csv(path, index=False)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True)
        case _:
            frame.to_json(path, orient=kind.partition(" ")[2])
    return path


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "json records", "json columns", "json split", "json index"])
def test_every_layout_holds_the_same(tmp_path: Path, kind: str):
    found = read(frame_to(tmp_path, kind))
    assert answers(found) == {"3": ("It is 3.",), "4": ('He said "4"\nand left.',)}
    assert [row.cells for row in found.rows] == [{"index": "3", "question": "q 3"}, {"index": "4", "question": "q\t4"}]
    assert (found.record, found.table) == (ProtocolRecord(), False)


def test_columns_as_lists(tmp_path: Path):
    assert set(answers(read(saved(tmp_path, "p.json", TABLE)))) == {"3", "4"}


def test_mathvistas_own_results_are_a_dict_by_pid(tmp_path: Path):
    row = {"pid": "12", "response": "The answer is (B) no.", "extraction": "B", "prediction": "no", "true_false": True}
    found = read(saved(tmp_path, "output.json", {"12": row, "13": {**row, "pid": "13", "true_false": False}}))
    first, second = found.predictions
    assert (first.index, first.texts, first.extraction, first.verdict) == ("12", (row["response"],), "B", True)
    assert (second.index, second.verdict) == ("13", False)


def test_math_visions_own_results_are_jsonl(tmp_path: Path):
    row = {"id": "7", "options": [], "answer": "3", "response": "It is 3.", "model_answer": "3", "true_false": True}
    (found,) = read(saved(tmp_path, "output.jsonl", json.dumps(row) + "\n")).predictions
    assert (found.index, found.texts, found.extraction, found.verdict) == ("7", ("It is 3.",), "3", True)


@pytest.mark.parametrize("key", ["1", "0"])
def test_objects_by_index_need_no_index_column(tmp_path: Path, key: str):
    assert answers(read(saved(tmp_path, "p.json", {key: {"response": "x"}}))) == {key: ("x",)}


def test_others_verdicts_of_many_spellings(tmp_path: Path):
    for value, verdict in ((1, True), (0.0, False), ("True", True), ("FALSE", False), (None, None), ("", None)):
        path = saved(tmp_path, "p.json", [{"index": 1, "prediction": "x", "hit": value}])
        assert read(path).predictions[0].verdict is verdict


def test_what_could_not_be_obtained_is_missing_and_what_is_empty_is_not(tmp_path: Path):
    texts = ["Failed to obtain answer via API.", None, "", "x"]
    rows = [{"index": number, "prediction": text} for number, text in enumerate(texts)]
    found = read(saved(tmp_path, "p.json", rows))
    assert answers(found) == {"2": ("",), "3": ("x",)}
    assert [row.index for row in found.rows] == ["0", "1", "2", "3"]


@pytest.mark.parametrize("content", [{"prediction": "a", "prediction_2": "b"}, {"prediction": ["a", "b"]}])
def test_several_samples(tmp_path: Path, content: Mapping[str, Any]):
    found = read(saved(tmp_path, "p.json", [{"index": 1, "extraction": "a", **content}]))
    assert answers(found) == {"1": ("a", "b")}
    assert found.predictions[0].extraction is None


def test_results_of_several_models_in_one_file_are_rows_of_their_own(tmp_path: Path):
    rows = [{"pid": "7", "response": "a", "source": "llava"}, {"pid": "7", "response": "b", "source": "idefics"}]
    assert answers(read(saved(tmp_path, "both.json", rows))) == {"7": ("a",), "7 of idefics": ("b",)}
    with pytest.raises(InputError, match=r"row 3: index '7 of idefics' is already used in row 2"):
        read(saved(tmp_path, "thrice.json", [*rows, rows[1]]))
    with pytest.raises(InputError, match=r"row 2: index '7' is already used in row 1"):
        read(saved(tmp_path, "twice.json", [rows[0], rows[0]]))


def test_a_picture_column_is_not_kept(tmp_path: Path):
    (row,) = read(saved(tmp_path, "p.json", [{"index": 1, "image": "iVBO", "prediction": "x"}])).rows
    assert row.cells == {"index": "1"}


def test_dynamaths_result_table_becomes_rows_by_seed_and_variant(tmp_path: Path):
    head = "Question ID,Variant 1,Variant 2,# of correct per question,Topic,Difficulty Level\n"
    path = saved(tmp_path, "r.csv", f"{head}Q2,correct,fail,1,algebra,high school\nA_avg,50 ,0 ,,,\n,,,,,\n")
    found = read(path)
    assert found.table
    assert [(each.index, each.texts, each.verdict) for each in found.predictions] == [
        ("2", (), True),
        ("503", (), False),
    ]
    assert found.rows[1].cells == {
        "index": "503",
        "qid": "2",
        "varid": "2",
        "subject": "algebra",
        "knowledge_level": "high school",
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.xlsx", "PK", "PRED_FORMAT=tsv"),
        ("p.txt", "x", "known are .tsv, .csv, .json, .jsonl"),
        ("p.json", "{", "not JSON"),
        ("p.json", "[" * 100_000, "not JSON"),
        ("p.json", [1, 2], "the JSON is no table"),
        ("p.json", {"a": 1}, "the JSON is no table"),
        ("p.json", {"columns": ["index", "prediction"], "data": [[1]]}, "p.json row 1: not one value for each"),
        ("p.json", {"index": {"0": 1}, "prediction": {"1": "x"}}, "column 'prediction' has other rows"),
        ("p.json", [], "the file has no rows"),
        ("p.json", [{"number": 1, "prediction": "x"}], "no column 'index'; the file has 'number', 'prediction'"),
        ("p.json", [{"index": 1, "text": "x"}], "no column 'prediction'; the file has 'index', 'text'"),
        ("p.json", [{"index": None, "prediction": "x"}], "row 1: the index is empty"),
        ("p.json", [{"index": "1\x1b[2J", "prediction": "x"}], r"row 1: the index is '1\x1b[2J'"),
        ("p.json", [{"index": 1, "prediction": "x"}, {"index": "1.0", "prediction": "y"}], "row 2: index '1' is al"),
        ("p.json", [{"index": 1, "prediction": "x", "hit": "maybe"}], "row 1 index 1: column 'hit' is 'maybe'"),
        ("r.csv", "Question ID,Variant 1\nQx,fail\n", "row 1: the Question ID is 'Qx'"),
    ],
)
def test_a_bad_file_is_named_with_its_row(tmp_path: Path, name: str, content: Any, said: str):
    path = saved(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path):
    for name in ("p.json", "p.tsv", "p.csv", "p.jsonl"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["p.tsv", "p.json"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str):
    items = [item("1", note='a "quoted"\ttab'), item("2"), item("3")]
    predictions = [
        Prediction("1", ("one\n", ""), "", (True, False)),
        Prediction("3", ("x" * 40_000,), "", (None,)),
    ]
    write(tmp_path / name, items, predictions, RECORD)
    found = read(tmp_path / name)
    assert [(each.index, each.texts, each.ended) for each in found.predictions] == [
        ("1", ("one\n", ""), (True, False)),
        ("3", ("x" * 40_000,), (None,)),
    ]
    assert found.rows[0].cells == {**items[0].row.cells}
    assert found.record == RECORD


def test_pandas_reads_what_is_written(tmp_path: Path):
    """VLMEvalKit reads with pandas: integers are integers again, and every text is whole."""
    texts = ['a "b"\tc\nd', "x\ry", "x" * 40_000]
    items = [item(str(number)) for number in range(3)]
    write(tmp_path / "p.tsv", items, [Prediction(str(n), (text,), "") for n, text in enumerate(texts)], RECORD)
    frame = pandas.read_csv(tmp_path / "p.tsv", sep="\t")
    assert list(frame.columns) == ["index", "question", "answer", "pair", "prediction"]
    assert list(frame["index"]) == [0, 1, 2]
    assert list(frame["prediction"]) == texts


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.sampled_from(["tsv", "json"]))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str, kind: str):
    path = tmp_path_factory.mktemp("any") / f"p.{kind}"
    write(path, [item("1")], [Prediction("1", (text,), "")], RECORD)
    assert answers(read(path)) == {"1": (text,)}


def test_a_lone_surrogate_is_replaced_and_nothing_else(tmp_path: Path):
    path = saved(tmp_path, "p.json", '[{"index": 1, "prediction": "a\\ud800b"}]')
    assert answers(read(path)) == {"1": ("a?b",)}
    write(tmp_path / "out.tsv", [item("1")], [Prediction("1", ("a\ud800b",), "")], RECORD)
    assert answers(read(tmp_path / "out.tsv")) == {"1": ("a?b",)}


def test_a_faulty_sidecar_is_named(tmp_path: Path):
    path = saved(tmp_path, "p.json", [{"index": 1, "prediction": "x"}])
    for content, said in (("{", "not JSON"), ("[]", "not a JSON object"), ('{"stile": 1}', "unknown key 'stile'")):
        sidecar(path).write_text(content)
        with pytest.raises(InputError, match=r"p\.json\.protocol\.json: ") as caught:
            read(path)
        assert said in str(caught.value)


def test_the_models_name_is_in_the_files():
    assert model_of(Path("out/My_7B_MathVision.tsv"), MathVision()) == "My_7B"
    assert model_of(Path("My_7B.tsv"), MathVision()) is None
    assert model_of(Path("_MathVision.tsv"), MathVision()) is None


def test_cells_are_quoted_so_that_no_row_can_end_early(tmp_path: Path):
    write(tmp_path / "p.tsv", [item("1")], [Prediction("1", ("a\r\nb\rc",), "")], RECORD)
    with (tmp_path / "p.tsv").open(newline="") as file:
        assert len(list(csv.reader(file, delimiter="\t"))) == 2
