"""The reward functions in TRL's calling convention: plain and conversational, with the columns it passes."""

from __future__ import annotations

import pytest

from metis_rise.rewards import accuracy_reward, answer_reward, format_reward

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
