"""Files of predictions, in both directions: VLMEvalKit's layout, and the result files of benchmarks' authors.

Columns are told apart by name, whatever the format: an index, answers (`prediction`, then `prediction_2`, ... for
further samples, or a JSON list), an answer that others took out, a verdict of others; the rest is the data's own.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metis_rise.benchmarks import tsv, verdict_table
from metis_rise.benchmarks.base import Benchmark, Item, Prediction, Row
from metis_rise.benchmarks.formats import KEY, Record, cell, records
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.errors import InputError
from metis_rise.journal import write_atomic
from metis_rise.json_text import parse_json

FAILED = "Failed to obtain answer"
"""VLMEvalKit writes it where a model gave no answer; such a prediction is missing."""
INDICES = ("index", "pid", "id")
TEXTS = ("response", "prediction")
"""MathVista's own files have both: the response, and what their rules made of it."""
EXTRACTIONS = ("extraction", "model_answer", "extracted", "extract", "res")
VERDICTS = ("true_false", "hit", "correct", "score")
ENDED = "ended"
SOURCE = "source"
"""Where a row's answer is from; rows of one index with different sources are different rows."""

_RIGHT = ("true", "correct", "1", "1.0")
_WRONG = ("false", "fail", "0", "0.0")


@dataclass(frozen=True, slots=True)
class PredictionFile:
    """What a file of predictions holds.

    rows: its data columns (no predictions, extractions, verdicts or pictures), one for each prediction or missing one.
    predictions: what was answered; a row whose answer could not be obtained has none.
    record: from the sidecar `<file>.protocol.json`; all unknown without one.
    table: whether it is a table of verdicts without any text.
    """

    path: Path
    rows: tuple[Row, ...]
    predictions: tuple[Prediction, ...]
    record: ProtocolRecord
    table: bool = False


def read(path: Path) -> PredictionFile:
    """Reads a .tsv, .csv, .json or .jsonl file.

    Raises:
        InputError: a file that cannot be read, an index that is missing or there twice, no answers in it.
    """
    found = list(records(path))
    if not found:
        raise InputError(f"{path}: the file has no rows; give one row for each prediction")
    if verdict_table.is_one(found[0][1]):
        found = list(verdict_table.rows(path, found))
    names = list(dict.fromkeys(name for _, record in found for name in record))
    columns = _Columns.of(path, names)
    rows, predictions, seen, sources = list[Row](), list[Prediction](), dict[str, int](), dict[str, str]()
    for number, record in found:
        row = _row(path, number, record, columns)
        if row.index in seen and row[SOURCE] and row[SOURCE] != sources[row.index]:
            # Results of several models in one file.
            row = replace(row, index=f"{row.index} of {row[SOURCE]}")
        if row.index in seen:
            what = f"index {row.index!r} is already used in row {seen[row.index]}"
            raise InputError(f"{path} row {number}: {what}; remove one, or write samples as prediction, prediction_2")
        seen[row.index], sources[row.index] = number, row[SOURCE]
        rows.append(row)
        prediction = _prediction(row, record, columns)
        if prediction is not None:
            predictions.append(prediction)
    return PredictionFile(path, tuple(rows), tuple(predictions), read_sidecar(path), not columns.texts)


