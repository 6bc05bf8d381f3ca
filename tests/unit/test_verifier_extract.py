r"""Where the answer of a completion is taken from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.verifier.extract import extract


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"<think>\boxed{3}</think><answer>\boxed{7}</answer>", "7", "answer box"),
        (r"<answer>\boxed{7} so \boxed{ 7 }</answer>", "7", "answer box"),
        (r"<answer>\boxed{7} or \boxed{8}</answer>", None, "different boxes"),
        (r"<answer>\boxed{1}</answer> no: <answer>\boxed{2}</answer>", "2", "answer box"),
        (r"<think>a</think><answer>\boxed{7}", "7", "answer box"),
        (r"<think>\boxed{3}</think><answer>7</answer>", "3", "text box"),
        (r"first \boxed{3}, then \boxed{4}", "4", "text box"),
        ("<think>a</think><answer>7</answer>", None, "no box"),
        ("The answer is 7.", None, "no box"),
        ("", None, "no box"),
    ],
)
def test_strict(text: str, answer: str | None, rule: str) -> None:
    found = extract(text)
    assert (found.answer, found.rule) == (answer, rule)


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"<answer>\boxed{7} or \boxed{8}</answer>", "8", "answer box"),
        (r"the answer is 5, no: \boxed{6}", "6", "text box"),
        ("<think>the answer is 9</think><answer> 7 </answer>", "7", "answer block"),
        ("The answer is 90 degrees.", "90 degrees", "announced"),
        ("Answer: 3\nWait. Final answer: **4**", "4", "announced"),
        ("The answer is 2.5. Checked.", "2.5", "announced"),
        ("Answer $$ \n 9 \n $$", "9", "announced"),
        (r"So the answer is \(\frac{1}{2}\), done.", r"\frac{1}{2}", "announced"),
        ("Answer:\nB", "B", "announced"),
        ("42", "42", "text"),
        ("long " * 50 + "so option (B) fits", "B", "option letter"),
        ("long " * 50 + "(A) or (B)", None, "no answer"),
        ("long " * 50, None, "no answer"),
        ("  ", None, "no answer"),
    ],
)
def test_lenient(text: str, answer: str | None, rule: str) -> None:
    found = extract(text, strict=False)
    assert (found.answer, found.rule) == (answer, rule)


@given(st.text("ab{}\\$<>/answer boxed:", max_size=300))
def test_strict_answers_come_out_of_a_box(text: str) -> None:
    found = extract(text)
    assert found.answer is None or "\\boxed" in text
    assert extract(text, strict=False).rule


@pytest.mark.parametrize("unit", ["answer is ", "answer: $", "<answer>", "(A) ", "answer\n", "\\boxed{"])
def test_long_hostile_texts_are_read_to_the_end(unit: str) -> None:
    assert extract(unit * 20_000 + r"\boxed{7}", strict=False).answer == "7"
    extract(unit * 20_000, strict=False)
