"""Bar chart: add and subtract the heights of coloured bars. Level = number of operations."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import BLACK, CELL, COLOURS, blank, palette
from metis_rise.problems.world.chain import Draft, Step, equation

_UNIT = 11
_FLOOR = 108


def draft(rng: Random, level: int) -> Draft:
    """Four bars of height 1 to 9; `level` operations on `level + 1` of them, never going below zero.

    From level 4 on bars come again, none twice in a row.
    """
    colours = palette(rng)
    heights = [rng.randint(1, 9) for _ in colours]
    shown = dict(zip(colours, heights, strict=True))
    first, *others = rng.sample(colours, min(level + 1, len(colours)))
    new = {first, *others}
    while len(others) < level:
        others.append(rng.choice([colour for colour in colours if colour != others[-1]]))
    value, question, plan = shown[first], f"What is {first}", []
    for place, colour in enumerate(others):
        sign = "-" if value >= shown[colour] and rng.random() < 0.5 else "+"
        question += f" {'minus' if sign == '-' else 'plus'} {colour}"
        text, value = equation(value, sign, shown[colour])
        read = tuple(each for each in ((first, colour) if place == 0 else (colour,)) if each in new)
        new -= {*read}
        plan.append(Step(text, read))
    readings = tuple((colour, str(height)) for colour, height in shown.items())
    return Draft(f"{question}?", str(value), {"heights": shown}, readings, tuple(plan))


def draw(state: Mapping[str, Any], rng: Random) -> Image.Image:
    """The bars on a base line; their width varies by a pixel."""
    image, pen = blank(rng)
    pen.line([2, _FLOOR, 110, _FLOOR], fill=BLACK)
    half = rng.randint(8, 9)
    for column, (colour, height) in enumerate(state["heights"].items()):
        middle = column * CELL + CELL // 2
        pen.rectangle([middle - half, _FLOOR - height * _UNIT, middle + half, _FLOOR - 1], fill=COLOURS[colour])
    return image
