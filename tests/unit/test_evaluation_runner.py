from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluating import Told, asking, data
from fake_benchmark import Fake

from metis_rise.benchmarks.base import Style
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.benchmarks.predictions import read
from metis_rise.errors import InputError
from metis_rise.evaluation.answers import Answers
from metis_rise.evaluation.asking import Asking
from metis_rise.evaluation.folder import claim, free
from metis_rise.evaluation.runner import Evaluation, Scoring
from metis_rise.journal import read_jsonl

RIGHT = {str(number): str(number) for number in range(4)}
HALF = RIGHT | {"3": "8"}


def evaluation(folder: Path, told: Told) -> Evaluation:
    made = Evaluation("tiny", folder / "out", told, Scoring())
    made.claim("some/folder")
    return made


def test_answers_are_scored_group_by_group_and_everything_lies_in_the_folder(tmp_path: Path):
    result = evaluation(tmp_path, Told(HALF)).run(Fake(), data(tmp_path))
    home = tmp_path / "out" / "fake"
    assert result.figures.score == 50.0 and result.complete
    assert json.loads((home / "score.json").read_text()) == result.to_json()
    assert result.record.data_md5 == data(tmp_path).md5 and result.record.truncated == 0.0
    assert [row["verdicts"][0]["correct"] for row in read_jsonl(home / "verdicts.jsonl")] == [True, True, True, False]
    written = read(home / "tiny_Fake_MINI.tsv")
    assert [p.texts for p in written.predictions] == [
        (f"<answer>\\boxed{{{HALF[str(n)]}}}</answer>",) for n in range(4)
    ]
    assert written.record.style == "rise" and written.record.max_tokens == 16


def test_what_is_answered_is_not_asked_again_whatever_ended_the_process(tmp_path: Path):
    with pytest.raises(InputError, match="the engine is gone"):
        evaluation(tmp_path, Told(HALF, patience=2)).run(Fake(), data(tmp_path))
    journal = tmp_path / "out" / "fake" / "answers.jsonl"
    assert [row["index"] for row in read_jsonl(journal)] == ["3", "2"]
    with journal.open("ab") as file:
        file.write(b'{"index": "1", "sam')
    second = Told(HALF)
    assert evaluation(tmp_path, second).run(Fake(), data(tmp_path)).figures.score == 50.0
    assert second.asked == [("1", (0,)), ("0", (0,))]
    third = Told({})
    assert evaluation(tmp_path, third).run(Fake(), data(tmp_path)).figures.score == 50.0
    assert third.asked == []


def test_of_several_samples_only_the_missing_ones_are_wanted(tmp_path: Path):
    items = data(tmp_path, 2).items
    answers = Answers(tmp_path / "answers.jsonl", items)
    answers.add([Answer("0", 1, "a", True), Answer("1", 0, "b", None), Answer("1", 1, "c", False)])
    again = Answers(tmp_path / "answers.jsonl", items)
    assert [(item.index, missing) for item, missing in again.wanted(items, 2)] == [("0", (0,))]
    (prediction,) = again.predictions(items[1:], 2)
    assert (prediction.texts, prediction.ended) == (("b", "c"), (None, False))


def test_a_line_that_is_no_answer_is_named_and_never_taken_for_one(tmp_path: Path):
    file = tmp_path / "answers.jsonl"
    whole = '{"index": "0", "sample": 0, "text": "a", "ended": true, "asked": "0"}'
    file.write_text(f'{whole}\n{{"index": 1, "sample": 0}}\n')
    with pytest.raises(InputError, match=r"answers.jsonl row 2: not an answer.*delete this line"):
        Answers(file, [])


def test_several_samples_are_a_mean(tmp_path: Path):
    how = asking(samples=2, temperature=1.0)
    result = evaluation(tmp_path, Told(HALF, how)).run(Fake(), data(tmp_path))
    assert result.figures.samples == 2 and result.figures.score == 50.0
    assert (result.record.decoding or {})["samples"] == 2


