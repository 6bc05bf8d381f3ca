"""A hand on a dial of 12 that moves forward and back. Level = number of moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import BLACK, COLOURS, SIZE, blank
from metis_rise.problems.world.chain import Draft, Step, equation

HOURS = 12


def draft(rng: Random, level: int) -> Draft:
    """The hand at 0 to 11 and `level` moves of 1 to 11; passing 12 or 0 is a step of its own in the plan."""
    hand = rng.randrange(HOURS)
    value, moves, plan = hand, [], []
    for place in range(level):
        size, way = rng.randint(1, HOURS - 1), rng.choice(("forward", "back"))
        texts, value = _move(value, way, size)
        moves.append(f"{way} {size}")
        plan += [Step(f"{way} {size}", ("hand",) if place == 0 else ()), *map(Step, texts)]
    question = f"The hand moves {', then '.join(moves)}. Where does it point?"
    return Draft(question, str(value), {"hand": hand}, (("hand", str(hand)),), tuple(plan))


def _move(value: int, way: str, size: int) -> tuple[list[str], int]:
    texts = []
    if way == "back" and value < size:
        text, value = equation(value, "+", HOURS)
        texts.append(text)
    text, value = equation(value, "+" if way == "forward" else "-", size)
    texts.append(text)
    if value >= HOURS:
        text, value = equation(value, "-", HOURS)
        texts.append(text)
    return texts, value


def draw(state: Mapping[str, Any], rng: Random) -> Image.Image:
    """Twelve ticks, the one at 0 thicker, and a hand whose colour, length and angle vary a little."""
    image, pen = blank(rng)
    centre = SIZE // 2
    pen.ellipse([6, 6, 106, 106], outline=BLACK, width=2)
    for hour in range(HOURS):
        x, y = _direction(hour)
        ends = [centre + 44 * x, centre + 44 * y, centre + 50 * x, centre + 50 * y]
        pen.line(ends, fill=BLACK, width=3 if hour == 0 else 1)
    x, y = _direction(state["hand"] + rng.uniform(-0.1, 0.1))
    length, colour = rng.randint(36, 42), COLOURS[rng.choice(list(COLOURS))]
    tip = (centre + length * x, centre + length * y)
    pen.line([centre, centre, *tip], fill=colour, width=6)
    pen.ellipse([tip[0] - 5, tip[1] - 5, tip[0] + 5, tip[1] + 5], fill=colour)
    return image


def _direction(hour: float) -> tuple[float, float]:
    angle = hour * 2 * math.pi / HOURS
    return math.sin(angle), -math.cos(angle)