def write(path: Path, items: Sequence[Item], predictions: Sequence[Prediction], record: ProtocolRecord) -> None:
    """Writes what `read` and VLMEvalKit read, .tsv or .json by the name, and the sidecar beside it.

    All data columns but the pictures, then `prediction`; with several samples `prediction_2`, `prediction_3`, ... and,
    where it is known whether answers ended, `ended`, `ended_2`, ... Cells are never cut. Items without a prediction
    are left out, and a sample that is missing is written as VLMEvalKit writes it.
    """
    found = {prediction.index: prediction for prediction in predictions}
    samples = max((len(prediction.texts) for prediction in predictions), default=1)
    told = any(ended is not None for prediction in predictions for ended in prediction.ended)
    rows = [
        {"index": item.index, **item.row.cells, **_cells(found[item.index], samples, told)}
        for item in items
        if item.index in found
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".json":
        content = json.dumps([{name: row.get(name, "") for name in names} for row in rows], ensure_ascii=False)
    else:
        content = _table(names, rows)
    write_atomic(path, content.encode("utf-8", "replace"))
    write_atomic(sidecar(path), json.dumps(record.to_json(), indent=2) + "\n")


def sidecar(path: Path) -> Path:
    """Where the protocol record of a file of predictions stands."""
    return path.with_name(f"{path.name}.protocol.json")


def read_sidecar(path: Path) -> ProtocolRecord:
    """The protocol record beside a file of predictions, all unknown where there is none. InputError for a bad one."""
    place = sidecar(path)
    if not place.is_file():
        return ProtocolRecord()
    try:
        value = parse_json(place.read_bytes())
    except ValueError as error:
        raise InputError(f"{place}: not JSON ({error}); mend it, or delete it if nothing is known") from error
    if not isinstance(value, dict):
        raise InputError(f"{place}: not a JSON object; mend it, or delete it if nothing is known")
    return ProtocolRecord.from_json(value, str(place))


def model_of(path: Path, benchmark: Benchmark) -> str | None:
    """The model's name in `<model>_<dataset>.tsv`, None where the file is not called so."""
    known = benchmark.known
    for dataset in () if known is None else (known.dataset, *known.also_called):
        if path.stem.endswith(f"_{dataset}") and path.stem != f"_{dataset}":
            return path.stem.removesuffix(f"_{dataset}")
    return None


@dataclass(frozen=True, slots=True)
class _Columns:
    """Which column holds what; `texts` has one for each sample, none in a file of verdicts."""

    index: str
    texts: tuple[str, ...]
    extraction: str | None
    verdict: str | None
    data: tuple[str, ...]

    @classmethod
    def of(cls, path: Path, names: Sequence[str]) -> _Columns:
        index = _first((*INDICES, KEY), names)
        text, verdict = _first(TEXTS, names), _first(VERDICTS, names)
        if index is None:
            raise InputError(
                f"{path}: no column 'index'; the file has {_listed(names)}; name the rows as the data does"
            )
        if text is None and verdict is None:
            raise InputError(f"{path}: no column 'prediction'; the file has {_listed(names)}; name the answers so")
        numbered = [name for number in range(2, len(names) + 1) if (name := f"{text}_{number}") in names]
        texts = () if text is None else (text, *numbered)
        taken = {
            *texts,
            *TEXTS,
            *EXTRACTIONS,
            *VERDICTS,
            tsv.IMAGE,
            KEY,
            *(_ended(place) for place in range(len(texts))),
        }
        data = tuple(name for name in names if name not in taken)
        return cls(index, texts, _first(EXTRACTIONS, names), verdict, data)


def _row(path: Path, number: int, record: Record, columns: _Columns) -> Row:
    index = tsv.normal_index(cell(record.get(columns.index)))
    if not index or not index.isprintable():
        name = "key" if columns.index == KEY else columns.index
        value = repr(index[:40]) if index else "empty"
        raise InputError(f"{path} row {number}: the {name} is {value}; give every row the index of its data")
    cells = {name: cell(record.get(name)) for name in columns.data}
    return Row(index, cells, f"{path} row {number} index {index}")


def _prediction(row: Row, record: Record, columns: _Columns) -> Prediction | None:
    """What was answered; None where nothing was: null, or VLMEvalKit's mark of a failure."""
    verdict = None if columns.verdict is None else _flag(row, columns.verdict, record.get(columns.verdict))
    if not columns.texts:
        return None if verdict is None else Prediction(row.index, (), row.place, verdict=verdict)
    first = record.get(columns.texts[0])
    values = first if isinstance(first, list) else [record.get(name) for name in columns.texts]
    kept = [(place, cell(value)) for place, value in enumerate(values) if value is not None]
    kept = [(place, text) for place, text in kept if FAILED not in text]
    if not kept:
        return None
    ended = tuple(_flag(row, _ended(place), record.get(_ended(place))) for place, _ in kept)
    extraction = None
    if columns.extraction is not None and len(values) == 1 and record.get(columns.extraction) is not None:
        extraction = cell(record[columns.extraction])
    return Prediction(row.index, tuple(text for _, text in kept), row.place, ended, extraction, verdict)


def _flag(row: Row, column: str, value: Any) -> bool | None:
    text = cell(value).strip().lower()
    if text in _RIGHT or text in _WRONG:
        return text in _RIGHT
    if text:
        raise InputError(f"{row.place}: column {column!r} is {text[:40]!r}; write true or false, or leave it empty")
    return None


def _cells(prediction: Prediction, samples: int, told: bool) -> dict[str, str]:
    """The columns of answers."""
    missing = samples - len(prediction.texts)
    texts = (*prediction.texts, *[f"{FAILED} via API."] * missing)
    cells = {_numbered("prediction", place): text for place, text in enumerate(texts)}
    if told:
        ended = (*prediction.ended, *[None] * (samples - len(prediction.ended)))
        cells |= {_ended(place): "" if each is None else str(each).lower() for place, each in enumerate(ended)}
    return cells


def _table(names: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    """Tab-separated as pandas reads it."""
    text = io.StringIO()
    # Python 3.11 does not quote a lone carriage return unasked, and readers take it for the end of a row.
    writer = csv.DictWriter(text, names, "", delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _numbered(name: str, place: int) -> str:
    return name if place == 0 else f"{name}_{place + 1}"


def _ended(place: int) -> str:
    return _numbered(ENDED, place)


def _first(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:20]))[:400]
