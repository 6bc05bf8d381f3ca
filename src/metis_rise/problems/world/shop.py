"""Price tags: what several goods cost. Level 1 one kind, 2 two kinds, 3 the change from 100."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import BLACK, CELL, COLOURS, WHITE, blank, font, palette
from metis_rise.problems.world.chain import Draft, Step, equation

PURSE = 100


def draft(rng: Random, level: int) -> Draft:
    """Four goods at 1 to 9; 2 to 4 of one or of two of them are bought."""
    colours = palette(rng)
    prices = {colour: rng.randint(1, 9) for colour in colours}
    first, second = rng.sample(colours, 2)
    count, more = rng.randint(2, 4), rng.randint(2, 4)
    text, total = equation(count, "*", prices[first])
    if level == 1:
        question, plan = f"How much do {count} {first} cost?", [Step(text, (first,))]
    else:
        other, cost = equation(more, "*", prices[second])
        added, value = equation(total, "+", cost)
        plan, total = [Step(text, (first, second)), Step(other), Step(added)], value
        question = f"How much do {count} {first} and {more} {second} cost?"
    if level == 3:
        question = f"You pay {PURSE} for {count} {first} and {more} {second}. How much change is left?"
        text, total = equation(PURSE, "-", total)
        plan.append(Step(text))
    readings = tuple((colour, str(price)) for colour, price in prices.items())
    return Draft(question, str(total), {"prices": prices}, readings, tuple(plan))


def draw(state: Mapping[str, Any], rng: Random) -> Image.Image:
    """A tag for each good: its colour, and its price on a white label."""
    image, pen = blank(rng)
    for column, (colour, price) in enumerate(state["prices"].items()):
        left, top = column * CELL, CELL
        pen.rectangle([left + 2, top + 2, left + 25, top + 53], fill=COLOURS[colour])
        pen.rectangle([left + 5, top + 4, left + 22, top + 25], fill=WHITE)
        pen.text((left + 14, top + 14), str(price), fill=BLACK, font=font(20), anchor="mm")
    return image
