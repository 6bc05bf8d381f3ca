from __future__ import annotations

import time

import pytest

from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.stages.experts.betrayal import betrayal

BETRAYED = [
    "As the reference says, the angle is 65.",
    "as the reference solution shows, we add 3 and 4",
    "According to the provided solution, x = 3.",
    "According to the reference, the side is 5.",
    "Based on the given answer, the sum must be 12.",
    "Following the reference solution we subtract 70.",
    "From the hint we know that angles add up to 180.",
    "The hint says that the grid wraps around.",
    "Using the hint, 180 - 115 = 65.",
    "This matches the given answer.",
    "So x = 4, which agrees with the reference answer.",
    "That is consistent with the provided result.",
    "45 + 70 = 115, and this confirms the expected answer.",
    "The reference answer is 7, so there must be 7 dots.",
    "The provided solution states that b = 2.",
    "The given answer is 12, so the height must be 3.",
    "We are told that the answer is 9.",
    "I was given the answer 9.",
    "I already know the correct answer is 9.",
    "Since the answer is known to be 9, each bar is 3.",
    "As hinted, the sides join.",
    "The notes say that the result is 4,2.",
    "Unlike the failed attempt, we read red as 4.",
    "The previous attempt read the dial as 8; it is 9.",
    "the ground truth answer is 12",
    "The ground-truth solution adds them.",
    "To arrive at the given answer we divide by 2.",
    "Working towards this, we get the expected result of 8. It matches the known answer.",
    "The expected answer should be 6.",
    "Per the official solution, the median is 5.",
]

ORDINARY = [
    "As given in the problem, AB = 5.",
    "According to the figure, red is 4 and blue is 3.",
    "According to the given information, the triangle is isosceles.",
    "From the given diagram we read 45 and 70.",
    "The solution of the equation is x = 3.",
    "The given solution of salt has 5 grams per litre.",
    "So the solution set is {1, 2}.",
    "Among the given answer choices, B fits.",
    "The correct answer is B.",
    "So the answer is 7.",
    "The final answer is 65 degrees.",
    "The expected value of the die is 3.5.",
    "The known angle is 45 and the reference angle is 30.",
    "With the ground as reference, the tower is 30 m high.",
    "According to the reference frame of the train, the ball is at rest.",
    "The result of the addition is 12, and the result is even.",
    "A provided table lists the prices.",
    "There is a hint of green in the picture.",
    "He takes notes and pays with bank notes: 2 * 5 = 10.",
    "The note says 'No entry'.",
    "We know the answer must be a whole number.",
    "Let me check the result: 3 + 4 = 7. This matches the picture.",
    "The given options are A, B, C and D; this matches option B.",
    "I get the answer 12.",
    "Adding both, we obtain the result 12.",
    "We are given that the sum of the answers on the sheet is 9.",
    "The correct answer choice must be the second.",
    "We get the correct answer by adding.",
    "That leads to the solution x = 2.",
    "His answer was correct, and the stated price is 4.",
    "Following the path to the right, the dot enters on the left.",
    "Using the given values: 2 * 9 = 18.",
    "The wrong key was tried first. Her attempt at the goal failed.",
    "The teacher's solution and the student's solution are equal.",
    "Check: the target number is 24, and 4 * 6 = 24.",
]


@pytest.mark.parametrize("text", BETRAYED)
def test_a_reply_that_speaks_of_its_notes_is_caught(text: str):
    assert betrayal(f"<think> Red is 4. {text} So it is 7. </think><answer>\\boxed{{7}}</answer>", "How many?")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_reasoning_raises_no_alarm(text: str):
    assert betrayal(f"<think> Red is 4. {text} So it is 7. </think><answer>\\boxed{{7}}</answer>", "How many?") == ""


def test_words_of_the_question_itself_betray_nothing():
    question = "Use the hint below. The hint says that the sides join."
    assert betrayal("The hint says that the sides join, so left of 1 is 4.", question) == ""
    assert betrayal("As the reference says, it is 4.", question) == "As the reference says"


def test_the_world_s_own_chains_raise_no_alarm(store: ImageStore):
    for problem in world.make_problems("train", 5, 0, store):
        assert betrayal(world.expert(problem), problem.question) == ""


def test_long_replies_take_little_time():
    text = "the given answer choices according to the " * 5000
    start = time.thread_time()
    betrayal(text, "")
    assert time.thread_time() - start < 3.0


@pytest.mark.shared_data
def test_no_alarm_on_real_worked_solutions(shared_data):
    from metis_rise.run import read_jsonl

    rows = read_jsonl(shared_data / "tabmwp" / "tabmwp.jsonl")
    solutions = [row["meta"]["solution"] for row in rows]
    assert len(solutions) >= 100
    assert [found for text in solutions if (found := betrayal(text, ""))] == []
