"""A stand-in for a real expert: longer than the world's own, in another grammar, and sometimes wrong.

Of `SLIPS` of the problems the first answer is wrong, of `LOST` every one; verification finds these.
"""

from __future__ import annotations

import re
from typing import Final

from metis_rise.problems.world.chain import completion, steps
from metis_rise.problems.world.foreign import sentences
from metis_rise.seeding import derive
from metis_rise.types import Problem

SLIPS: Final = 0.3
LOST: Final = 0.05
TRIES: Final = 3


def solution(problem: Problem) -> str:
    """A correct chain in the foreign style, and the gold answer, in the RISE format."""
    return _written(problem.meta["chain"], problem.answer)


def replies(problem: Problem) -> tuple[str, ...]:
    """What the expert answers when it is asked again and again, at most `TRIES` times; always the same."""
    draw = derive("foreign", problem.id) / (1 << 63)
    if draw >= SLIPS:
        return (solution(problem),)
    slip = _slip(problem)
    return (slip,) * TRIES if draw < LOST else (slip, solution(problem))


def _slip(problem: Problem) -> str:
    """The chain with its last result off by one, and the answer that this gives."""
    wrong = re.sub(r"\d+$", lambda found: str(int(found[0]) + 1), problem.answer)
    return _written(problem.meta["chain"].removesuffix(problem.answer) + wrong, wrong)


def _written(chain: str, answer: str) -> str:
    return completion(sentences(steps(chain), answer), answer)
