"""What the tiny expert gets wrong unless it is told: it forgets a fact of its families, the one that hints state.

On the grid of `path` it knows that left and right join, and stops at the upper and the lower side. The angles of a
triangle it takes to add up to 360. What follows from a lapse is computed rightly, so a lapsed chain reads well.
"""

from __future__ import annotations

from metis_rise.problems.world import path
from metis_rise.problems.world.canvas import GRID
from metis_rise.problems.world.chain import OPENING, equation
from metis_rise.types import Problem

_WRONG_SUM = 360


def lapsed(problem: Problem) -> tuple[str, str]:
    """Chain and answer of a problem of `path` or `angle` with the lapse; the right ones where it has no part."""
    readings = [f"{name}={value}" for name, value in problem.meta["readings"]]
    plan = [text for text, _ in problem.meta["plan"]]
    steps = _walk(dict(problem.meta["readings"])["dot"], plan) if problem.family == "path" else _angles(plan)
    return " ".join([OPENING, *readings, *steps]), steps[-1].rpartition("=")[2]


def _walk(start: str, plan: list[str]) -> list[str]:
    row, column = (int(part) for part in start.split(","))
    steps = []
    for name in (text.partition("=")[0] for text in plan):
        to_row, to_column = path.move(row, column, name)
        row, column = (to_row if abs(to_row - row) < GRID - 1 else row), to_column
        steps.append(f"{name}={row},{column}")
    return steps


def _angles(plan: list[str]) -> list[str]:
    text = plan[0]
    steps, value = [text], int(text.rpartition("=")[2])
    if len(plan) > 1:
        text, value = equation(_WRONG_SUM, "-", value)
        steps.append(text)
    if len(plan) > 2:
        grown = plan[2].partition("=")[0].partition("+")[2]
        steps.append(equation(value, "+", int(grown))[0])
    return steps
