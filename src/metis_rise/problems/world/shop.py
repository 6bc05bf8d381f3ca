"""Price tags: what several goods cost. Level 1 one kind, 2 two kinds, 3 the change from 100, then a kind more each."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import BLACK, CELL, COLOURS, WHITE, blank, font, palette
from metis_rise.problems.world.chain import Draft, Step, equation

PURSE = 100
BIG_PURSE = 200


def draft(rng: Random, level: int) -> Draft:
    """Four goods at 1 to 9; some of one or more kinds are bought: 2 to 4 of each, from level 4 on 2 or 3."""
    colours = palette(rng)
    prices = {colour: rng.randint(1, 9) for colour in colours}
    kinds, most, purse = (2, 4, PURSE) if level <= 3 else (level - 1, 3, PURSE if level == 4 else BIG_PURSE)
    bought = rng.sample(colours, kinds)
    counts = [rng.randint(2, most) for _ in bought]
    if level == 1:
        bought, counts = bought[:1], counts[:1]
    text, total = equation(counts[0], "*", prices[bought[0]])
    plan = [Step(text, tuple(bought))]
    for count, colour in zip(counts[1:], bought[1:], strict=True):
        text, cost = equation(count, "*", prices[colour])
        added, total = equation(total, "+", cost)
        plan += [Step(text), Step(added)]
    goods = " and ".join(f"{count} {colour}" for count, colour in zip(counts, bought, strict=True))
    question = f"How much do {goods} cost?"
    if level >= 3:
        question = f"You pay {purse} for {goods}. How much change is left?"
        text, total = equation(purse, "-", total)
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
