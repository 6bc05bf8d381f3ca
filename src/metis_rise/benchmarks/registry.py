"""Every benchmark by its name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from metis_rise.benchmarks.base import Benchmark
from metis_rise.benchmarks.dynamath import DynaMath
from metis_rise.benchmarks.logicvista import LogicVista
from metis_rise.benchmarks.mathverse import MathVerse
from metis_rise.benchmarks.mathvision import MathVision
from metis_rise.benchmarks.mathvista import MathVista
from metis_rise.benchmarks.problems_file import UserProblems, World
from metis_rise.benchmarks.wemath import WeMath
from metis_rise.errors import InputError

_LEADERBOARD: Final = (MathVista(), MathVision(), MathVerse(), DynaMath(), WeMath(), LogicVista())

SIX: Final = tuple(benchmark.name for benchmark in _LEADERBOARD)
"""Names of the leaderboard's benchmarks, in the order of its columns; their plain mean is its average."""

BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    benchmark.name: benchmark for benchmark in (*_LEADERBOARD, World(), UserProblems())
}


def find(name: str) -> Benchmark:
    """The benchmark that is called so: its name, title, data set or another name of that, in any spelling.

    Raises:
        InputError: there is none; names the nearest.
    """
    known = {_key(spelling): benchmark for benchmark in BENCHMARKS.values() for spelling in _spellings(benchmark)}
    found = known.get(_key(name))
    if found is not None:
        return found
    near = get_close_matches(_key(name), known, n=1)
    hint = f"did you mean {known[near[0]].name}? " if near else ""
    raise InputError(f"no benchmark is called {name[:60]!r}; {hint}known: {', '.join(BENCHMARKS)}")


def _spellings(benchmark: Benchmark) -> tuple[str, ...]:
    known = benchmark.known
    return (benchmark.name, benchmark.title, *(() if known is None else (known.dataset, *known.also_called)))


def _key(name: str) -> str:
    """Letters and digits alone, in lower case."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())
