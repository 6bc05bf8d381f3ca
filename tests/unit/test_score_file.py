"""`rise eval --score`: files of predictions with and without the data beside them, in JSON and on the terminal."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from metis_rise.benchmarks.base import Protocol
from metis_rise.benchmarks.logicvista import LogicVista
from metis_rise.benchmarks.predictions import sidecar
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.benchmarks.result import result
from metis_rise.benchmarks.scoring import LeftOut, Scores
from metis_rise.errors import InputError
from metis_rise.evaluation.score_file import score_file
from metis_rise.evaluation.show import show_result
from metis_rise.journal import read_jsonl

Rows = Sequence[Mapping[str, Any]]


def table(folder: Path, name: str, rows: Rows) -> Path:
    """A file by its ending, .tsv or .json."""
    path = folder / name
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def logic(*texts: str) -> list[dict[str, str]]:
    """Rows of LogicVista with the gold answers A, B, C, ... and predictions."""
    return [
        {"index": str(n), "question": "Which?", "answer": "ABCD"[n], "skill": "spatial" if n % 2 else "deductive"}
        | {"prediction": text}
        for n, text in enumerate(texts)
    ]


def scored(capsys: pytest.CaptureFixture[str], path: Path, benchmark: str, **options: Any) -> dict[str, Any]:
    score_file(path, benchmark, as_json=True, **options)
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("ending", ["tsv", "json"])
def test_a_file_in_vlmevalkits_layout_is_scored_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
):
    path = table(tmp_path, f"Mine-7B_LogicVista.{ending}", logic("The answer is A.", "The answer is A.", "C", "(D)"))
    found = scored(capsys, path, "LogicVista")
    assert (found["benchmark"], found["model"], found["n"], found["score"]) == ("logicvista", "Mine-7B", 4, 75.0)
    assert (found["complete"], found["protocol"]["subset"], found["protocol"]["protocol"]) == (False, "4/447", "rule")
    figure = found["metrics"]["headlines"]["accuracy"]
    assert figure["low"] < 75 < figure["high"]
    assert found["metrics"]["breakdowns"]["accuracy"]["skill"]["spatial"]["score"] == 50.0


def test_the_data_may_stand_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data = [{name: row[name] for name in row if name != "prediction"} for row in logic("", "", "")]
    table(tmp_path, "LogicVista.tsv", data)
    path = table(tmp_path, "p.json", [{"index": 2, "prediction": "C"}, {"index": 0, "prediction": "B"}])
    found = scored(capsys, path, "logicvista", data=tmp_path)
    assert (found["n"], found["score"]) == (2, 50.0)
    assert found["metrics"]["left_out"] == [{"group": "1", "rows": 1, "why": "no prediction for index 1"}]
    assert found["protocol"]["data_md5"]


def test_without_data_anywhere_it_is_said_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LMUData", str(tmp_path))
    path = table(tmp_path, "p.json", [{"index": 0, "prediction": "B"}])
    with pytest.raises(InputError, match=r"no LogicVista\.tsv.*41c5d33adf33765c399e0e6ae588c061"):
        score_file(path, "logicvista")


def test_without_data_it_is_said_what_the_predictions_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LMUData", str(tmp_path))
    rows = [{("Answer" if name == "answer" else name): cell for name, cell in row.items()} for row in logic("A", "B")]
    path = table(tmp_path, "p.tsv", rows)
    with pytest.raises(InputError, match=r"p\.tsv: no column 'answer', so the data is needed; .*no LogicVista\.tsv"):
        score_file(path, "logicvista")


def test_the_sidecar_goes_with_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = table(tmp_path, "p.tsv", logic("A"))
    sidecar(path).write_text(json.dumps({"style": "vlmevalkit", "max_tokens": 99, "truncated": 0.5}))
    protocol = scored(capsys, path, "logicvista")["protocol"]
    assert (protocol["style"], protocol["max_tokens"], protocol["truncated"]) == ("vlmevalkit", 99, 0.5)


def test_other_data_than_was_answered_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = table(tmp_path, "LogicVista.tsv", logic("A"))
    sidecar(path).write_text(json.dumps({"data_md5": "abc"}))
    score_file(path, "logicvista", data=path, as_json=True)
    assert "answers to data with the MD5 abc" in capsys.readouterr().err


def test_limit_takes_the_first_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = scored(capsys, table(tmp_path, "p.tsv", logic("A", "A", "C")), "logicvista", limit=2)
    assert (found["n"], found["score"], found["metrics"]["strangers"]) == (2, 50.0, [])
    assert found["protocol"]["subset"] == "2/447"


def test_a_row_that_cannot_be_used_is_named_and_is_no_wrong_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = logic("A", "B")
    rows[1]["answer"] = ""
    found = scored(capsys, table(tmp_path, "p.tsv", rows), "logicvista")
    assert (found["n"], found["score"]) == (1, 100.0)
    assert "p.tsv row 2 index 1" in found["metrics"]["bad_rows"]["1"]
    assert found["metrics"]["strangers"] == []


def test_others_verdicts_are_compared_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [row | {"hit": hit} for row, hit in zip(logic("A", "B", "D"), ("1", "0", "1"), strict=True)]
    found = scored(capsys, table(tmp_path, "p.tsv", rows), "logicvista", verdicts=tmp_path / "v.jsonl")
    assert found["metrics"]["agreement"] == {"agree": 1, "n": 3, "only_ours": ["1"], "only_theirs": ["2"]}
    verdicts = read_jsonl(tmp_path / "v.jsonl")
    assert [(row["index"], row["verdicts"][0]["correct"], row["given"]) for row in verdicts] == [
        ("0", True, True),
        ("1", True, False),
        ("2", False, True),
    ]


def test_samples_are_scored_as_a_mean(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [row | {"prediction_2": "B"} for row in logic("A", "B")]
    found = scored(capsys, table(tmp_path, "p.tsv", rows), "logicvista")
    assert (found["score"], found["metrics"]["headlines"]["accuracy"]["pass@2"]) == (75.0, 100.0)


def test_the_official_protocol_says_where_an_extraction_is_lacking(tmp_path: Path):
    with pytest.raises(InputError, match=r"p\.tsv row 1 index 0: no extraction.*LogicVista.*--protocol rule or judge"):
        score_file(table(tmp_path, "p.tsv", logic("A")), "logicvista", protocol=Protocol.OFFICIAL)


def test_the_official_protocol_on_a_given_extraction(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    rows = [row | {"extraction": "A"} for row in logic("hm", "hm")]
    found = scored(capsys, table(tmp_path, "p.tsv", rows), "logicvista", protocol=Protocol.OFFICIAL)
    assert (found["score"], found["protocol"]["protocol"]) == (50.0, "official")


def test_a_judge_must_be_named(tmp_path: Path):
    with pytest.raises(InputError, match="--judge-url and --judge-model"):
        score_file(table(tmp_path, "p.tsv", logic("A")), "logicvista", protocol=Protocol.JUDGE)


def test_nothing_to_score_is_an_error_that_says_why(tmp_path: Path):
    data = table(tmp_path, "LogicVista.tsv", logic("A"))
    path = table(tmp_path, "p.json", [{"index": 9, "prediction": "B"}])
    with pytest.raises(InputError, match=r"p\.json: no group can be scored; .*no prediction for index 0"):
        score_file(path, "logicvista", data=data)


def verdict_table(folder: Path) -> Path:
    """Two seeds; the second has nine variants right."""
    head = ["Question ID", *(f"Variant {n}" for n in range(1, 11)), "Topic", "Difficulty Level"]
    seeds = [["Q1", *["correct"] * 10, "algebra", "high school"], ["Q2", *["correct"] * 9, "fail", "algebra", "k"]]
    path = folder / "r.csv"
    path.write_text("\n".join(",".join(row) for row in (head, *seeds)) + "\n")
    return path


def test_dynamaths_table_of_verdicts_is_scored_as_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    found = scored(capsys, verdict_table(tmp_path), "dynamath")
    assert (found["n"], found["score"], found["metrics"]["headlines"]["average"]["score"]) == (20, 50.0, 95.0)
    assert (found["protocol"]["protocol"], found["metrics"]["agreement"]) == ("given", None)


def test_a_table_of_verdicts_has_no_other_protocol_and_no_other_benchmark(tmp_path: Path):
    with pytest.raises(InputError, match="leave --protocol out"):
        score_file(verdict_table(tmp_path), "dynamath", protocol=Protocol.RULE)
    with pytest.raises(InputError, match="--benchmark dynamath"):
        score_file(verdict_table(tmp_path), "mathvista")


def test_mathvistas_own_results_hold_their_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    row = {
        "pid": "5",
        "question": "Is it red?",
        "choices": ["yes", "no"],
        "question_type": "multi_choice",
        "answer_type": "text",
        "precision": None,
        "answer": "no",
        "metadata": {"task": "visual question answering", "skills": ["numeric commonsense"]},
        "response": "The answer is (B) no.",
        "extraction": "B",
        "prediction": "no",
        "true_false": True,
    }
    path = tmp_path / "output.json"
    path.write_text(json.dumps({"5": row}))
    for protocol in (Protocol.RULE, Protocol.OFFICIAL):
        found = scored(capsys, path, "mathvista", protocol=protocol)
        assert (found["score"], found["metrics"]["agreement"]["agree"]) == (100.0, 1)
    assert set(found["metrics"]["breakdowns"]["accuracy"]["skill"]) == {"numeric commonsense"}


def test_math_visions_own_results_hold_their_data_but_not_always_the_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    row = {"id": "5", "options": ["1", "2"], "answer": "B", "subject": "algebra", "level": 2, "response": "So: B."}
    path = tmp_path / "output.jsonl"
    path.write_text(json.dumps(row | {"model_answer": "2", "true_false": True}) + "\n")
    found = scored(capsys, path, "mathvision", protocol=Protocol.OFFICIAL)
    assert (found["score"], found["metrics"]["agreement"]["agree"]) == (100.0, 1)
    assert set(found["metrics"]["breakdowns"]["accuracy"]["subject"]) == {"algebra"}


def test_the_terminal_shows_the_score_first_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "100")
    rows = [row | {"hit": "0"} for row in logic("A", "", "C")]
    data = table(tmp_path, "LogicVista.tsv", logic("", "", "", ""))
    score_file(table(tmp_path, "Mine_LogicVista.tsv", rows), "logicvista", data=data)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == "LogicVista · Mine · subset 3/447 rows"
    for part in (
        "accuracy   66.67",
        "accuracy by skill",
        "left out: 1 group (1 row): 3: no prediction for index 3",
        "empty answers, counted as wrong: 1: index 1",
        "the file's own verdicts: 1 of 3 agree",
        "right only here: index 0, 2",
        "protocol rule · scored by metis-rise",
        "subset 3/447 · unknown: style,",
    ):
        assert part in shown
    assert shown.index("66.67") < shown.index("by skill") < shown.index("left out") < shown.index("protocol rule")


def test_markup_in_a_file_is_shown_as_it_is_and_long_lists_are_cut():
    left_out = tuple(LeftOut(f"[bold]{n}", 1, "why") for n in range(7))
    found = result(LogicVista(), Scores((), left_out, 7, 1), ProtocolRecord(engine="[red]x"), "[b]m")
    console = Console(file=io.StringIO(), width=200)
    show_result(found, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[b]m" in text and "[bold]4: why and 2 more" in text and "[bold]5" not in text and "engine [red]x" in text


def test_what_a_file_holds_cannot_steer_the_terminal():
    left_out = (LeftOut("7\x1b[2J\r", 1, "why"),)
    console = Console(file=io.StringIO(), width=200)
    show_result(result(LogicVista(), Scores((), left_out, 1, 1), ProtocolRecord(), "m\x1b]0;x"), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b" not in text and "\r" not in text and "7\ufffd[2J\ufffd: why" in text


def test_scoring_loads_neither_torch_nor_transformers():
    code = (
        "import sys\nimport metis_rise.evaluation.score_file\n"
        "print([name for name in ('torch', 'transformers', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.shared_data
def test_the_shared_table_gives_the_authors_figures(shared_data: Path, capsys: pytest.CaptureFixture[str]):
    found = scored(capsys, shared_data / "fixtures" / "dynamath_Qwen2-7B.csv", "dynamath")
    headlines = found["metrics"]["headlines"]
    assert [round(headlines[name]["score"], 2) for name in ("average", "worst case")] == [42.14, 13.77]
    assert (found["n"], found["complete"], round(found["score"], 2)) == (5010, True, 13.77)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "benchmark"), [("mathvista_scored.jsonl", "mathvista"), ("mathvision_scored.jsonl", "mathvision")]
)
def test_the_official_protocol_agrees_with_the_authors_on_every_shared_row(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, benchmark: str
):
    """The fixture holds answers of several models, so some questions are there more than once: scored in parts."""
    parts: list[dict[str, str]] = []
    for line in (shared_data / "fixtures" / name).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        key = str(row.get("pid", row.get("id")))
        part = next((part for part in parts if key not in part), None)
        if part is None:
            parts.append(part := {})
        part[key] = line
    for number, part in enumerate(parts):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("\n".join(part.values()) + "\n", encoding="utf-8")
        agreement = scored(capsys, path, benchmark, protocol=Protocol.OFFICIAL)["metrics"]["agreement"]
        assert (agreement["agree"], agreement["n"]) == (len(part), len(part))


@pytest.mark.shared_data
def test_all_six_shared_samples_score_with_their_gold_answers(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    files = sorted((shared_data / "benchmarks").glob("*.tsv"))
    assert len(files) == 6
    csv.field_size_limit(1 << 27)
    for file in files:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = [dict(row) for row in csv.DictReader(opened, delimiter="\t")]
        for row in rows:
            del row["image"]
            row["prediction"] = rf"\boxed{{{row.get('answer_option') or row['answer']}}}"
        alone = scored(capsys, table(tmp_path, f"M_{file.name}", rows), file.stem)
        bare = [{"index": int(row["index"]), "prediction": row["prediction"]} for row in rows]
        joined = scored(capsys, table(tmp_path, "p.json", bare), file.stem, data=file)
        assert (alone["n"], alone["score"], joined["n"], joined["score"]) == (len(rows), 100.0, len(rows), 100.0)
