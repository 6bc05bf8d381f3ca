"""Problems that are also in a benchmark: found by what pictures look like, and by what questions say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis_rise.benchmarks import sources
from metis_rise.benchmarks.base import Benchmark, Item
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.registry import BENCHMARKS, SIX
from metis_rise.data.picture_hash import FORMS, WORDS, alike
from metis_rise.data.pictures import HashingStore
from metis_rise.data.survey import Entry, Survey
from metis_rise.data.texts import digest, normal
from metis_rise.errors import InputError
from metis_rise.terminal import Loop

LONG = 30
"""A question of fewer letters, such as "find the value of x", is asked of many pictures, and is no sign by itself."""

PROBLEM, PICTURE, TEXT = "picture and question", "picture", "question"

_QUESTIONS = ("question", "question_for_eval")


@dataclass(frozen=True, slots=True)
class Leak:
    """A row, the benchmark's item that it holds, by its index there, and what is the same."""

    entry: Entry
    index: str
    same: str


@dataclass(slots=True)
class Checked:
    """A benchmark: why it was not checked, or what was found.

    items: looked at; of: in the official set, 0 where not known. worded: rows that share a question with it that is
    short or asked several times, which is no sign.
    """

    title: str
    why_not: str = ""
    items: int = 0
    of: int = 0
    leaks: list[Leak] = field(default_factory=list)
    worded: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        if self.why_not:
            return {"checked": False, "why": self.why_not}
        kinds = {kind: sum(leak.same == kind for leak in self.leaks) for kind in (PROBLEM, PICTURE, TEXT)}
        rows = [
            {"row": leak.entry.row, "id": leak.entry.id, "index": leak.index, "same": leak.same} for leak in self.leaks
        ]
        return {
            "checked": True,
            "items": self.items,
            "of": self.of,
            "leaks": len(rows),
            "by": kinds,
            "rows": rows,
            "common_questions": self.worded,
        }


def find_leaks(found: Survey, folder: Path | None) -> dict[str, Checked]:
    """Each of the six benchmarks, checked if its data file is in `folder`, or in VLMEvalKit's without one."""
    result = {}
    for name in Loop(SIX, desc="benchmarks", unit="benchmark"):
        benchmark = BENCHMARKS[name]
        try:
            result[name] = _against(found, benchmark, folder)
        except InputError as error:
            result[name] = Checked(benchmark.title, why_not=str(error).splitlines()[0])
    return result


def _against(found: Survey, benchmark: Benchmark, folder: Path | None) -> Checked:
    where = folder or sources.default_folder()
    store = HashingStore()
    items = load(benchmark, sources.find(benchmark, where, "--benchmarks"), store).items
    pictured = _by_picture(found, store, items)
    worded = _by_text(items)
    used = _pictures_by_text(found)
    result = Checked(benchmark.title, items=len(items), of=benchmark.known.rows if benchmark.known else 0)
    for entry in found.entries:
        seen = {item.index for number in entry.pictures for item in pictured.get(number, ())}
        said = worded.get(entry.text, [])
        both = [item.index for item in said if item.index in seen]
        telling = entry.length >= LONG and len({item.group for item in said}) == 1 and used[entry.text] <= 1
        if both or seen:
            result.leaks.append(Leak(entry, min(both or seen), PROBLEM if both else PICTURE))
        elif said and telling:
            result.leaks.append(Leak(entry, said[0].index, TEXT))
        elif said:
            result.worded += 1
    return result


def _by_picture(found: Survey, store: HashingStore, items: list[Item]) -> Mapping[int, list[Item]]:
    """The items that show what looks like one of our pictures, by its number."""
    holders: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        for key in item.problem.images:
            holders[key].append(item)
    result: defaultdict[int, list[Item]] = defaultdict(list)
    theirs = store.hashes.reshape(-1, 1, WORDS)
    pairs = {(ours, form // FORMS) for ours, form in alike(found.gallery.hashes[:, None], theirs)}
    for ours, picture in sorted(pairs):
        result[ours] += holders[store.keys[picture]]
    return result


def _by_text(items: list[Item]) -> Mapping[bytes, list[Item]]:
    """The items that ask a question, by its text; one is written in several ways by the benchmarks' own prompts."""
    result: defaultdict[bytes, list[Item]] = defaultdict(list)
    for item in items:
        for text in {digest(plain) for plain in map(normal, _texts(item)) if plain}:
            result[text].append(item)
    return result


def _texts(item: Item) -> Iterator[str]:
    yield item.problem.question
    yield item.prompt
    yield from (item.row[name] for name in _QUESTIONS)


def _pictures_by_text(found: Survey) -> Mapping[bytes, int]:
    """Of how many different pictures each question of our file is asked."""
    pictures: defaultdict[bytes, set[tuple[int, ...]]] = defaultdict(set)
    for entry in found.entries:
        pictures[entry.text].add(entry.pictures)
    return defaultdict(int, {text: len(found) for text, found in pictures.items()})