def test_a_question_that_a_model_cannot_be_shown_is_left_out_with_its_group_and_named(tmp_path: Path):
    loaded = data(tmp_path, question="What is in <image9>?")
    told = Told(RIGHT)
    result = evaluation(tmp_path, told).run(Fake(), loaded)
    assert told.asked == [] and result.figures.score is None
    assert set(result.bad) == set(RIGHT) and "marker <image9>" in result.bad["0"]
    assert [each.group for each in result.scores.left_out] == ["0", "1"]


@pytest.mark.parametrize(
    ("how", "named"),
    [
        (asking(system="Other."), "system"),
        (asking(style=Style.VLMEVALKIT), "style"),
        (asking(samples=2, temperature=1.0), "samples"),
    ],
)
def test_another_way_of_asking_or_model_is_refused_by_name_and_changes_nothing(tmp_path: Path, how: Asking, named: str):
    evaluation(tmp_path, Told(RIGHT)).run(Fake(), data(tmp_path))
    before = (tmp_path / "out" / "evaluation.json").read_bytes()
    with pytest.raises(InputError, match=rf"other settings: .*{named} \(.* there, .* here\)"):
        evaluation(tmp_path, Told(RIGHT, how))
    assert (tmp_path / "out" / "evaluation.json").read_bytes() == before


def test_another_models_answers_are_told_by_its_weights_or_else_its_name(tmp_path: Path):
    evaluation(tmp_path, Told(RIGHT)).run(Fake(), data(tmp_path))
    other = Told(RIGHT)
    other.weights = "v"
    with pytest.raises(InputError, match='weights \\("w" there, "v" here\\)'):
        evaluation(tmp_path, other)
    other.weights = None
    with pytest.raises(InputError, match='weights \\("w" there, "some/folder" here\\)'):
        evaluation(tmp_path, other)


def test_other_data_under_the_same_indices_is_asked_anew_and_the_first_is_not_asked_again(tmp_path: Path):
    evaluation(tmp_path, Told(RIGHT)).run(Fake(), data(tmp_path))
    other = Told(dict.fromkeys(RIGHT, "wrong"))
    changed = data(tmp_path / "new", question="What else?")
    assert evaluation(tmp_path, other).run(Fake(), changed).figures.score == 0.0
    assert {index for index, _ in other.asked} == set(RIGHT)
    again = Told({})
    assert evaluation(tmp_path, again).run(Fake(), data(tmp_path)).figures.score == 100.0
    assert again.asked == []


def test_without_a_folder_named_other_settings_go_on_beside_what_is_there(tmp_path: Path):
    out, said = tmp_path / "tiny", list[str]()

    def answered(folder: Path, seed: int) -> None:
        claim(folder, "m", {"seed": seed})
        (folder / "fake").mkdir(exist_ok=True)
        (folder / "fake" / "answers.jsonl").write_text("")

    assert free(out, {"seed": 1}, said.append) == out and said == []
    answered(out, 1)
    assert free(out, {"seed": 1}, said.append) == out and said == []
    assert free(out, {"seed": 2}, said.append) == tmp_path / "tiny-2"
    assert "seed (1 there, 2 here); going on in" in said[0]
    answered(tmp_path / "tiny-2", 2)
    assert free(out, {"seed": 2}, said.append) == tmp_path / "tiny-2"
    assert free(out, {"seed": 3}, said.append) == tmp_path / "tiny-3"


def test_settings_of_a_folder_without_answers_may_change(tmp_path: Path):
    claim(tmp_path / "out", "m", {"seed": 1})
    claim(tmp_path / "out", "m", {"seed": 2})
    (tmp_path / "out" / "fake").mkdir()
    (tmp_path / "out" / "fake" / "answers.jsonl").write_text("")
    with pytest.raises(InputError, match=r"seed \(2 there, 3 here\)"):
        claim(tmp_path / "out", "m", {"seed": 3})


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="no evaluation folder"):
        claim(tmp_path, "m", {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_part_of_ones_own_data_is_called_a_subset(tmp_path: Path):
    class Own(Fake):
        known = None

    whole = data(tmp_path)
    part = replace(whole, items=whole.items[:2], rows=len(whole.items))
    assert evaluation(tmp_path, Told(RIGHT)).run(Own(), part).record.subset == f"2/{len(whole.items)}"
