"""Problems from a user's file (schema: docs/data.md) and to and from a run's own problem files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import arrange
from metis_rise.problems.row import Row, RowFault
from metis_rise.problems.sources import Opener, Spool, jsonl_source
from metis_rise.problems.storing import Stored, store_files
from metis_rise.run import read_jsonl, write_jsonl
from metis_rise.terminal import Loop
from metis_rise.types import AnswerType, Problem

SHOWN_FAULTS = 5
"""So many of a file's bad rows are named; the others are counted."""

GoldCheck = Callable[[str, AnswerType, Sequence[str] | None], str | None]
"""(answer, answer type, choices) -> why this gold answer cannot be judged, None when it can."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A checked row whose pictures are not in the store yet."""

    row: Row
    problem: Problem
    pictures: tuple[Path, ...]


@dataclass(slots=True)
class _Faults:
    """The faults of a file's rows, so that all of them are known before the first is told."""

    found: list[RowFault] = field(default_factory=list)

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Keeps the fault that ends the block."""
        try:
            yield
        except RowFault as fault:
            self.found.append(fault)

    def settle(self, path: Path, rows: int, dropped: Counter[str] | None) -> None:
        """Counts the faults in `dropped`; without one, and where no row of `rows` is left, they are an error."""
        if dropped is None and len(self.found) == 1:
            raise self.found[0]
        if self.found and (dropped is None or len(self.found) == rows):
            more = "mend them" if dropped is not None else "mend them, or leave them out with --skip-bad"
            named = [str(fault) for fault in self.found[:SHOWN_FAULTS]]
            raise InputError("\n".join([*named, f"{path}: {len(self.found)} of {rows} rows cannot be used; {more}"]))
        if dropped is not None:
            dropped.update(fault.reason for fault in self.found)


def read_problems(
    path: Path,
    store: ImageStore,
    check_gold: GoldCheck | None = None,
    dropped: Counter[str] | None = None,
    opener: Opener = jsonl_source,
) -> list[Problem]:
    """The problems of a file, their pictures put into `store`.

    Args:
        path: the file; every row is checked before the first picture is stored.
        store: where the pictures go.
        check_gold: says of a gold answer why it cannot be judged.
        dropped: bad rows are left out and counted here by reason; without it they are an error.
        opener: what opens the file; our own JSONL unless something else is given.

    Raises:
        InputError: a line for each of the first bad rows, with file, row and mend; no row is left; no such file.
    """
    with closing(Spool(store.folder.parent)) as spool:
        return _read(path, store, check_gold, dropped, opener, spool)


def dump_problems(problems: Sequence[Problem], path: Path) -> None:
    """Write `problems` to `path`, one `Problem.to_json` object per line, all or nothing."""
    write_jsonl(path, (problem.to_json() for problem in problems))


def load_problems(path: Path) -> list[Problem]:
    """The problems that `dump_problems` wrote. Raises InputError if the file is missing or was changed by hand."""
    problems = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            problems.append(Problem.from_json(row))
        except (KeyError, TypeError, ValueError) as error:
            said = f"not a problem of a run ({error}); start a new run, which writes the file anew"
            raise InputError(f"{path} row {number}: {said}") from error
    return problems


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of any JSONL file, one JSON object per line, blank lines skipped; InputError with file, row and mend."""
    source = jsonl_source(path)
    yield from (source.read(number, line) for number, line in source.raw)


def _read(
    path: Path,
    store: ImageStore,
    check_gold: GoldCheck | None,
    dropped: Counter[str] | None,
    opener: Opener,
    spool: Spool,
) -> list[Problem]:
    faults, rows = _Faults(), 0
    drafts: dict[str, Draft] = {}
    numbers: dict[str, int] = {}
    source = opener(path, spool)
    for number, raw in Loop(source.raw, desc=f"rows of {path.name}", unit="row"):
        rows += 1
        with faults.caught():
            draft = draft_row(source.read(number, raw), check_gold, numbers)
            drafts[draft.problem.id], numbers[draft.problem.id] = draft, draft.row.number
    if not rows:
        raise InputError(f"{path}: the file has no rows; write one JSON object per line")
    if dropped is None:
        faults.settle(path, rows, None)
    stored = _store_pictures(drafts.values(), store, path.name)
    problems: list[Problem] = []
    for draft in drafts.values():
        with faults.caught():
            problems.append(replace(draft.problem, images=stored_keys(draft, stored)))
    faults.settle(path, rows, dropped)
    return problems


def draft_row(row: Row, check_gold: GoldCheck | None, earlier: Mapping[str, int]) -> Draft:
    """The row, checked but for what is in its pictures. Raises RowFault, also for an id of `earlier`, by row number."""
    row.check_fields()
    kind = row.answer_type()
    choices = row.choices(kind)
    meta = row.meta()
    pictures = row.images()
    try:
        question, order = arrange(row.question(), len(pictures))
    except ValueError as error:
        mend = "list every picture in images, or correct the marker"
        raise row.fault(str(error), mend, "a marker without a picture") from error
    problem = Problem(
        id=row.id(),
        question=question,
        answer=row.answer(kind, choices),
        answer_type=kind,
        choices=choices,
        solution=row.solution(meta),
        source=row.text("source"),
        family=row.family(meta),
        level=row.level(meta),
        meta=meta,
    )
    if problem.id in earlier:
        mend = "give every row an id of its own" if "id" in row.record else "remove the repeated row"
        what = f"id {problem.id!r} is already used in row {earlier[problem.id]}"
        raise row.fault(what, mend, "id used before")
    why = check_gold(problem.answer, kind, choices) if check_gold is not None else None
    if why is not None:
        mend = "write one answer that can be judged, or leave such rows out with --skip-bad"
        raise row.fault(f"answer {problem.answer!r} cannot be judged: {why}", mend, f"gold answer: {why}")
    return Draft(row, problem, tuple(pictures[index] for index in order))


def _store_pictures(drafts: Iterable[Draft], store: ImageStore, name: str) -> dict[Path, Stored]:
    """What became of each picture file, once for each; `name` is for the progress bar."""
    files = list(dict.fromkeys(path for draft in drafts for path in draft.pictures))
    bar = Loop(store_files(store, files), desc=f"pictures of {name}", total=len(files), unit="picture")
    return dict(zip(files, bar, strict=True))


def stored_keys(draft: Draft, stored: Mapping[Path, Stored]) -> tuple[str, ...]:
    """The store's keys of a draft's pictures. Raises RowFault for one that could not be stored."""
    for path in draft.pictures:
        name = f"its image {draft.row.images().index(path) + 1}" if Spool.holds(path) else f"image file {path}"
        if stored[path].unreadable:
            what = f"{name} cannot be read ({stored[path].unreadable})"
            raise draft.row.fault(what, "mend it", "image cannot be read")
        if stored[path].broken:
            raise draft.row.fault(name, stored[path].broken, "image cannot be decoded")
    return tuple(stored[path].key for path in draft.pictures)
