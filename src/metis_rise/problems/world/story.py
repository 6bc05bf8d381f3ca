"""The family without a picture: a short story of buying, finding and giving away. Level = number of operations."""

from __future__ import annotations

from random import Random

from metis_rise.problems.world.chain import Draft, Step, equation

_PEOPLE = ("Ann", "Ben", "Eva", "Tom")
_THINGS = ("pens", "eggs", "cards", "coins")


def draft(rng: Random, level: int) -> Draft:
    """Someone has 3 to 20 things, then `level` times gets or gives away 1 to 9."""
    person, thing = rng.choice(_PEOPLE), rng.choice(_THINGS)
    start = value = rng.randint(3, 20)
    events, plan = [], []
    for _ in range(level):
        size = rng.randint(1, 9)
        sign = "-" if value >= size and rng.random() < 0.5 else "+"
        events.append(f"{'gets' if sign == '+' else 'gives'} {size}")
        text, value = equation(value, sign, size)
        plan.append(Step(text))
    question = f"{person} has {start} {thing}, then {', then '.join(events)}. How many {thing} are left?"
    return Draft(question, str(value), {}, (), tuple(plan))
