"""A benchmark's data file, read into items."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from metis_rise.benchmarks import own, tsv
from metis_rise.benchmarks.base import Benchmark, Item, Row
from metis_rise.benchmarks.problems_file import RECORD, ProblemsBenchmark
from metis_rise.benchmarks.tsv import Line
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import control_token
from metis_rise.terminal import Bar, Loop, say

SHOWN_FAULTS = 5
"""So many of a file's bad rows are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Data:
    """What `load` found.

    items: in the file's order, those of `bad` rows left out.
    file: None where the problems are made and not read.
    md5: of the data file's bytes (of all, one after another, where the authors have several; of the problems' JSON
        where there is no file).
    rows: rows in the file, whether or not they are among `items`.
    bad: why a row cannot be used, by index.
    notes: what a person should know of the file; `load` has shown them on stderr.
    """

    items: list[Item]
    file: Path | None
    md5: str
    rows: int
    bad: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Table:
    """A data file of either kind: TSV, or the authors' own."""

    columns: tuple[str, ...] | None
    lines: Callable[[], Iterator[Line]]
    pictures: Callable[[Line], list[bytes]]
    files: tuple[Path, ...]


@dataclass(slots=True)
class _Draft:
    """What the first pass over a file found: items without pictures, and where the pictures are."""

    items: list[Item] = field(default_factory=list)
    pictured: dict[str, str] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    rows: int = 0


def load(benchmark: Benchmark, path: Path | None, store: ImageStore | None, limit: int | None = None) -> Data:
    """The items of a benchmark.

    The file is read twice: first its texts, so that groups are known, then the pictures of what is taken, one row in
    memory at a time. A row that cannot be used is left out and named, since one bad row of thousands must not stop an
    evaluation; its group is then not whole, and is not scored.

    Args:
        benchmark: whose data it is.
        path: what `sources.find` found: a TSV, the authors' own file, a problem file, or None where none is needed.
        store: where the pictures go; None leaves them out, which is enough for scoring.
        limit: take the first so many whole groups; None takes all rows.

    Raises:
        InputError: a file, its columns or its indices are wrong; no row can be used; no group is whole (`limit`).
    """
    if isinstance(benchmark, ProblemsBenchmark):
        return _of_problems(benchmark, path, store, limit)
    assert path is not None, "sources.find gives a file for every benchmark that has one"
    table = _table(benchmark, path)
    if table.columns is not None and benchmark.known is not None:
        need = [name for name in (tsv.INDEX, *benchmark.known.columns) if name != tsv.IMAGE]
        tsv.check_columns(path, table.columns, need if store is None else [*need, tsv.IMAGE])
    draft = _draft(benchmark, table, path)
    items = draft.items if limit is None else first_groups(benchmark, draft.items, limit, path)
    if store is not None:
        items = _with_pictures(benchmark, table, draft, items, store)
    if not items:
        first = next(iter(draft.bad.values()), "it has no rows")
        raise InputError(f"{path}: none of {draft.rows} rows can be used; {first}")
    md5 = _md5(table.files)
    notes = tuple(_notes(benchmark, path, draft, md5))
    for note in notes:
        say(f"note: {note}", aside=True)
    return Data(items, path, md5, draft.rows, draft.bad, notes)


def _of_problems(benchmark: ProblemsBenchmark, path: Path | None, store: ImageStore | None, limit: int | None) -> Data:
    rows = benchmark.rows(path, store)
    made = "\n".join(row[RECORD] for row in rows).encode()
    md5 = hashlib.md5(made, usedforsecurity=False).hexdigest() if path is None else _md5((path,))
    return Data([benchmark.item(row) for row in rows[:limit]], path, md5, len(rows))


def _table(benchmark: Benchmark, path: Path) -> _Table:
    if path.suffix in own.SUFFIXES:
        source = own.open_source(benchmark, path)
        return _Table(None, source.lines, source.pictures, source.files)
    if path.suffix != ".tsv":
        kinds = ", ".join((".tsv", *own.SUFFIXES))
        raise InputError(f"{path}: not a data file; give one of {kinds}")
    return _Table(tsv.columns(path), lambda: tsv.lines(path), tsv.pictures, (path,))


