"""What is known of one bar: how much is done, since when, and the numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite

from metis_rise.terminal.history import History


@dataclass(slots=True)
class Known:
    """Of one bar. done: how much is done. began, changed: when it began, and was counted last (seconds, monotonic).

    said: the numbers beside the bar, by name, as they read. past: how each went.
    """

    done: int
    began: float
    changed: float = field(init=False)
    initial: int = field(init=False)
    said: dict[str, str] = field(default_factory=dict)
    past: dict[str, History] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Nothing is counted yet."""
        self.changed, self.initial = self.began, self.done

    def count(self, count: int, now: float) -> None:
        """So many more are done by `now`."""
        self.done += count
        self.changed = now

    def say(self, values: Mapping[str, object]) -> None:
        """Replaces what is said of the names in `values`; what reads as a number joins its past."""
        for name, value in values.items():
            self.said[name] = str(value)
            number = _number(self.said[name])
            if number is not None:
                self.past.setdefault(name, History()).add(number)

    def seconds_each(self, speed: float | None) -> float | None:
        """Seconds for each, by `speed` (of the last ones, per second) or else from the start; None before the first."""
        if speed:
            return 1 / speed
        counted = self.done - self.initial
        return (self.changed - self.began) / counted if counted > 0 else None

    def seconds_left(self, total: float | None, each: float | None, now: float) -> float | None:
        """Seconds until all of `total` are done, the one under way begun when the last was counted."""
        if total is None or each is None or self.done >= total:
            return None
        # One that takes longer than others takes no time away from those that follow.
        return (total - self.done) * each - min(now - self.changed, each)


def _number(text: str) -> float | None:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        return None
    return value if isfinite(value) else None
