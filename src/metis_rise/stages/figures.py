"""Figures of a training step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The values that are numbers: an update with an infinite gradient is skipped, and its norm is not plotted."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


class Mean:
    """Weighted means of named figures, and maxima of others."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._most: dict[str, float] = {}

    def add(self, values: dict[str, float], weight: float) -> None:
        """Counts each value `weight` times."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * weight
            self._weights[name] = self._weights.get(name, 0.0) + weight

    def most(self, values: dict[str, float]) -> None:
        """Keeps the largest value of each name; the names are not those of `add`."""
        for name, value in values.items():
            self._most[name] = max(value, self._most.get(name, value))

    def result(self) -> dict[str, float]:
        """The mean of each figure over the weight that it was given, and the maxima."""
        return {name: total / self._weights[name] for name, total in self._sums.items()} | self._most

    def join(self, other: Mean) -> None:
        """Counts all that `other` was given as well."""
        for name, total in other._sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + total
            self._weights[name] = self._weights.get(name, 0.0) + other._weights[name]
        self.most(other._most)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, exact; `from_json` reads them back."""
        return {"sums": self._sums, "weights": self._weights, "most": self._most}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Mean:
        """What `to_json` wrote."""
        mean = cls()
        mean._sums, mean._weights, mean._most = dict(row["sums"]), dict(row["weights"]), dict(row["most"])
        return mean
