"""`rise eval --score`: a file of predictions, scored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from metis_rise.benchmarks import registry, sources
from metis_rise.benchmarks.base import Benchmark, Item, Protocol
from metis_rise.benchmarks.data import first_groups, load
from metis_rise.benchmarks.held import held, lacking
from metis_rise.benchmarks.predictions import PredictionFile, model_of, read
from metis_rise.benchmarks.protocol import GIVEN, ProtocolRecord, versions
from metis_rise.benchmarks.result import Result, result
from metis_rise.benchmarks.scoring import Judging, Scores, has_own_rules, score, verdict_rows
from metis_rise.errors import InputError
from metis_rise.evaluation.show import show_result
from metis_rise.journal import write_jsonl
from metis_rise.terminal import say


def score_file(
    file: Path,
    benchmark: str,
    *,
    data: Path | None = None,
    protocol: Protocol | None = None,
    judge: Judging | None = None,
    limit: int | None = None,
    verdicts: Path | None = None,
    as_json: bool = False,
) -> None:
    """Scores the predictions of `file` and prints what came out.

    Args:
        file: predictions, or others' verdicts (DynaMath's result table).
        benchmark: a name that the registry knows.
        data: the benchmark's file or a folder with it; not needed where the prediction file has the data columns.
        protocol: None is `rule`, or the file's own verdicts where it holds no answers.
        judge: the model of protocol `judge`.
        limit: so many whole groups.
        verdicts: a JSONL file to write the verdicts to, row by row.
        as_json: print one JSON object instead of tables.

    Raises:
        InputError: one line with file, row and mend.
    """
    found = registry.find(benchmark)
    predicted = read(file)
    chosen = _protocol(found, predicted, protocol, judge)
    outcome = _score(found, predicted, _data(found, predicted, data, limit), chosen, judge)
    if limit is not None:
        outcome = replace(outcome, scores=replace(outcome.scores, strangers=()))
    if verdicts is not None:
        write_jsonl(verdicts, verdict_rows(outcome.scores), checked=False)
    if as_json:
        print(json.dumps(outcome.to_json(), ensure_ascii=False))
    else:
        show_result(outcome, Console())


@dataclass(frozen=True, slots=True)
class _Data:
    """The items to score, why others cannot be used (by index), rows of the whole file, and its MD5 where known."""

    items: Sequence[Item]
    bad: Mapping[str, str]
    rows: int
    md5: str | None


def _protocol(
    benchmark: Benchmark, predicted: PredictionFile, wanted: Protocol | None, judge: Judging | None
) -> Protocol | None:
    """The protocol to score by; None takes the verdicts of the file."""
    if predicted.table:
        if wanted is not None:
            raise InputError(f"{predicted.path}: holds verdicts and no answers to judge; leave --protocol out")
        return None
    if wanted is Protocol.JUDGE and judge is None:
        raise InputError("--protocol judge needs a model; name it with --judge-url and --judge-model")
    if wanted is Protocol.OFFICIAL and not has_own_rules(benchmark):
        lacking = next((each for each in predicted.predictions if each.extraction is None), None)
        if lacking is not None:
            raise InputError(
                f"{lacking.place}: no extraction, which the authors of {benchmark.title} leave to a model; give a "
                f"column 'extraction', or use --protocol rule or judge"
            )
    return wanted or Protocol.RULE


def _data(benchmark: Benchmark, predicted: PredictionFile, data: Path | None, limit: int | None) -> _Data:
    own = None if data is not None else held(benchmark, predicted)
    if own is None:
        found = load(benchmark, _source(benchmark, predicted, data), None, limit)
        return _Data(found.items, found.bad, found.rows, found.md5)
    kept = own.items if limit is None else first_groups(benchmark, own.items, limit, predicted.path)
    return _Data(kept, own.bad, len(predicted.rows), predicted.record.data_md5)


def _source(benchmark: Benchmark, predicted: PredictionFile, data: Path | None) -> Path | None:
    """The data file; where there is none, the error also says what the predictions lack to be scored without."""
    try:
        return sources.find(benchmark, data)
    except InputError as error:
        without = ", ".join(map(repr, lacking(benchmark, predicted)))
        if data is not None or not without:
            raise
        raise InputError(f"{predicted.path}: no column {without}, so the data is needed; {error}") from error


def _score(
    benchmark: Benchmark, predicted: PredictionFile, data: _Data, protocol: Protocol | None, judge: Judging | None
) -> Result:
    scores = score(benchmark, data.items, predicted.predictions, protocol, judge, data.rows)
    scores = replace(scores, strangers=tuple(index for index in scores.strangers if index not in data.bad))
    if not scores.scored:
        raise InputError(f"{predicted.path}: no group can be scored; {_why(scores, data)}")
    record = _record(predicted, data, protocol, judge)
    return result(benchmark, scores, record, model_of(predicted.path, benchmark), data.bad)


def _record(predicted: PredictionFile, data: _Data, protocol: Protocol | None, judge: Judging | None) -> ProtocolRecord:
    told = predicted.record.data_md5
    if told is not None and told != data.md5:
        note = f"note: {predicted.path}: answers to data with the MD5 {told}, scored with data of MD5 {data.md5}"
        say(note, aside=True)
    return replace(
        predicted.record,
        protocol=GIVEN if protocol is None else protocol.value,
        judge=judge.record() if judge is not None and protocol is Protocol.JUDGE else None,
        data_md5=data.md5,
        versions={**predicted.record.versions, "scored by metis-rise": versions()["metis-rise"]},
    )


def _why(scores: Scores, data: _Data) -> str:
    if scores.left_out:
        first = scores.left_out[0]
        return f"the first, {first.group}, lacks something: {first.why}"
    return next(iter(data.bad.values()), "the data has no rows")
