"""Items made of the data columns that a file of predictions holds, so that no data file is needed to score it.

The result files of the authors of MathVista and MATH-Vision hold them under other names than VLMEvalKit's, DynaMath's
table of verdicts holds what its seeds are counted by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from metis_rise.benchmarks import cells, tsv, verdict_table
from metis_rise.benchmarks.base import Benchmark, Item, Known, Row
from metis_rise.benchmarks.formats import cell
from metis_rise.benchmarks.predictions import PredictionFile
from metis_rise.errors import InputError
from metis_rise.types import AnswerType, Problem

_NO_QUESTION = "(the file does not hold the question)"
"""Judging an answer needs no question, so a file of MATH-Vision's results may leave it out."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a file holds: items, and why other rows of it cannot be used, by index."""

    items: list[Item]
    bad: Mapping[str, str]


def held(benchmark: Benchmark, file: PredictionFile) -> Held | None:
    """The items in a file of predictions; None where it lacks columns that scoring reads.

    Raises:
        InputError: DynaMath's table of verdicts for another benchmark.
    """
    if benchmark.known is None:
        return None
    if _names(file.rows) >= verdict_table.COLUMNS and file.table:
        if benchmark.name != verdict_table.BENCHMARK:
            raise InputError(f"{file.path}: the result table of DynaMath; score it with --benchmark dynamath")
        return Held([_unasked(benchmark, row) for row in file.rows], {})
    rows = _adapted(benchmark, file)
    if _lacking(benchmark.known, rows):
        return None
    items, bad = list[Item](), dict[str, str]()
    for row in rows:
        try:
            items.append(benchmark.item(row))
        except InputError as error:
            bad[row.index] = str(error)
    return Held(items, bad)


def lacking(benchmark: Benchmark, file: PredictionFile) -> tuple[str, ...]:
    """Columns that scoring reads and a file of predictions has not, so that the data file is needed."""
    return () if benchmark.known is None else _lacking(benchmark.known, _adapted(benchmark, file))


def _adapted(benchmark: Benchmark, file: PredictionFile) -> Sequence[Row]:
    adapt = _ADAPT.get(benchmark.name)
    return file.rows if adapt is None else [replace(row, cells=adapt(row)) for row in file.rows]


def _lacking(known: Known, rows: Sequence[Row]) -> tuple[str, ...]:
    there = {tsv.INDEX, tsv.IMAGE} | _names(rows)
    return tuple(name for name in known.columns if name not in there)


def _names(rows: Sequence[Row]) -> set[str]:
    return {name for row in rows for name in row.cells}


def _unasked(benchmark: Benchmark, row: Row) -> Item:
    """An item of which only the verdict and the labels are known."""
    problem = Problem(row.index, _NO_QUESTION, "", AnswerType.TEXT, source=benchmark.name)
    return Item(row.index, benchmark.group(row), problem, "", benchmark.labels(row), row)


def _mathvista(row: Row) -> Mapping[str, str]:
    """The columns of a row of lupantech/MathVista results/, whose task and skills stand in `metadata`."""
    more = cells.mapping(row, "metadata")
    return {**{name: cell(value) for name, value in more.items()}, **row.cells}


def _mathvision(row: Row) -> Mapping[str, str]:
    """The columns of a row of mathllm/MATH-V outputs/."""
    names = {"options": "choices", "subject": "category"}
    renamed = {names[name]: value for name, value in row.cells.items() if name in names}
    return {"question": _NO_QUESTION, **renamed, **row.cells}


_ADAPT: Mapping[str, Callable[[Row], Mapping[str, str]]] = {"mathvista": _mathvista, "mathvision": _mathvision}
