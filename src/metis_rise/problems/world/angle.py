"""A triangle with two known angles. Level 1 their sum, 2 the missing one, then the missing one after it grows.

Level 3 lets it grow once, and each level more once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import BLACK, CELL, INK, blank, font
from metis_rise.problems.world.chain import Draft, Step, equation

CORNERS = ("top", "left", "right")
_LABEL_CELLS = {"top": (1, 1), "left": (0, 3), "right": (3, 3)}
_VERTICES = ((56, 2), (1, 110), (110, 110))


def two_angles(rng: Random) -> tuple[int, int]:
    """Two angles, multiples of 5 from 20 to 95 degrees, that leave 20 to 100 for the third."""
    while True:
        first, second = rng.randrange(20, 96, 5), rng.randrange(20, 96, 5)
        if 20 <= 180 - first - second <= 100:
            return first, second


def draft(rng: Random, level: int) -> Draft:
    """Two angles in two corners and a question mark in the third."""
    angles, missing, growth = two_angles(rng), rng.choice(CORNERS), rng.randrange(5, 45, 5)
    known = [corner for corner in CORNERS if corner != missing]
    shown = dict(zip(known, angles, strict=True)) | {missing: "?"}
    text, value = equation(angles[0], "+", angles[1])
    plan, question = [Step(text, CORNERS)], "What do the two angles add up to?"
    if level >= 2:
        text, value = equation(180, "-", value)
        plan.append(Step(text))
        question = "What is the missing angle?"
    growths = [growth, *(rng.randrange(5, 45, 5) for _ in range(level - 3))][: max(0, level - 2)]
    for growth in growths:
        text, value = equation(value, "+", growth)
        plan.append(Step(text))
    if growths:
        question = f"The missing angle grows by {', then by '.join(map(str, growths))}. What is it now?"
    readings = tuple((corner, str(shown[corner])) for corner in CORNERS)
    state = {"angles": {corner: shown[corner] for corner in CORNERS}}
    return Draft(question, str(value), state, readings, tuple(plan))


def draw(state: Mapping[str, Any], rng: Random) -> Image.Image:
    """The triangle, not to scale, with a label in each corner."""
    image, pen = blank(rng)
    corners = [(x + rng.randint(-2, 2), y + rng.randint(-2, 2)) for x, y in _VERTICES]
    pen.polygon(corners, outline=BLACK, width=1)
    for corner, (column, row) in _LABEL_CELLS.items():
        x, y = column * CELL + 14 + rng.randint(-1, 1), row * CELL + 14 + rng.randint(-1, 1)
        pen.text((x, y), str(state["angles"][corner]), fill=INK, font=font(20), anchor="mm")
    return image
