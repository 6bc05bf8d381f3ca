"""A dot walks over a grid of 4x4 whose sides join. Level + 1 = number of moves; the answer is "row,column".

The grid wraps around so that the moves alone say nothing about where the walk ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from PIL import Image

from metis_rise.problems.world.canvas import CELL, COLOURS, GRID, SIZE, blank
from metis_rise.problems.world.chain import Draft, Step

MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
_GREY = (190, 190, 190)


def move(row: int, column: int, name: str) -> tuple[int, int]:
    """The cell reached from (`row`, `column`), both counted from 1; leaving one side enters at the other."""
    down, right = MOVES[name]
    return (row - 1 + down) % GRID + 1, (column - 1 + right) % GRID + 1


def draft(rng: Random, level: int) -> Draft:
    """The dot anywhere, then `level + 1` moves in any direction."""
    row, column = rng.randint(1, GRID), rng.randint(1, GRID)
    start = f"{row},{column}"
    state = {"row": row, "column": column}
    names, plan = [], []
    for place in range(level + 1):
        name = rng.choice(list(MOVES))
        row, column = move(row, column, name)
        names.append(name)
        plan.append(Step(f"{name}={row},{column}", ("dot",) if place == 0 else ()))
    question = f"The dot goes {', then '.join(names)}. Where is it?"
    return Draft(question, f"{row},{column}", state, (("dot", start),), tuple(plan))


def draw(state: Mapping[str, Any], rng: Random) -> Image.Image:
    """The grid's lines and the dot, a little off the middle of its cell."""
    image, pen = blank(rng)
    for line in range(1, GRID):
        pen.line([0, line * CELL, SIZE, line * CELL], fill=_GREY)
        pen.line([line * CELL, 0, line * CELL, SIZE], fill=_GREY)
    left = (state["column"] - 1) * CELL + 6 + rng.randint(-2, 2)
    top = (state["row"] - 1) * CELL + 6 + rng.randint(-2, 2)
    pen.ellipse([left, top, left + 16, top + 16], fill=COLOURS[rng.choice(list(COLOURS))])
    return image
