"""The results file: a line for each finished cell, to which several processes may append."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.journal import append_jsonl, read_jsonl

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
MOST_SAMPLES = len(DIGITS) - 1


@dataclass(frozen=True, slots=True)
class Row:
    """A finished cell. `settings`, sorted, were given on the command line; `raw` is the line as it is in the file."""

    arm: str
    base: str
    seed: int
    identity: str
    settings: tuple[str, ...]
    raw: Mapping[str, Any]

    @property
    def cell(self) -> tuple[str, int]:
        """Base and seed: what arms share that are compared."""
        return self.base, self.seed

    def rights(self, split: str, mode: str, families: Sequence[str] = ()) -> list[float]:
        """Of each problem, or of each problem of these families, the share of samples that are right and well formed.

        Raises:
            InputError: the results have nothing of such a family.
        """
        score = self.raw["scores"][split][mode]
        parts = [self._family(split, mode, name) for name in families] or [score]
        return [n / score["samples"] for each in parts for n in unpacked(each["right"], each["n"], score["samples"])]

    def _family(self, split: str, mode: str, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Mapping[str, Any]] = self.raw["scores"][split][mode].get("by_family", {})
        if name not in found:
            there = ", ".join(found) or "none (the result is of an older version)"
            raise InputError(
                f"results of {self.arm}, base {self.base}, seed {self.seed}: no answers of the family {name} on "
                f"{split}; families: {there}"
            )
        return found[name]


def read_rows(path: Path) -> list[Row]:
    """The rows of a results file, none where it is not there.

    Raises:
        InputError: a damaged line, or a cell that is there twice.
    """
    rows = [_row(raw, f"{path} row {number}") for number, raw in enumerate(_lines(path), 1)]
    seen: dict[tuple[object, ...], Row] = {}
    for row in rows:
        other = seen.setdefault((row.arm, row.settings, *row.cell), row)
        if other.identity != row.identity:
            raise InputError(
                f"{path}: {row.arm}, base {row.base}, seed {row.seed} is there twice, as two different arms "
                f"({other.identity}, {row.identity}); delete the line of the one that is out of date"
            )
    return list(seen.values())


def _lines(path: Path) -> list[dict[str, Any]]:
    return read_jsonl(path) if path.exists() else []


def _row(raw: Mapping[str, Any], place: str) -> Row:
    try:
        return Row(raw["arm"], raw["base"], raw["seed"], raw["identity"], tuple(sorted(raw["settings"])), raw)
    except (KeyError, TypeError) as error:
        raise InputError(f"{place}: no result of rise ablate ({error} is missing); delete this line") from error


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a line; other processes that add one at the same time wait."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        append_jsonl(path, [row])
    finally:
        os.close(descriptor)


def packed(counts: Sequence[int], samples: int) -> str:
    """How many of `samples` are right, for each problem: four problems a character for one sample, else one.

    Raises:
        ValueError: more samples than a character can count.
    """
    if samples > MOST_SAMPLES:
        raise ValueError(f"{samples} samples")
    if samples > 1:
        return "".join(DIGITS[count] for count in counts)
    bits = "".join(map(str, counts))
    return "".join(f"{int(bits[start : start + 4].ljust(4, '0'), 2):x}" for start in range(0, len(bits), 4))


def unpacked(text: str, n: int, samples: int) -> list[int]:
    """What `packed` was given, of `n` problems."""
    if samples > 1:
        return [DIGITS.index(digit) for digit in text]
    return [int(bit) for bit in "".join(f"{int(digit, 16):04b}" for digit in text)[:n]]
