"""`rise verify`: what it prints and counts, and the one line that each bad file gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from metis_rise.cli import app
from metis_rise.verify import pairs as pairs_module

RIGHT = r"<think> I count. </think><answer>\boxed{4}</answer>"


def pair(gold: Any, prediction: Any, should_match: Any, **fields: Any) -> dict[str, Any]:
    return {"gold": gold, "prediction": prediction, "should_match": should_match} | fields


MIXED = [
    pair("1/2", "The answer is 0.5", True, id="half", kind="fraction"),
    pair("4", "5", False, id="other", kind="number"),
    pair("4", "4", False, id="mislabelled", kind="number"),
    pair("7", "so it is 9", True, kind="number"),
    pair("7", "so it is 8", True, id="eight"),
    pair("B", "The answer is (B) blue.", True, choices=["red", "blue"], answer_type="mcq", kind="choice"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pairs.jsonl"


def verify(file: Path, *rows: dict[str, Any] | str, options: tuple[str, ...] = ()) -> Result:
    file.write_text("\n".join(json.dumps(row) if isinstance(row, dict) else row for row in rows))
    return CliRunner().invoke(app, ["verify", str(file), *options], env={"COLUMNS": "120"})


def outcome(file: Path, *rows: dict[str, Any] | str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    done = verify(file, *rows, options=("--json", *options))
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_is_the_contract_and_nothing_else(file: Path):
    assert outcome(file, *MIXED) == {
        "n": 6,
        "agreement": 0.5,
        "false_positives": 1,
        "false_negatives": 2,
        "differences": ["mislabelled", 4, "eight"],
    }


def test_a_row_without_an_id_goes_by_its_line(file: Path):
    assert outcome(file, "", pair("4", "4", True), "", pair("4", "5", True))["differences"] == [4]


def test_tables_name_kinds_and_every_pair_that_differs(file: Path):
    done = verify(file, *MIXED)
    assert done.exit_code == 0
    text = done.stdout
    assert "lenient: 50.0 % agreement (3 of 6 pairs), 1 false positives, 2 false negatives" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith("number ")] == [
        ["number", "3", "33.3", "%", "1", "1"]
    ]
    assert "mislabelled  taken as right, should be wrong" in text
    assert "4  taken as wrong, should be right" in text
    shown = text[text.index("4  taken as wrong") :]
    assert "prediction  so it is 9" in shown and "extracted   9  (" in shown
    assert "reason      different, decided by: number" in shown
    assert "half" not in text


def test_without_kinds_there_is_no_table(file: Path):
    assert verify(file, pair("4", "4", True)).stdout == (
        "lenient: 100.0 % agreement (1 of 1 pairs), 0 false positives, 0 false negatives\n"
    )


def test_strict_wants_the_format_and_lenient_does_not(file: Path):
    rows = [pair("4", r"\boxed{4}", True), pair("4", RIGHT, True)]
    assert outcome(file, *rows)["differences"] == []
    assert outcome(file, *rows, options=("--strict",))["differences"] == [1]
    assert verify(file, *rows, options=("--strict",)).stdout.startswith("strict: 50.0 % agreement")


def test_the_type_comes_from_the_row_else_from_the_gold_answer(file: Path):
    rows = [
        pair("B", "b", True),
        pair("B", "b", True, answer_type="choice"),
        pair("blue", "(B)", True, choices=["red", "blue"], answer_type="text"),
        pair("blue", "(A)", False, choices=["red", "blue"]),
        pair(2, 2.0, True),
        pair("Serrulate", "serrulate", True, answer_type="free-form"),
    ]
    assert outcome(file, *rows)["differences"] == []


def test_the_question_shows_an_echo(file: Path):
    echo = pair("7", "3+4", False, question="What is 3+4?")
    assert outcome(file, echo)["differences"] == []
    assert outcome(file, pair("7", "3+4", True))["differences"] == []


@pytest.mark.parametrize(
    ("row", "what", "mend"),
    [
        ("{not json", "not JSON", "write one JSON object per line"),
        ("[1]", "not a JSON object", "write one JSON object per line"),
        ({"prediction": "4", "should_match": True}, "gold is missing", "write the gold"),
        (pair(None, "4", True), "gold is missing", "write the gold"),
        (pair("4", ["4"], True), "prediction is missing, or neither a string nor a number", "write the prediction"),
        (pair("4", "4", "yes"), "should_match is neither true nor false", "write whether the two"),
        ({"gold": "4", "prediction": "4"}, "should_match is neither true nor false", "write whether the two"),
        (pair("4", "4", True, answer_type="numbr"), "unknown answer_type 'numbr'", "did you mean 'number'?"),
        (pair("4", "4", True, choices="red, blue"), "choices is not a list", "A first, or leave choices out"),
        (pair("4", "4", True, choices=[]), "choices is not a list", "A first, or leave choices out"),
        (pair("4", "4", True, question=3), "question is a number", "as a string"),
        (pair("4", "4", True, kind=3), "kind is a number", "as a string"),
        (pair("4", "4", True, id=[1]), "id is neither", "leave id out"),
        (pair("4", "4", True, id=True), "id is neither", "leave id out"),
    ],
)
def test_a_bad_row_gets_one_line_with_file_row_and_mend(file: Path, row: dict[str, Any] | str, what: str, mend: str):
    done = verify(file, pair("4", "4", True), row)
    assert done.exit_code == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {file}, row 2: ")
    assert what in line and mend in line.partition("; ")[2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jsonl"], "none.jsonl: there is no such file"),
        (["."], "this is a folder"),
        ([], "give a file of pairs, or both --gold and --prediction"),
        (["--gold", "4"], "both --gold and --prediction"),
        (["--prediction", "4"], "both --gold and --prediction"),
        (["a.jsonl", "--gold", "4"], "--gold is for one pair and a.jsonl is a file of them"),
        (["a.jsonl", "--choice", "red"], "--choice is for one pair"),
        (["--gold", "4", "--prediction", "4", "--json"], "--json is for a file of pairs"),
        (["--gold", "4", "--prediction", "4", "--type", "numbr"], "--type numbr: known are choice, number, text"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["verify", *arguments])
    (line,) = done.stderr.splitlines()
    assert done.exit_code == 2 and line.startswith("error: ") and said in line


def test_an_empty_file_is_an_error(file: Path):
    done = verify(file, "")
    assert done.exit_code == 2 and "the file has no rows" in done.stderr


def explained(*arguments: str) -> dict[str, str]:
    done = CliRunner().invoke(app, ["verify", *arguments])
    assert done.exit_code == 0, done.stderr
    return {line[:12].strip(): line[12:] for line in done.stdout.splitlines()}


def test_one_verdict_is_explained():
    found = explained("--gold", r"\frac{1}{2}", "--prediction", "Half of it. The answer is $0.5$.")
    assert (found["verdict"], found["decided by"], found["type"]) == ("right", "number", "number")
    assert (found["extracted"], found["rule"]) == ("0.5", "announced")
    assert found["compared"] == r"\frac{1}{2}   with   0.5"
    assert found["reason"] == "right"
    assert found["format"] == "not as taught: not one think and one answer block"


def test_the_options_of_one_verdict_count():
    options = ("--choice", "red", "--choice", "blue", "--type", "choice")
    assert explained("--gold", "B", "--prediction", "blue", *options)["verdict"] == "right"
    assert explained("--gold", "A", "--prediction", "blue", *options)["verdict"] == "wrong"
    echo = ("--gold", "7", "--prediction", "3+4")
    assert explained(*echo)["verdict"] == "right"
    assert explained(*echo, "--question", "What is 3+4?")["verdict"] == "wrong"
    assert explained("--gold", "4", "--prediction", "4", "--strict")["verdict"] == "wrong"
    assert explained("--gold", "4", "--prediction", RIGHT, "--strict")["verdict"] == "right"
    assert explained("--gold", "4", "--prediction", RIGHT)["format"] == "as taught"


def test_an_answer_that_is_not_found_is_explained_too():
    found = explained("--gold", "4", "--prediction", "I am not sure about any of this.", "--strict")
    assert (found["verdict"], found["extracted"], found["rule"]) == ("wrong", "nothing", "no box")


def test_markup_in_answers_is_shown_as_it_is():
    assert explained("--gold", "[bold]", "--prediction", "[red]x[/red]")["gold"] == "[bold]"


def test_a_long_prediction_is_shown_by_its_ends(file: Path):
    done = verify(file, pair("4", "start " + "so " * 200 + "the end is 5", True, id="long"))
    (line,) = (line for line in done.stdout.splitlines() if line.strip().startswith("prediction"))
    assert "start so" in line and "the end is 5" in line and len(line) < 160


@pytest.mark.parametrize(("delay", "seen"), [(0.0, True), (60.0, False)])
def test_long_work_shows_a_bar_beside_the_result(file: Path, monkeypatch: pytest.MonkeyPatch, delay: float, seen: bool):
    monkeypatch.setattr(pairs_module, "BAR_AFTER", delay)
    done = verify(file, *[pair("4", "4", True)] * 300, options=("--json",))
    assert ("verify" in done.stderr) is seen
    assert json.loads(done.stdout)["n"] == 300
