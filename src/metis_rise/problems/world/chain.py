"""Chains of reasoning: how the expert writes one, and how one is checked.

A chain reads the picture, then computes: ``red=4 blue=3 4+3=7``. The checker asks three things of it: every
reading is what the picture shows, every equation is true, and the equations are those that the question asks
for, in its order, with operands that were read or computed before. Testing the equations alone is not enough:
a wrong operand copied from the question still gives true arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metis_rise.problems.world.foreign import native

OPENING = "Steps:"
_THINK = re.compile(r"\s*<think>(.*?)</think>", re.DOTALL)
_EQUATION = re.compile(r"(-?\d+)([+*-])(\d+)=(-?\d+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan: its text, and the names of the readings that it is the first to use."""

    text: str
    uses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A problem before its picture is drawn.

    `state` is the latent state of the picture (plain JSON). `readings` is all that the picture shows, in
    reading order, as (name, value); `plan` is what the question asks to be done with it.
    """

    question: str
    answer: str
    state: Mapping[str, Any]
    readings: tuple[tuple[str, str], ...]
    plan: tuple[Step, ...]

    @property
    def caption(self) -> str:
        """All readings as text: the exact description of the picture."""
        return " ".join(f"{name}={value}" for name, value in self.readings)

    @property
    def chain(self) -> str:
        """The expert's chain: the readings that the plan uses, then the plan."""
        shown = dict(self.readings)
        read = [f"{name}={shown[name]}" for step in self.plan for name in step.uses]
        return " ".join([OPENING, *read, *(step.text for step in self.plan)])

    def meta(self) -> dict[str, Any]:
        """What a problem carries along so that its chains can be checked (plain JSON)."""
        return {
            "state": dict(self.state),
            "readings": [list(pair) for pair in self.readings],
            "plan": [[step.text, list(step.uses)] for step in self.plan],
            "chain": self.chain,
        }


def equation(left: int, sign: str, right: int) -> tuple[str, int]:
    """The text of `left sign right` with its result, and the result."""
    result = _apply(left, sign, right)
    return f"{left}{sign}{right}={result}", result


def _apply(left: int, sign: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[sign]


def steps(think: str) -> list[str]:
    """The steps of a chain as words, whichever of its two styles it is written in."""
    found = native(think)
    return think.strip().removeprefix(OPENING).split() if found is None else found


def completion(chain: str, answer: str) -> str:
    """A chain and an answer in the format that the RISE models use."""
    return f"<think> {chain}</think><answer>\\boxed{{{answer}}}</answer>"


def chain_fault(meta: Mapping[str, Any], text: str) -> str:
    """Why the reasoning in `text` does not hold for the problem whose `Draft.meta` is given; "" when it holds."""
    think = _THINK.match(text)
    if not think:
        return "no reasoning between <think> and </think>"
    readings = {(name, value) for name, value in meta["readings"]}
    names = {name for name, _ in readings}
    plan = [Step(text, tuple(uses)) for text, uses in meta["plan"]]
    return _follow(steps(think.group(1)), readings, names, plan)


def _follow(words: Sequence[str], readings: set[tuple[str, str]], names: set[str], plan: Sequence[Step]) -> str:
    expected = [(word, step.uses if i == 0 else ()) for step in plan for i, word in enumerate(step.text.split())]
    stated: set[str] = set()
    done = 0
    for word in words:
        name, _, value = word.partition("=")
        if name in names:
            if (name, value) not in readings:
                return f"the picture does not show {word}"
            stated.add(name)
            continue
        if done == len(expected):
            return f"{word} comes after the last step"
        wanted, uses = expected[done]
        if not _same_step(word, wanted):
            return f"{word} stands where the question asks for {wanted}"
        if missing := [use for use in uses if use not in stated]:
            return f"{missing[0]} is used before it is read"
        done += 1
    return "" if done == len(expected) else f"the step {expected[done][0]} is missing"


def _same_step(word: str, wanted: str) -> bool:
    if word == wanted:
        return True
    given, asked = _EQUATION.fullmatch(word), _EQUATION.fullmatch(wanted)
    if not given or not asked or given[2] == "-":
        return False
    return (given[1], given[2], given[3], given[4]) == (asked[3], asked[2], asked[1], asked[4])
