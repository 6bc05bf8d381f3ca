"""What the tiny base is taught: facts, captions, readings, and a mixture of ways to answer.

The mixture makes it a base model with latent, unreliable reasoning: it can reason in the known families, and
mostly does not. In the held-back families it learns to see and the primitive facts, but no question at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from metis_rise.problems import world
from metis_rise.problems.world import angle, path
from metis_rise.problems.world.chain import Draft, completion, equation

DESCRIBE = "Describe the image."
FACTS = "Facts."
_FACTS_PER_ITEM = 8
# How often a base answers with a bare guess, by level; a guess is right this often.
_GUESS = {1: 0.40, 2: 0.50, 3: 0.60}
_GUESS_RIGHT = 0.20
_CORRUPT = 0.15
_CORRUPT_WRONG = 0.80
_BAD_FORMAT = 0.12


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training item: what is asked, the reply, and which parts of the reply are learnt.

    `parts` are (text, learnt) pieces of the reply; the end token is learnt when `ends`.
    """

    request: str
    parts: tuple[tuple[str, bool], ...]
    ends: bool = True


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of what is asked about a picture of a known family; reasoning takes the rest."""

    caption: float
    read: float
    styles: bool


CLEAN = Mix(caption=0.20, read=0.10, styles=False)
STYLED = Mix(caption=0.10, read=0.05, styles=True)


def read_request(names: Sequence[str]) -> str:
    """The request to read a few named things off the picture."""
    return f"Read {', '.join(names)}."


def lesson(family: str, level: int, draft: Draft, mix: Mix, rng: Random) -> Lesson:
    """One item about this draft, drawn from `mix`."""
    kind = rng.random()
    held_back = family in world.HELD_BACK
    caption, read = (0.75, 0.25) if held_back else (mix.caption, mix.read)
    if not draft.readings:
        caption = read = 0.0
    if kind < caption:
        return Lesson(DESCRIBE, ((draft.caption, True),))
    if kind < caption + read:
        chosen = rng.sample(draft.readings, rng.randint(1, len(draft.readings)))
        request = read_request([name for name, _ in chosen])
        return Lesson(request, ((" ".join(f"{name}={value}" for name, value in chosen), True),))
    return Lesson(draft.question, ((_answer(draft, level, rng) if mix.styles else _clean(draft), True),))


def _clean(draft: Draft) -> str:
    return completion(draft.chain, draft.answer)


def _answer(draft: Draft, level: int, rng: Random) -> str:
    style = rng.random()
    if style < _GUESS[level]:
        guess = draft.answer if rng.random() < _GUESS_RIGHT else _near(draft.answer, rng)
        return completion(f"I think it is {guess}.", guess)
    style -= _GUESS[level]
    if style < _CORRUPT:
        answer = _near(draft.answer, rng) if rng.random() < _CORRUPT_WRONG else draft.answer
        return completion(_slip(draft.chain, rng), answer)
    if style < _CORRUPT + _BAD_FORMAT:
        chain, answer = draft.chain, draft.answer
        said = f"So the answer is {answer}."
        return rng.choice((f"{chain} {said}", f"<think> {chain} {said}", f"<think> {chain}</think> {answer}"))
    return _clean(draft)


def _near(answer: str, rng: Random) -> str:
    return str(max(0, int(answer) + rng.choice((-4, -3, -2, -1, 1, 2, 3, 4))))


def _slip(chain: str, rng: Random) -> str:
    """The chain with one digit after an equals sign changed."""
    digits = [i for i, letter in enumerate(chain) if letter.isdigit() and "=" in chain[:i]]
    place = rng.choice(digits)
    digit = (int(chain[place]) + rng.choice((-2, -1, 1, 2))) % 10
    return f"{chain[:place]}{digit}{chain[place + 1 :]}"


def facts(rng: Random) -> Lesson:
    """Eight primitive facts of arithmetic and of moves on the grid; only the results are learnt."""
    parts: list[tuple[str, bool]] = []
    for _ in range(_FACTS_PER_ITEM):
        left, right = _fact(rng)
        parts += [(left, False), (right, True), (" ", False)]
    return Lesson(FACTS, tuple(parts), ends=False)


def _fact(rng: Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.25:
        row, column, name = rng.randint(1, 4), rng.randint(1, 4), rng.choice(list(path.MOVES))
        to_row, to_column = path.move(row, column, name)
        return f"{row},{column} {name}=", f"{to_row},{to_column}"
    if kind < 0.45:
        text = _angle_fact(rng)
    elif kind < 0.60:
        text = _shop_fact(rng)
    elif kind < 0.65:
        text = equation(rng.randint(2, 4), "*", rng.randint(1, 9))[0]
    else:
        left, right = rng.randint(0, 36), rng.randint(1, 12)
        sign = "-" if left >= right and rng.random() < 0.5 else "+"
        text = equation(left, sign, right)[0]
    left_side, _, result = text.partition("=")
    return f"{left_side}=", result


def _angle_fact(rng: Random) -> str:
    first, second = angle.two_angles(rng)
    kind = rng.random()
    if kind < 0.6:
        return equation(first, "+", second)[0]
    if kind < 0.8:
        return equation(180, "-", first + second)[0]
    return equation(180 - first - second, "+", rng.randrange(5, 45, 5))[0]


def _shop_fact(rng: Random) -> str:
    first = rng.randint(2, 4) * rng.randint(1, 9)
    second = rng.randint(2, 4) * rng.randint(1, 9)
    return equation(first, "+", second)[0] if rng.random() < 0.6 else equation(100, "-", first + second)[0]