def _draft(benchmark: Benchmark, table: _Table, path: Path) -> _Draft:
    draft = _Draft()
    for line in Loop(table.lines(), desc=f"reading {path.name}", unit="row"):
        draft.rows += 1
        row = line.row
        if line.picture is not None:
            draft.pictured[row.index] = tsv.reference(line.picture) or "" if table.columns else ""
        try:
            if line.picture == "":
                raise InputError(f"{row.place}: column {tsv.IMAGE!r} is empty; the row has no picture")
            draft.items.append(_safe(benchmark.item(row)))
        except InputError as error:
            draft.bad[row.index] = str(error)
    return draft


def _safe(item: Item) -> Item:
    """The item, refused where its text holds a chat or picture token, which the tokenizer would obey."""
    for text in (item.problem.question, item.prompt, *(item.problem.choices or ())):
        if found := control_token(text):
            raise InputError(f"{item.row.place}: the text holds the control token {found}; write it in another way")
    return item


def first_groups(benchmark: Benchmark, items: Sequence[Item], limit: int, path: Path) -> list[Item]:
    """The items of the first `limit` groups that are whole. Raises InputError, naming `path`, where no group is."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    whole = [group for group in groups.values() if benchmark.whole(group) is None][:limit]
    if groups and not whole:
        why = benchmark.whole(next(iter(groups.values())))
        raise InputError(f"{path}: no group is whole, the first lacks {why}; take a file with whole groups")
    taken = {item.group for group in whole for item in group}
    return [item for item in items if item.group in taken]


def _with_pictures(
    benchmark: Benchmark, table: _Table, draft: _Draft, items: Sequence[Item], store: ImageStore
) -> list[Item]:
    """The items with their pictures in `store`; those whose picture cannot be used go to `draft.bad`."""
    holder: dict[str, str] = {}
    for item in items:
        target = draft.pictured[item.index]
        fault = tsv.resolve(draft.pictured, item.index) if target else None
        if fault is not None:
            draft.bad[item.index] = f"{item.row.place}: column {tsv.IMAGE!r} {fault}; get the file again"
        else:
            holder[item.index] = target or item.index
    keys, faults = _stored(table, set(holder.values()), store)
    found = []
    for item in items:
        if item.index not in holder:
            continue
        source = holder[item.index]
        if source in faults:
            draft.bad[item.index] = faults[source]
            continue
        try:
            found.append(benchmark.item(replace(item.row, images=keys[source])))
        except InputError as error:
            draft.bad[item.index] = str(error)
    return found


def _stored(table: _Table, wanted: set[str], store: ImageStore) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The store's keys of the pictures in the rows `wanted`, and what is wrong with the others, by index."""
    keys: dict[str, tuple[str, ...]] = {}
    faults: dict[str, str] = {}
    with Bar(total=len(wanted), desc="pictures", unit="row") as bar:
        for line in table.lines():
            if line.row.index not in wanted:
                continue
            try:
                keys[line.row.index] = tuple(_put(store, data, line.row) for data in table.pictures(line))
            except InputError as error:
                faults[line.row.index] = str(error)
            bar.update()
            if len(keys) + len(faults) == len(wanted):
                break
    return keys, faults


def _put(store: ImageStore, data: bytes, row: Row) -> str:
    try:
        return store.put(data)
    except InputError as error:
        raise InputError(f"{row.place}: column {tsv.IMAGE!r}: {error}") from error


def _notes(benchmark: Benchmark, path: Path, draft: _Draft, md5: str) -> Iterator[str]:
    yield from list(draft.bad.values())[:SHOWN_FAULTS]
    if draft.bad:
        yield f"{path}: {len(draft.bad)} of {draft.rows} rows cannot be used and are left out"
    known = benchmark.known
    if known is not None and path.suffix == ".tsv" and draft.rows == known.rows and md5 != known.md5:
        yield f"{path}: as long as the official {known.dataset}, but its MD5 is {md5} and not {known.md5}"


def _md5(files: Iterable[Path]) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
