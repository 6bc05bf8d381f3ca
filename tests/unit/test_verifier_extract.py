r"""Where the answer of a completion is taken from."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis_rise.verifier.extract import extract
from metis_rise.verifier.extraction import Rule, Shape, shape_of

COLOURS = ("red", "blue", "green")
LONG = "It takes a while to see why, but in the end it is plain for everybody to see. " * 4


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"<think>\boxed{3}</think><answer>\boxed{7}</answer>", "7", "answer box"),
        (r"<answer>\boxed{7} so \boxed{ 7 }</answer>", "7", "answer box"),
        (r"<answer>\boxed{7} or \boxed{8}</answer>", None, "different boxes"),
        (r"<answer>\boxed{1}</answer> no: <answer>\boxed{2}</answer>", "2", "answer box"),
        (r"<think>a</think><answer>\boxed{7}", "7", "answer box"),
        (r"<think>a</think>\boxed{5}<answer>7</answer>", "5", "text box"),
        (r"<think>a \boxed{7}", "7", "text box"),
        (r"<think>\boxed{3}</think><answer>7</answer>", None, "box in the reasoning only"),
        (r"<think>a <answer>\boxed{7}</answer></think>", None, "box in the reasoning only"),
        (r"first \boxed{3}, then \boxed{4}", None, "different boxes"),
        (r"first \boxed{4}, then \boxed{4}", "4", "text box"),
        ("<think>a</think><answer>7</answer>", None, "no box"),
        ("The answer is 7.", None, "no box"),
        ("", None, "no box"),
    ],
)
def test_strict(text: str, answer: str | None, rule: str) -> None:
    assert found(text, strict=True) == (answer, rule)


def found(
    text: str, gold: str | None = None, choices: Sequence[str] | None = None, *, strict: bool = False
) -> tuple[str | None, str]:
    extraction = extract(text, strict=strict, gold=gold, choices=choices)
    return extraction.answer, str(extraction.rule)


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"the answer is 5, no: \boxed{6}", "6", "text box"),
        (r"first \boxed{3}, then we get \boxed{4}", "4", "text box"),
        (r"<think>\boxed{3}</think><answer>7</answer>", "7", "answer block"),
        (r"<think> \boxed{3} </think>", "3", "text box"),
        (r"<think> \boxed{3} </think> " + LONG, "3", "box in the reasoning"),
        (r"<think> \boxed{3} </think> It is 4 then.", "4", "last number"),
        ("<think>the answer is 9</think><answer> 7 </answer>", "7", "answer block"),
        ("The answer is 90 degrees.", "90 degrees", "announced"),
        ("Answer: 3\nWait. Final answer: **4**", "4", "announced"),
        ("The answer is 2.5. Checked.", "2.5", "announced"),
        ("Answer $$ \n 9 \n $$", "9", "announced"),
        (r"So the answer is \(\frac{1}{2}\), done.", r"\frac{1}{2}", "announced"),
        ("Answer:\nB", "B", "announced"),
        ("42", "42", "text"),
        (LONG + "so option (B) fits", "B", "option letter"),
        (LONG + "(A) or (B)", None, "several options"),
        (LONG, None, "no answer"),
        ("  ", None, "no answer"),
    ],
)
def test_lenient_where_the_gold_is_not_known(text: str, answer: str | None, rule: str) -> None:
    assert found(text) == (answer, rule)


@pytest.mark.parametrize(
    ("gold", "text", "answer"),
    [
        ("2, 3", r"Hence \boxed{2} and \boxed{3}.", "2, 3"),
        ("2, 3", r"Hence $x=\boxed{2}$ or $x=\boxed{3}$.", "2, 3"),
        ("(1, 2), (3, 4)", r"$$\boxed{(1, 2)} \quad \text{and} \quad \boxed{(3, 4)}$$", "(1, 2), (3, 4)"),
        ("2, 3", r"First \boxed{9} and then we see that \boxed{2}, \boxed{3}", "2, 3"),
        ("2, 3", r"\boxed{2, 3}, \boxed{2, 3}", "2, 3"),
        # For one value, boxes side by side are guesses; a box of another name is another value.
        ("3", r"Hence \boxed{2} or \boxed{3}", "2, 3"),
        ("3", r"Hence $y=\boxed{2}$ and $x=\boxed{3}$.", "3"),
    ],
)
def test_boxes_side_by_side(gold: str, text: str, answer: str) -> None:
    assert found(text, gold)[0] == answer


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        ("The answer is (B) blue, as one can see.", "B", "announced"),
        ("The correct answer is (B) blue. It is not red.", "B", "announced"),
        ("Thus, the answer is B (blue).", "B", "announced"),
        ("The correct option that fits is: **B**", "B", "announced"),
        ("Answer: option B", "B", "announced"),
        (r"The answer is $\text{(B)}$.", "B", "announced"),
        ("The answer is B because the ball is blue.", "B", "announced"),
        ("The answer to the question is blue, since it is no other.", "blue", "announced"),
        ("The answer is A or B.", "A or B", "announced"),
        ("The answer is (B) red.", None, "letter and text of different options"),
        ("B", "B", "option letter"),
        ("(b)", "B", "option letter"),
        ("B. blue", "B", "option letter"),
        ("**B**\n\n" + LONG, "B", "option letter"),
        ("blue", "blue", "text"),
        (LONG + "Option (A) does not fit. Option (B) fits.", "B", "option letter"),
        (LONG + "I would choose B", "B", "option letter"),
        ("I would choose B", "B", "option letter"),
        ("I think it is B.", "B", "option letter"),
        ("I think B.", "B", "option letter"),
        ("B is wrong", None, "no answer"),
        ("B is not the answer", None, "no answer"),
        ("(B) (C)", "(B) (C)", "option letter"),
        (LONG + "\nB.\n", "B", "option letter"),
        (LONG + "So the ball is called blue. I hope this helps!", "blue", "option text"),
        (LONG + "Option (B) does not fit.", None, "no answer"),
        (LONG + "The ball is not blue.", None, "no answer"),
        (LONG + "The ball is red and blue.", None, "several options"),
        ("A ball is what we see in the middle of this large picture, with a line B that cuts it", None, "no answer"),
    ],
)
def test_lenient_options(text: str, answer: str | None, rule: str) -> None:
    assert found(text, "B", COLOURS) == (answer, rule)


def test_options_that_are_parts_of_each_other_or_numbers_or_everyday_words() -> None:
    assert found(LONG + "The winner is SFT 1/8 here.", "A", ("SFT 1/8", "SFT")) == ("SFT 1/8", "option text")
    assert found(LONG + "The winner is SFT here.", "B", ("SFT 1/8", "SFT")) == ("SFT", "option text")
    assert found(LONG + "So the angle measures 64 degrees.", "A", ("64°", "6°")) == ("64", "last number")
    assert found(LONG + "No, it does not meet the line.", "B", ("Yes", "No"))[0] is None
    assert found(LONG + "No, the line is met.", "B", ("Yes", "No")) == ("No", "option text")
    assert found(LONG + "There is no line.", "B", ("Yes", "No"))[0] is None


@pytest.mark.parametrize(
    ("gold", "text", "answer", "rule"),
    [
        ("5", "There are 3 boxes with 2 balls each, so we count 6 balls.", "6", "last number"),
        ("1000.99", "so the number is 10 which is 1,000.99m²", "1,000.99m²", "last number"),
        ("75", "The sun is showing 75% in the image.", "75%", "last number"),
        ("4", "So, the missing number is 4. I hope this helps! Let me know if you have more.", "4", "last number"),
        ("2", "After that, there are two balls left on the table.", "2", "last number word"),
        ("4", "We find $x = 4$ for the number of the balls.", "x = 4", "last formula"),
        ("4", "We then find\n\\[\n x = 4 \n\\]", "x = 4", "last formula"),
        ("2, 4", "The solutions are $x = 2$ and $x = 4$ in the end.", "x = 2, x = 4", "last formula"),
        ("12", "The tickets cost $5 and $7, that is $12 for both of them.", "$12", "last number"),
        ("\\sqrt{3}", "The length is √3 cm.", "√3 cm", "last number"),
        ("2\\sqrt{3}", "So the length of the side is 2√3.", "2√3", "last number"),
        ("2\\pi", "The area of it is 2 \\pi.", "2 \\pi", "last number"),
        ("1/2", "The value of it is \\frac{ 1 }{ 2 } then.", "\\frac{ 1 }{ 2 }", "last number"),
        ("y=2x+1", "The line is y = 2x + 1.", "y = 2x + 1", "last number"),
        ("x>3", "So we need x > 3.", "x > 3", "last number"),
        ("-4", "The value of it is -4 then.", "-4", "last number"),
        ("7", "The sum of the two is equal to 7.", "7", "last number"),
        ("8", "The sum of the two is 5 + 3 = 8.", "5 + 3 = 8", "last number"),
        ("1.5", "The sum of the two is 1 1/2.", "1 1/2", "last number"),
        ("(3, 4)", "The point is (3, 4).", "(3, 4)", "last number"),
        ("[0, 1]", "It lies in [0, 1] (as we see).", "[0, 1]", "last number"),
        ("3", "It grows from 2 to 3 in this time.", "2 to 3", "last number"),
        ("3", "The numbers are 1, 2, and 3.", "1, 2, and 3", "last number"),
        ("3", "Of the 12 boys, 3 are here.", "3", "last number"),
        ("4", "### Answer\n4", "4", "announced"),
        ("4", "答案：4", "4", "announced"),
        ("Paris", "The capital is called Paris.", "Paris", "end of the last sentence"),
        ("2:3", "The two of them are in the ratio 2:3 then.", "2:3", "last number"),
        ("5", "There are 3 or 5 of them in the box.", "3 or 5", "last number"),
        ("5", "There are at most 5 of them in the box.", "There are at most 5 of them in the box.", "text"),
        ("5", LONG + "There are at most 5 of them in the box.", None, "no answer"),
        ("12", "The answer is 12 apples, because 3 times 4 is 12.", "12 apples", "announced"),
        ("12", "The answer is $12$ apples.", "12 apples", "announced"),
        ("12", "The answer is $12$, which is even.", "12", "announced"),
        ("5", "The answer is $3$ or $5$.", "$3$ or $5$", "announced"),
        ("5", "So the total comes to 5. This answer is correct.", "5", "last number"),
        ("x+1", "x + 1", "x + 1", "text"),
        ("obtuse", "obtuse", "obtuse", "text"),
        ("Yes", "Yes, it does, as one can see in the picture.", "Yes", "leading yes or no"),
        ("No", "No, it does not, as one can see.", "No", "leading yes or no"),
        ("5", "We add 2 and 3.\n#### 5", "5", "announced"),
        ("6", "The answer is 5? No, it is 6.", "6", "last number"),
        ("5", LONG + "It is not true that the answer is 5.", None, "no answer"),
        ("5", LONG + "I am not sure whether it is 5.", None, "no answer"),
        ("5", LONG + "So the answer cannot be 5.", None, "no answer"),
        ("5", LONG + "So x=5 is not a solution.", None, "no answer"),
        ("5", LONG + "As 4 is not a prime, it is 5.", "5", "last number"),
        ("5", LONG + "4 is not a prime so it is 5.", "5", "last number"),
        ("12", "The surface area is 109603.88 mm^2.", "109603.88 mm^2", "last number"),
        ("12", "Its area is 12 cm^{2}.", "12 cm^2", "last number"),
        ("12", "It falls at 9.8 m/s^2, we found.", "9.8 m/s^2", "last number"),
        ("12", "So we get 4 x^2.", "4 x^2", "last number"),
        ("12", "The result is x^2.", "x^2", "last number"),
    ],
)
def test_lenient_values(gold: str, text: str, answer: str | None, rule: str) -> None:
    assert found(text, gold) == (answer, rule)


@pytest.mark.parametrize(
    ("gold", "choices", "shape"),
    [
        (None, None, Shape.UNKNOWN),
        (None, COLOURS, Shape.CHOICE),
        ("B", None, Shape.CHOICE),
        ("A, C", None, Shape.CHOICE),
        ("7", None, Shape.VALUE),
        ("1,000", None, Shape.VALUE),
        (r"\frac{1}{2}", None, Shape.VALUE),
        ("x", None, Shape.VALUE),
        ("1, 2", None, Shape.LIST),
        (r"1 \text{ and } 2", None, Shape.LIST),
        ("obtuse", None, Shape.WORDS),
        (r"\text{obtuse}", None, Shape.WORDS),
        ("增加", None, Shape.WORDS),
    ],
)
def test_shapes(gold: str | None, choices: Sequence[str] | None, shape: Shape) -> None:
    assert shape_of(gold, choices) is shape


@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(["It is {} in the end.", r"So \boxed{{{}}}", "{}"]))
def test_the_value_of_the_gold_does_not_matter(gold: int, said: int, text: str) -> None:
    completion = f"We have {gold} and {gold + 1}. " + text.format(said)
    assert extract(completion, strict=False, gold=str(gold)) == extract(completion, strict=False, gold=str(gold + 1))


@pytest.mark.parametrize(
    ("question", "gold", "answer", "echo"),
    [
        ("What is 3 + 4?", "7", "3+4", True),
        ("What is 13 + 4?", "17", "3+4", False),
        ("What is 3 + 45?", "48", "3+4", False),
        ("Solve $2x + 3 = 7$.", "x = 2", "2x+3=7", True),
        ("Simplify $(x+1)^2$ if you can.", "(x+1)^2", "(x + 1)^2", False),
        ("Which is larger, 3 or 5?", "5", "5", False),
        ("A bag of 12 apples. How many apples?", "12", "12 apples", False),
        ("What is 1/2 as a decimal?", "0.5", "1/2", False),
        ("Is $(2, 3)$ on the line or $(4, 5)$?", "2, 3", "(2,3)", False),
        ("Which line is it, y = 2x + 1 or y = x?", "y=2x+1", "2x+1", False),
        ("What is 3 + 4?", None, "3+4", True),
    ],
)
def test_an_echo_of_the_question_is_no_answer(question: str, gold: str | None, answer: str, echo: bool) -> None:
    text = rf"<think>a</think><answer>\boxed{{{answer}}}</answer>"
    for strict in (True, False):
        extraction = extract(text, strict=strict, gold=gold, question=question)
        assert (extraction.rule is Rule.ECHO) == echo
        assert extraction.answer == (None if echo else answer)


def test_options_of_the_question_are_no_echo() -> None:
    question, text = "Which is it, 3 + 4 or 3 + 5?", r"<answer>\boxed{3 + 4}</answer>"
    assert extract(text, gold="A", question=question, choices=("3 + 4", "3 + 5")).answer == "3 + 4"


WORDS = ["answer is ", "Answer: ", "not ", " or ", ", ", " and ", ".", "\n", " ", "B", "(A)", "3", "5/7", "é", "\u200b"]
MARKS = ["$", "$$", r"\(", r"\)", r"\[", r"\]", r"\boxed{", "{", "}", "|", "**"]
TAGS = ["<answer>", "</answer>", "<think>", "</think>"]
PIECES = st.sampled_from([*WORDS, *MARKS, *TAGS])


@given(st.lists(PIECES, max_size=60).map("".join), st.sampled_from([None, "7", "A", "1, 2", "blue", r"\frac{1}{2}"]))
def test_any_text_is_read(text: str, gold: str | None) -> None:
    for choices in (None, COLOURS):
        for strict in (True, False):
            extraction = extract(text, strict=strict, gold=gold, question=text[:50], choices=choices)
            assert extraction.rule in list(Rule)
            assert extraction.answer is None or len(extraction.answer) <= 2 * len(text) + 20
        assert extract(text).answer is None or "\\boxed" in text


@settings(max_examples=40)
@given(st.lists(PIECES, min_size=1, max_size=6).map("".join), st.sampled_from(["7", "A", "1, 2", "blue"]))
def test_texts_of_20000_characters_are_read_in_linear_time(unit: str, gold: str) -> None:
    text = (unit * (20_000 // len(unit) + 1))[:20_000]
    start = time.thread_time()
    for strict in (True, False):
        extract(text, strict=strict, gold=gold, question=text, choices=COLOURS if gold == "A" else None)
    assert time.thread_time() - start < 3


@pytest.mark.parametrize(
    "unit", ["answer is ", "answer: $", "<answer>", "(A) ", "answer\n", "\\boxed{", "answer to a "]
)
def test_long_hostile_texts_are_read_to_the_end(unit: str) -> None:
    assert extract(unit * 20_000 + r"\boxed{7}", strict=False).answer == "7"
    extract(unit * 20_000, strict=False)
