"""WeMath: every combination of right and wrong rows of a problem, worked by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks.base import Item, Row
from metis_rise.benchmarks.wemath import Mastery, WeMath, loose_score, mastery, strict_score
from metis_rise.errors import InputError

WEMATH = WeMath()

# Steps and whole question, 1 for right; then class and worth, strict and loose.
TWO_STEPS = {
    "11 1": ("CM", 1.0, "CM", 1.0),
    "11 0": ("IG", 0.5, "IG", 0.5),
    "10 1": ("RM", 0.0, "CM", 1.0),
    "01 1": ("RM", 0.0, "CM", 1.0),
    "00 1": ("RM", 0.0, "RM", 0.0),
    "10 0": ("IK", 0.0, "IK", 0.0),
    "01 0": ("IK", 0.0, "IK", 0.0),
    "00 0": ("IK", 0.0, "IK", 0.0),
}
THREE_STEPS = {
    "111 1": ("CM", 1.0, "CM", 1.0),
    "111 0": ("IG", 0.5, "IG", 0.5),
    "110 1": ("RM", 0.0, "CM", 1.0),
    "101 1": ("RM", 0.0, "CM", 1.0),
    "011 1": ("RM", 0.0, "CM", 1.0),
    "100 1": ("RM", 0.0, "CM", 1.0),
    "010 1": ("RM", 0.0, "CM", 1.0),
    "001 1": ("RM", 0.0, "CM", 1.0),
    "000 1": ("RM", 0.0, "RM", 0.0),
    "110 0": ("IK", 0.0, "IK", 0.0),
    "101 0": ("IK", 0.0, "IK", 0.0),
    "011 0": ("IK", 0.0, "IK", 0.0),
    "100 0": ("IK", 0.0, "IK", 0.0),
    "010 0": ("IK", 0.0, "IK", 0.0),
    "001 0": ("IK", 0.0, "IK", 0.0),
    "000 0": ("IK", 0.0, "IK", 0.0),
}
ALL = TWO_STEPS | THREE_STEPS


def row(key: str = "2steps_1", number: str = "2steps_5", index: str = "5", **cells: str) -> Row:
    base = {"ID": number, "key": key, "knowledge concept": "Rotation", "question": "What is the area?", "answer": "B"}
    options = {"A": "5 cm", "B": "6 cm", "C": "8 cm", "D": "No correct answer", "E": ""}
    return Row(index, base | options | cells, f"WeMath.tsv row 3 index {index}")


def problem(steps: int, number: int = 5) -> list[Item]:
    keys = [f"{steps}steps_{part}" for part in (*range(1, steps + 1), "multi")]
    return [WEMATH.item(row(key, f"{steps}steps_{number}", f"{number}/{key}")) for key in keys]


def marked(pattern: str, number: int = 5) -> tuple[list[Item], dict[str, bool]]:
    steps, whole = pattern.split()
    items = problem(len(steps), number)
    return items, {item.index: mark == "1" for item, mark in zip(items, steps + whole, strict=True)}


def test_all_combinations_are_worked():
    assert set(TWO_STEPS) == {f"{a}{b} {m}" for a, b, m in product("01", repeat=3)}
    assert set(THREE_STEPS) == {f"{a}{b}{c} {m}" for a, b, c, m in product("01", repeat=4)}
    assert {found[0] for found in TWO_STEPS.values()} == {found[0] for found in THREE_STEPS.values()} == set(Mastery)


@pytest.mark.parametrize("pattern", ALL)
def test_every_combination_has_the_hand_worked_class_and_worth(pattern: str):
    items, marks = marked(pattern)
    right = [mark == "1" for mark in pattern.split()[0]]
    whole = pattern.endswith("1")
    found = mastery(right, whole, strict=True), strict_score(items, marks)
    loose = mastery(right, whole, strict=False), loose_score(items, marks)
    assert (*found, *loose) == ALL[pattern]
    assert strict_score(list(reversed(items)), marks) == found[1]


def test_the_leaderboards_number_comes_first():
    assert [headline.name for headline in WEMATH.headlines] == ["strict", "loose"]
    items, marks = marked("101 1")
    assert [headline.worth(items, marks) for headline in WEMATH.headlines] == [0.0, 1.0]


def score_all(patterns: list[str]) -> tuple[float, float, dict[str, float]]:
    scored: list[tuple[Item, bool]] = []
    strict = loose = 0.0
    for number, pattern in enumerate(patterns):
        items, marks = marked(pattern, number)
        scored += [(item, marks[item.index]) for item in items]
        strict += strict_score(items, marks)
        loose += loose_score(items, marks)
    return 100 * strict / len(patterns), 100 * loose / len(patterns), dict(WEMATH.more(scored))


def test_eight_two_step_and_sixteen_three_step_problems_by_hand():
    """Strict 2 CM, 2 IG, 10 IK, 10 RM of 24; loose 10 CM, 2 IG, 10 IK, 2 RM; RM is a share of CM + RM."""
    strict, loose, more = score_all(list(ALL))
    assert strict == pytest.approx(100 * (2 + 0.5 * 2) / 24)
    assert strict == pytest.approx(100 * (24 - 0.5 * 2 - 10 - 10) / 24)
    assert loose == pytest.approx(100 * (10 + 0.5 * 2) / 24)
    expected = {
        "CM strict": 100 * 2 / 24,
        "IG strict": 100 * 2 / 24,
        "IK strict": 100 * 10 / 24,
        "RM strict": 100 * 10 / 12,
        "CM loose": 100 * 10 / 24,
        "IG loose": 100 * 2 / 24,
        "IK loose": 100 * 10 / 24,
        "RM loose": 100 * 2 / 12,
        "S1": 50.0,
        "S2": 50.0,
        "S3": 50.0,
        "Basic Transformations of Figures": 50.0,
    }
    assert more == pytest.approx(expected)


def test_accuracy_by_number_of_steps_by_hand():
    """S1 takes the steps of all problems (5 of 9 right), S2 and S3 the whole questions."""
    _, _, more = score_all(["11 0", "10 1", "00 1", "110 0"])
    assert (more["S1"], more["S2"], more["S3"]) == pytest.approx((100 * 5 / 9, 100 * 2 / 3, 0.0))


def test_without_a_right_whole_question_there_is_no_rate_of_rote_memorization():
    _, _, more = score_all(["11 0", "00 0"])
    assert not any(name.startswith("RM") for name in more)
    assert more["IG strict"] == more["IK loose"] == 50.0


def test_a_domain_is_the_mean_of_its_concepts():
    steps = [("Rotation", True), ("Rotation", False), ("Translation", True), ("Area of Circles", False)]
    items = [item for number in (1, 2) for item in problem(2, number)]
    told = iter(steps)
    scored = []
    for item in items:
        concept, right = ("Front-Back Position", False) if item.index.endswith("multi") else next(told)
        cells = dict(item.row.cells) | {"knowledge concept": concept}
        scored.append((WEMATH.item(Row(item.index, cells, item.row.place)), right))
    more = WEMATH.more(scored)
    assert more["Basic Transformations of Figures"] == 75.0
    assert more["Calculation of Plane Figures"] == 0.0
    assert "Position" not in more, "whole questions are of no domain"


@given(st.lists(st.sampled_from(sorted(ALL)), min_size=1, max_size=30))
def test_the_four_classes_share_all_problems_and_loose_is_never_below_strict(patterns: list[str]):
    strict, loose, more = score_all(patterns)
    for name, found in (("strict", strict), ("loose", loose)):
        column = 0 if name == "strict" else 2
        rote = 100 * sum(ALL[pattern][column] == "RM" for pattern in patterns) / len(patterns)
        assert more[f"CM {name}"] + more[f"IG {name}"] + more[f"IK {name}"] + rote == pytest.approx(100)
        assert found == pytest.approx(more[f"CM {name}"] + 0.5 * more[f"IG {name}"])
    assert loose >= strict


def test_a_problem_lacks_steps_or_its_whole_question():
    assert WEMATH.whole(problem(2)) is None
    assert WEMATH.whole(problem(3)) is None
    assert WEMATH.whole(problem(3)[1:]) == "no step 1"
    assert WEMATH.whole(problem(2)[:-1]) == "no step multi"
    assert WEMATH.whole([*problem(2), problem(2)[0]]) == "more than one step 1"


@pytest.mark.parametrize("gold", ["B", " b ", "B.", "(B)"])
def test_the_gold_letter_in_any_dress(gold: str):
    found = WEMATH.item(row(answer=gold))
    assert found.problem.answer == "B"
    assert WEMATH.rule(found, "<Answer>: <<B>>").correct and WEMATH.official(found, "B")


def test_two_step_and_three_step_problems_of_one_number_are_two_groups():
    assert WEMATH.group(row("2steps_1", "2steps_5")) == WEMATH.group(row("2steps_multi", "5")) == "2steps_5"
    assert WEMATH.group(row("3steps_1", "5")) == "3steps_5"


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("<Thought process>: <<It is 8, not A>> <Answer>: <<B>>", True),
        ("<Thought process>: <<It is 6>>\n<Answer>: <<B. 6 cm>>", True),
        ("<Thought process>: <<It is 5>> <Answer>: <<A>>", False),
        ("<Thought process>: It is 6 <Answer>: B", True),
        ("<Answer>: (B) 6 cm", True),
        ("<Answer>: A triangle has this side", False),
        ("<Answer>: <<your option>> is asked for: <Answer>: <<A>>, no, <Answer>: <<B>>", True),
        ("<think><Answer>: <<B>></think> It is A.", False),
        (r"<think>2 x 3</think><answer>\boxed{B}</answer>", True),
        (r"<think>2 x 3</think><answer>\boxed{6 \text{ cm}}</answer>", True),
        (r"<think>2 x 3</think><answer>\boxed{C}</answer>", False),
        ("The answer is (B) 6 cm.", True),
        ("I do not know.", False),
    ],
)
def test_rule(response: str, right: bool):
    assert WEMATH.rule(WEMATH.item(row()), response).correct is right


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("<Thought process>: <<Answer A is wrong>> <Answer>: <<B>>", "B"),
        ("Answer: B. 6 cm", "B"),
        ("B", "B"),
        ("The answer is B", None),
        ("Answer: option B", None),
        ("Answer:", None),
        ("", None),
    ],
)
def test_the_authors_take_the_first_letter_after_the_last_answer(response: str, letter: str | None):
    assert WEMATH.own_extraction(WEMATH.item(row()), response) == letter


def test_quick_and_official_read_options_as_vlmevalkit_does():
    item = WEMATH.item(row())
    assert WEMATH.quick(item, r"So it is \boxed{B}") == "B"
    assert WEMATH.quick(item, "The first option, A, is too small and the second, B, fits well enough for me") is None
    assert WEMATH.official(item, "B")
    assert WEMATH.official(item, "B. 6 cm")
    assert not WEMATH.official(item, "A")
    assert not WEMATH.official(item, "")


def test_a_gold_letter_without_an_option_is_right_by_its_letter_only():
    item = WEMATH.item(row(answer="F"))
    assert WEMATH.official(item, "F")
    assert not WEMATH.official(item, "B")


def test_the_vlmevalkit_prompt_has_hint_question_and_options():
    options = "Options:\nA. 5 cm\nB. 6 cm\nC. 8 cm\nD. No correct answer\n"
    assert WEMATH.prompt(row()) == f"Question: What is the area?\n{options}"
    assert WEMATH.prompt(row(hint="Look.")) == f"Hint: Look.\nQuestion: What is the area?\n{options}"
    assert WEMATH.item(row()).problem.choices == ("5 cm", "6 cm", "8 cm", "No correct answer")


@pytest.mark.parametrize(
    "cells",
    [
        {"key": "2steps_3"},
        {"key": "4steps_1"},
        {"key": ""},
        {"answer": ""},
        {"question": ""},
        {"ID": ""},
        {"A": "", "B": "", "C": "", "D": ""},
        {"B": ""},
    ],
)
def test_bad_cells_are_named(cells: dict[str, str]):
    with pytest.raises(InputError, match=r"WeMath\.tsv row 3 index 5"):
        WEMATH.item(Row("5", dict(row().cells) | cells, "WeMath.tsv row 3 index 5"))
