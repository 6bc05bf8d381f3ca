"""The tiny world's test problems, and a user's own, as benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_benchmark import picture

from metis_rise.benchmarks.base import Prediction, Protocol, Row
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.figures import figures
from metis_rise.benchmarks.problems_file import RECORD, UserProblems, World
from metis_rise.benchmarks.scoring import score
from metis_rise.errors import InputError
from metis_rise.problems.dataset import make_sets
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import expert
from metis_rise.recipe.load import load_recipe


def test_the_world_is_the_test_split_of_the_tiny_recipe(store: ImageStore):
    recipe = load_recipe("tiny")
    data = load(World(), None, store)
    assert [item.problem for item in data.items] == make_sets(recipe.problems, recipe.seed, store).test
    assert data.file is None and data.rows == len(data.items) == 648
    again = load(World(), None, None, limit=5)
    assert again.md5 == data.md5 and [item.index for item in again.items] == [item.index for item in data.items[:5]]
    assert all(item.problem.images == () for item in again.items)


def test_the_worlds_expert_is_right_and_well_formed_everywhere(store: ImageStore):
    for item in load(World(), None, store, limit=30).items:
        assert World().rule(item, expert(item.problem)).strict
        assert item.labels == {"family": (item.problem.family,), "level": (str(item.problem.level),)}


def test_a_row_that_was_written_down_is_the_same_item(store: ImageStore):
    item = load(World(), None, store, limit=1).items[0]
    row = Row(item.index, {"index": item.index, RECORD: item.row[RECORD]}, "predictions.tsv row 1")
    again = World().item(row)
    assert (again.problem.answer, again.problem.meta, again.labels) == (
        item.problem.answer,
        item.problem.meta,
        item.labels,
    )


def test_right_answers_out_of_format_are_told_apart(store: ImageStore):
    items = load(World(), None, store, limit=4).items
    texts = [expert(items[0].problem), expert(items[1].problem), f"So the answer is {items[2].problem.answer}.", "?"]
    predictions = [Prediction(item.index, (text,), "here") for item, text in zip(items, texts, strict=True)]
    found = figures(World(), score(World(), items, predictions, Protocol.RULE))
    assert found.headlines["Overall"].score == 75.0
    assert found.more == {"right and well formed": 50.0}


@pytest.mark.parametrize("cell", ['{"id": "1"}', '{"surplus": 1}'])
def test_a_row_that_is_no_problem_is_named(cell: str):
    with pytest.raises(InputError, match=r"^here: column 'problem' is .*: not a problem"):
        World().problem(Row("1", {RECORD: cell}, "here"))


def write(folder: Path, *problems: dict[str, object]) -> Path:
    (folder / "p.png").write_bytes(picture())
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(problem) + "\n" for problem in problems), encoding="utf-8")
    return path


def problem(**changed: object) -> dict[str, object]:
    base = {"id": "a", "images": ["p.png"], "question": "How many?", "answer": "4", "answer_type": "number"}
    return base | changed


def test_a_users_file(tmp_path: Path, store: ImageStore):
    choice = problem(id="007", answer="B", answer_type="choice", choices=["red", "blue"], meta={"level": 2})
    path = write(tmp_path, problem(), choice)
    data = load(UserProblems(), path, store)
    first, second = data.items
    assert (first.index, second.index, second.problem.id) == ("a", "7", "7") and data.rows == 2
    assert len(first.problem.images) == 1 and first.row.images == first.problem.images
    assert (first.labels, second.labels["level"]) == ({"family": ("mine",), "level": ()}, ("2",))
    assert second.prompt == "How many?\nA. red\nB. blue"
    assert UserProblems().official(second, "(B)") and not UserProblems().official(second, "red")
    assert UserProblems().rule(first, "So the answer is 4.").correct
    assert not UserProblems().rule(first, "So the answer is 4.").well_formed
    assert [item.index for item in load(UserProblems(), path, None, limit=1).items] == ["a"]


def test_a_faulty_users_file_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="the ids '7' and '07' are one index"):
        load(UserProblems(), write(tmp_path, problem(id="7"), problem(id="07")), None)
    with pytest.raises(InputError, match="row 1: answer is missing"):
        load(UserProblems(), write(tmp_path, problem(answer="")), None)
    with pytest.raises(InputError, match="cannot be judged"):
        load(UserProblems(), write(tmp_path, problem(answer="answers vary", answer_type="text")), None)
