"""DynaMath's own result table: a row for each seed, `correct` or `fail` in the columns `Variant 1` to `Variant 10`.

Source: DynaMath/DynaMath "samples and result/*-result.csv".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from metis_rise.benchmarks.formats import Record, cell
from metis_rise.benchmarks.tsv import MAX_INDEX
from metis_rise.errors import InputError

BENCHMARK = "dynamath"
COLUMNS = frozenset(("qid", "varid", "subject", "knowledge_level"))
"""Of the rows that a table becomes, beside `index` and `correct`."""
SEEDS = 501
"""Variant k of seed q has the index q + 501 (k - 1) in VLMEvalKit's file."""
_SEED = "Question ID"
_VARIANT = "Variant "
_VERDICTS = frozenset(("correct", "fail"))
_SUBJECT = "Topic"
_LEVEL = "Difficulty Level"


def is_one(record: Record) -> bool:
    """Whether a file with such a row is a table of verdicts by seed and variant."""
    return _SEED in record and f"{_VARIANT}1" in record


def rows(path: Path, table: Sequence[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    """A row for each seed and variant, with the columns of DynaMath's data and the verdict as `correct`.

    Rows without any verdict are left out: under the seeds stand the table's own counts, and blank rows.

    Raises:
        InputError: verdicts of a seed whose ID is no number.
    """
    for number, record in table:
        verdicts = {variant: cell(record[column]) for column in record if (variant := _variant(column))}
        if not _VERDICTS.intersection(verdicts.values()):
            continue
        name = cell(record[_SEED]).strip()
        seed = name.removeprefix("Q")
        if not (seed.isdecimal() and len(seed) <= MAX_INDEX):
            raise InputError(f"{path} row {number}: the {_SEED} is {name[:40]!r}; write the number of the seed, as Q1")
        labels = {"subject": cell(record.get(_SUBJECT)), "knowledge_level": cell(record.get(_LEVEL))}
        for variant, verdict in verdicts.items():
            index = str(int(seed) + SEEDS * (variant - 1))
            yield number, {"index": index, "qid": seed, "varid": str(variant), "correct": verdict, **labels}


def _variant(column: str) -> int:
    """The variant that a column holds, 0 for none."""
    number = column.removeprefix(_VARIANT)
    return int(number) if number != column and number.isdecimal() and len(number) <= MAX_INDEX else 0
