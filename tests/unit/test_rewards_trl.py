"""The reward functions in TRL's calling convention: plain and conversational, with the columns it passes."""

from __future__ import annotations

import numpy as np
import pytest

from metis_rise import InputError, judge
from metis_rise.rewards import accuracy_reward, answer_reward, compute_score, format_reward

RIGHT, WRONG, LOOSE = (
    "<think> So. </think><answer> \\boxed{4} </answer>",
    "<think> So. </think><answer> \\boxed{5} </answer>",
    "It is \\boxed{4}.",
)


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize("shape", [str, chat, lambda text: [{"role": "assistant", "content": [{"text": text}]}]])
def test_each_completion_has_its_reward(shape):
    said = [shape(text) for text in (RIGHT, WRONG, LOOSE)]
    # What the trainer passes beside the columns.
    more = {"prompts": ["?"] * 3, "completion_ids": [[1]] * 3, "trainer_state": None, "log_metric": print}
    assert accuracy_reward(completions=said, answer=["4"] * 3, **more) == [1.0, 0.0, 0.0]
    assert answer_reward(completions=said, answer=[4, 4, 4], **more) == [1.0, 0.0, 1.0]
    assert format_reward(completions=said, answer=["4"] * 3, **more) == [1.0, 1.0, 0.0]


def test_columns_say_how_an_answer_is_compared():
    said = ["\\boxed{three}", "\\boxed{0.333}", "\\boxed{0.333}"]
    columns = {"answer_type": ["choice", "number", None], "choices": [["four", "three"], None, []]}
    assert answer_reward(said, ["B", "1/3", "0.333"], **columns) == [1.0, 0.0, 1.0]


def test_an_answer_in_words_counts_in_any_format_alone():
    assert answer_reward(["The answer is 4."], ["4"]) == [1.0]
    assert accuracy_reward(["The answer is 4."], ["4"]) == [0.0]


def test_a_gold_answer_that_cannot_be_judged_by_is_left_out():
    assert accuracy_reward([RIGHT, RIGHT], ["3 or 5", None]) == [None, None]


RED, ONE = ["A. red", "B. blue"], ["(A) one", "(B) two"]


@pytest.mark.parametrize("answer_type", ["choice", "text", None])
@pytest.mark.parametrize(
    ("choices", "gold", "said", "right"),
    [
        (RED, "A", "red", True),
        (RED, "red", "A", True),
        (RED, "A. red", "red", True),
        (RED, "A. red", "A. red", True),
        (RED, "A", "blue", False),
        (RED, "red", "B", False),
        (RED, "A. red", "B", False),
        (ONE, "(B)", "two", True),
        (ONE, "(B)", "(B) two", True),
        (ONE, "(B)", "one", False),
        ([" one", "two "], "one", "A", True),
    ],
)
def test_options_with_letters_are_judged_as_by_a_run(answer_type, choices, gold, said, right):
    text = f"<think> So. </think><answer> \\boxed{{{said}}} </answer>"
    columns = {"answer_type": [answer_type], "choices": [choices]}
    assert accuracy_reward([text], [gold], **columns) == answer_reward([text], [gold], **columns) == [float(right)]
    score = compute_score("", text, gold, {"answer_type": answer_type, "choices": choices})
    assert score["accuracy"] == float(right)
    assert judge(text, gold, answer_type=answer_type, choices=choices, strict=True).correct is right


def test_more_options_than_letters_are_left_out():
    many = [f"{chr(65 + n % 26)}. {n}" for n in range(27)]
    assert accuracy_reward([RIGHT], ["4"], choices=[many]) == [None]
    assert compute_score("", RIGHT, "4", {"choices": many})["accuracy"] == 0.0
    assert answer_reward(["\\boxed{Z}"], ["25"], choices=[many[:26]]) == [1.0]
    with pytest.raises(InputError, match="choices has 27 options; give at most 26"):
        judge(RIGHT, "4", choices=many)


@pytest.mark.parametrize("nothing", [None, float("nan"), np.float32("nan")])
def test_what_pandas_writes_for_nothing_is_nothing(nothing):
    assert accuracy_reward([RIGHT], [nothing]) == answer_reward([RIGHT], [nothing]) == [None]
    columns = {"answer_type": [nothing], "choices": [nothing], "question": [nothing]}
    assert accuracy_reward([RIGHT], ["4"], **columns) == [1.0]
    assert compute_score("", RIGHT, "4", dict.fromkeys(columns, nothing))["accuracy"] == 1.0
    assert compute_score("", "<think> a </think><answer> \\boxed{nan} </answer>", nothing)["accuracy"] == 0.0
