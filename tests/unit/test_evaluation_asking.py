from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluating import asking
from fake_benchmark import Fake

from metis_rise.benchmarks.base import Item, Row, Style
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import AUTO, shown, system_text, unfit
from metis_rise.problems.prompt import load_system

OURS = load_system("rise")


def item(question: str, images: tuple[str, ...] = ("a" * 64,), index: str = "7") -> Item:
    row = Row(index, {"question": question, "answer": "1", "pair": "0"}, f"f.tsv row 2 index {index}", images)
    return Fake().item(row)


def texts(messages: list) -> list[tuple[str, str]]:
    return [(m["role"], "".join(p.get("text", "[picture]") for p in m["content"])) for m in messages]


def test_our_style_shows_the_bare_question_under_the_system_prompt():
    one = item("What is in it?")
    messages, images = shown(one, Style.RISE, "Think.")
    assert texts(messages) == [("system", "Think."), ("user", "[picture]What is in it?")]
    assert images == one.problem.images


def test_the_data_sets_own_style_shows_pictures_first_and_its_text_as_it_is():
    messages, images = shown(item("In <image1> and <image2>?", ("a" * 64, "b" * 64)), Style.VLMEVALKIT, None)
    assert texts(messages) == [("user", "[picture][picture]Question: In <image1> and <image2>?")]
    assert len(images) == 2


def test_pictures_come_in_the_order_in_which_the_question_names_them():
    messages, images = shown(item("First <image2>, then <image1>.", ("a" * 64, "b" * 64)), Style.RISE, None)
    assert texts(messages) == [("user", "First [picture], then [picture].")]
    assert images == ("b" * 64, "a" * 64)


def test_what_cannot_be_shown_is_named_with_its_row():
    items = [item("Fine?"), item("See <image3>.", index="8")]
    faults = unfit(items, Style.RISE)
    assert set(faults) == {"8"}
    assert faults["8"].startswith("f.tsv row 2 index 8: the question has the marker <image3>")
    assert unfit(items, Style.VLMEVALKIT) == {}
    assert asking(Style.VLMEVALKIT).requests("fake", [(items[1], (0,))])


def test_ids_of_requests_differ_between_benchmarks_and_seeds_between_items():
    how = asking(samples=3, temperature=1.0)
    wanted = [(item("Q", index="1"), (0, 1, 2)), (item("Q", index="2"), (2,))]
    first, other = how.requests("mathvista", wanted), how.requests("wemath", wanted)
    assert not set(first) & set(other)
    assert all(request.n == 3 for _, request in first.values())
    seeds = {request.seed for asked in (first, other) for _, request in asked.values()}
    assert len(seeds) == 4
    changed = replace(how, seed=1).requests("mathvista", wanted)
    assert seeds.isdisjoint(request.seed for _, request in changed.values())


def test_auto_is_what_a_model_was_trained_with_else_ours_and_in_the_other_style_nothing(tmp_path: Path):
    assert system_text(AUTO, Style.RISE, tmp_path) == OURS
    assert system_text(AUTO, Style.RISE, Path("name-of-a-served-model")) == OURS
    (tmp_path / "metis_rise.json").write_text(json.dumps({"system": "As trained."}))
    assert system_text(AUTO, Style.RISE, tmp_path) == "As trained."
    assert system_text(AUTO, Style.VLMEVALKIT, tmp_path) is None
    assert system_text("rise", Style.VLMEVALKIT, tmp_path) == OURS
    assert system_text(None, Style.RISE, tmp_path) is None
    with pytest.raises(InputError, match="cannot be read"):
        system_text(str(tmp_path / "none.txt"), Style.RISE, tmp_path)
