"""How gold answers are to be compared, and which of them no answer can be judged by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.types import AnswerType
from metis_rise.verifier.gold import check_gold, infer_type

CHOICE, NUMBER, TEXT = AnswerType.CHOICE, AnswerType.NUMBER, AnswerType.TEXT
COLOURS = ("red", "blue", "7")


@pytest.mark.parametrize(
    ("gold", "choices", "expected"),
    [
        ("B", None, CHOICE),
        ("$B$", None, CHOICE),
        (r"\text{(B)}", None, CHOICE),
        ("A, C", None, CHOICE),
        ("B", COLOURS, CHOICE),
        ("blue", COLOURS, CHOICE),
        ("7", COLOURS, CHOICE),
        ("D", COLOURS, TEXT),
        ("b", None, TEXT),
        ("K", None, TEXT),
        ("AB", None, TEXT),
        ("7", None, NUMBER),
        (r"$\frac{1}{2}$", None, NUMBER),
        (r"28\%", None, NUMBER),
        ("40\u00b0", None, NUMBER),
        (r"\sqrt{2}", None, TEXT),
        ("blue", None, TEXT),
    ],
)
def test_the_type_is_read_off_the_gold(gold: str, choices: tuple[str, ...] | None, expected: AnswerType) -> None:
    assert infer_type(gold, choices) is expected


@pytest.mark.parametrize(
    ("gold", "kind", "choices", "fault"),
    [
        ("", TEXT, None, "empty"),
        ("$ $", TEXT, None, "empty"),
        ("9" * 1001, TEXT, None, "1001 characters"),
        ("3 or 5", TEXT, None, "alternatives"),
        (r"$\frac{1}{2}$ or $2$", TEXT, None, "alternatives"),
        ("x + 1 (answers may vary)", TEXT, None, "other answers"),
        (r"\boxed{3} and \boxed{4}", TEXT, None, "several different boxes"),
        (r"\frac{1}{2", TEXT, None, "not closed"),
        ("(1, 2", TEXT, None, "not closed"),
        ("1, 2)", TEXT, None, "do not match"),
        (r"\frac", TEXT, None, r"\frac has no argument"),
        ("seven", NUMBER, None, "no number"),
        ("E", CHOICE, COLOURS, "not among the 3"),
        ("maybe", CHOICE, None, "no option letter"),
        ("green", CHOICE, COLOURS, "no option letter"),
    ],
)
def test_a_gold_that_nothing_can_be_judged_by(
    gold: str, kind: AnswerType, choices: tuple[str, ...] | None, fault: str
) -> None:
    found = check_gold(gold, kind, choices)
    assert found is not None and fault in found


@pytest.mark.parametrize(
    ("gold", "kind", "choices"),
    [
        ("B", CHOICE, None),
        ("A, C", CHOICE, COLOURS),
        ("blue", CHOICE, COLOURS),
        ("7", NUMBER, None),
        (r"2\frac{1}{2}", NUMBER, None),
        ("[0, 5)", TEXT, None),
        (r"\left(-\infty, 3\right]", TEXT, None),
        (r"\{1, 2\}", TEXT, None),
        ("x = 1 or x = 2", TEXT, None),
        ("x < 1 or x > 2", TEXT, None),
        ("black or white", TEXT, None),
        (r"\boxed{3}", TEXT, None),
        (r"\boxed{3} = \boxed{3}", TEXT, None),
        ("f'(x) = 2x", TEXT, None),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", TEXT, None),
    ],
)
def test_a_good_gold(gold: str, kind: AnswerType, choices: tuple[str, ...] | None) -> None:
    assert check_gold(gold, kind, choices) is None


@given(st.text(max_size=60), st.sampled_from(AnswerType), st.sampled_from([None, COLOURS, ()]))
def test_every_text_is_judged(gold: str, kind: AnswerType, choices: tuple[str, ...] | None) -> None:
    assert isinstance(infer_type(gold, choices), AnswerType)
    fault = check_gold(gold, kind, choices)
    assert fault is None or fault
