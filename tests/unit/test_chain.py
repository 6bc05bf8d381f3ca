"""The chain checker follows the question and the picture, not only the arithmetic."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.problems import world
from metis_rise.problems.world.chain import Draft, Step, chain_fault, completion

BARS = Draft(
    question="What is red plus blue minus green?",
    answer="4",
    state={},
    readings=(("red", "4"), ("green", "3"), ("blue", "3"), ("purple", "9")),
    plan=(Step("4+3=7", ("red", "blue")), Step("7-3=4", ("green",))),
)
DIAL = Draft(
    question="The hand moves forward 10, then back 2. Where does it point?",
    answer="11",
    state={},
    readings=(("hand", "3"),),
    plan=(
        Step("forward 10", ("hand",)),
        Step("3+10=13"),
        Step("13-12=1"),
        Step("back 2"),
        Step("1+12=13"),
        Step("13-2=11"),
    ),
)


def fault(draft: Draft, chain: str) -> str:
    return chain_fault(draft.meta(), completion(chain, draft.answer))


@pytest.mark.parametrize(
    ("draft", "chain"),
    [
        (BARS, "Steps: red=4 blue=3 green=3 4+3=7 7-3=4"),
        (BARS, "red=4 blue=3 4+3=7 green=3 7-3=4"),
        (BARS, "Steps: red=4 green=3 blue=3 purple=9 3+4=7 7-3=4"),
        (DIAL, "Steps: hand=3 forward 10 3+10=13 13-12=1 back 2 1+12=13 13-2=11"),
    ],
)
def test_chains_that_hold(draft: Draft, chain: str):
    assert fault(draft, chain) == ""


@pytest.mark.parametrize(
    ("draft", "chain", "said"),
    [
        (BARS, "Steps: red=5 blue=3 green=3 4+3=7 7-3=4", "does not show red=5"),
        (BARS, "Steps: red=4 green=3 4+3=7 7-3=4", "blue is used before it is read"),
        (BARS, "Steps: red=4 blue=3 green=3 4+3=8 8-3=4", "4+3=8 stands where"),
        (BARS, "Steps: red=4 blue=3 green=3 9+3=12 12-3=9", "9+3=12 stands where"),
        (BARS, "Steps: red=4 blue=3 green=3 4+3=7 3-7=4", "3-7=4 stands where"),
        (BARS, "Steps: red=4 blue=3 green=3 4+3=7", "the step 7-3=4 is missing"),
        (BARS, "Steps: red=4 blue=3 green=3 4+3=7 7-3=4 4+0=4", "after the last step"),
        (BARS, "I think it is 4.", "I stands where"),
        # True arithmetic with an operand that the question does not have: what the study's checker let pass.
        (DIAL, "Steps: hand=3 forward 9 3+9=12 12-12=0 back 2 0+12=12 12-2=10", "9 stands where"),
        (DIAL, "Steps: hand=3 forward 10 3+10=13 13-12=1 10+10=20 20-12=8", "10+10=20 stands where"),
    ],
)
def test_chains_that_do_not_hold(draft: Draft, chain: str, said: str):
    assert said in fault(draft, chain)


def test_a_completion_without_reasoning_has_no_chain():
    assert "no reasoning" in chain_fault(BARS.meta(), "<answer>\\boxed{4}</answer>")


@given(st.sampled_from(world.FAMILIES), st.sampled_from(world.LEVELS), st.integers(0, 10**6), st.data())
def test_no_changed_digit_passes(family: str, level: int, seed: int, data: st.DataObject):
    draft = next(world.drafts(family, level, "train", Random(seed)))
    digits = [i for i, letter in enumerate(draft.chain) if letter.isdigit()]
    place = data.draw(st.sampled_from(digits))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != draft.chain[place]]))
    changed = f"{draft.chain[:place]}{other}{draft.chain[place + 1 :]}"
    assert fault(draft, draft.chain) == ""
    assert fault(draft, changed) != ""


@given(st.sampled_from(world.FAMILIES), st.text(max_size=80))
def test_any_text_gets_a_verdict(family: str, text: str):
    draft = next(world.drafts(family, 2, "train", Random(0)))
    assert isinstance(chain_fault(draft.meta(), f"<think>{text}</think>"), str)
