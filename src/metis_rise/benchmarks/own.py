"""The benchmark authors' own files, read into the rows that VLMEvalKit's file of the same benchmark has.

Pictures are files in the data folder. Layouts: lupantech/MathVista data/testmini.json, mathllm/MATH-V data/test.jsonl,
ZrrSkywalker/MathVerse testmini.json, DynaMath/DynaMath "samples and result/10trials/trialN/dataset.json",
We-Math/We-Math data/testmini.json, Yijia-Xiao/LogicVista data/dataset.json.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Any

from metis_rise.benchmarks.base import Benchmark, Row
from metis_rise.benchmarks.tsv import IMAGE, INDEX, MAX_INDEX, Line, normal_index
from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.problems.images import ImageError, read_picture
from metis_rise.problems.paths import MISSING, SHOWN, PathFault, find_file

SUFFIXES = (".json", ".jsonl")

MAX_BYTES = 1 << 28
"""A larger file is refused unread: these files hold texts only."""

DYNAMATH_SEEDS = 501
"""Variant k of seed q has the index q + 501 (k - 1)."""

_TRIAL = re.compile(r"trial([0-9]{1,2})")
_NEXT_OPTION = re.compile(r";\s*(?=[A-Z]\.)")

_OPTION_HINT = "Please answer the question and provide the correct option letter, e.g., {letters}, at the end."
_HINTS = {
    "free": "Please answer the question and provide the final answer at the end.",
    "integer": "Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, "
    "at the end.",
    "float 1": "Please answer the question requiring a floating-point number with one decimal place and provide the "
    "final value, e.g., 1.2, 1.3, 1.4, at the end.",
    "float 2": "Please answer the question requiring a floating-point number with two decimal places and provide the "
    "final value, e.g., 1.23, 1.34, 1.45, at the end.",
    "list": "Please answer the question requiring a Python list as an answer and provide the final list, e.g., "
    "[1, 2, 3], [1.2, 1.3, 1.4], at the end.",
}
"""What the authors ask for, by the type of the answer (MathVista `build_query.py`)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of an authors' file.

    key: what it stands under. place: file and row, for errors. trial: which trial of DynaMath the file is, 0 for none.
    """

    key: str
    fields: Mapping[str, Any]
    place: str
    trial: int

    def raw(self, name: str) -> Any:
        """A field as it stands there. Raises InputError where there is no such field."""
        if name not in self.fields:
            raise InputError(f"{self.place}: no field {name!r}; take the authors' own file of this benchmark")
        return self.fields[name]

    def __getitem__(self, name: str) -> str:
        """A field as a cell: "" for null, lists and dicts as Python prints them. Raises InputError as `raw`."""
        value = self.raw(name)
        return "" if value is None else str(value)

    def texts(self, name: str) -> list[str]:
        """A field that is a list of texts or null. Raises InputError for anything else."""
        value = self.raw(name) or []
        if not isinstance(value, list):
            raise InputError(f"{self.place}: field {name!r} is {value!r}, not a list; take the authors' own file")
        return [str(each) for each in value]


@dataclass(frozen=True, slots=True)
class Source:
    """An authors' file, or several that are read one after another; pictures are looked for below `folder`."""

    files: tuple[Path, ...]
    folder: Path
    convert: Callable[[Entry], dict[str, str] | None]

    def lines(self) -> Iterator[Line]:
        """The rows. Raises InputError for a file or field that cannot be read, or an index that comes twice."""
        seen: dict[str, str] = {}
        for path in self.files:
            for entry in _entries(path, _trial(path.parent)):
                cells = self.convert(entry)
                if cells is None:
                    continue
                index = cells[INDEX] = normal_index(cells[INDEX])
                if index in seen:
                    raise InputError(f"{entry.place}: index {index!r} is already used in {seen[index]}; remove one")
                seen[index] = entry.place
                picture = cells.pop(IMAGE)
                yield Line(Row(index, cells, f"{entry.place} index {index}"), picture)

    def pictures(self, line: Line) -> list[bytes]:
        """The picture file of a row. Raises InputError where it is not in the data folder."""
        name = line.picture or ""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            said = f"picture {str(path)[:SHOWN]!r} is outside the data folder; mend the path"
            raise InputError(f"{line.row.place}: {said}")
        # MATH-V keeps its pictures beside the folder of the file, MathVerse in a folder `images`.
        faults = list[PathFault]()
        for folder in (self.folder, self.folder / "images", self.folder.parent):
            try:
                return [read_picture(find_file(folder, name, "picture"))]
            except PathFault as fault:
                faults.append(fault)
            except (ImageError, OSError) as error:
                raise InputError(f"{line.row.place}: picture {name!r} cannot be read ({error})") from error
        first = next((fault for fault in faults if fault.reason != MISSING.format("picture")), None)
        missing = f"no picture {str(path)[:SHOWN]!r} in {self.folder}; put it there"
        raise InputError(f"{line.row.place}: {first or missing}")


def open_source(benchmark: Benchmark, path: Path) -> Source:
    """The authors' file of `benchmark`. Raises InputError for a benchmark whose authors' layout is not known."""
    convert = _CONVERT.get(benchmark.name)
    if convert is None:
        raise InputError(f"{path}: {benchmark.title} is not read from {path.suffix}; give a TSV file")
    if not _trial(path.parent):
        return Source((path,), path.parent, convert)
    folder = path.parent.parent
    files = [each / path.name for each in sorted(folder.iterdir(), key=_trial) if _trial(each)]
    return Source(tuple(file for file in files if file.is_file()), folder, convert)


def _trial(folder: Path) -> int:
    """The number of a DynaMath trial's folder, 0 for any other."""
    found = _TRIAL.fullmatch(folder.name)
    return int(found[1]) if found else 0


def _mathvista(entry: Entry) -> dict[str, str]:
    choices, kind = entry.texts("choices"), entry["answer_type"]
    if entry["question_type"] == "multi_choice":
        hint = _OPTION_HINT.format(letters="A, B, C, D")
    else:
        hint = _HINTS.get(f"float {entry['precision'].removesuffix('.0')}" if kind == "float" else kind, _HINTS["free"])
    unit = f" (Unit: {entry['unit']})" if entry["unit"] else ""
    names = ("question_type", "answer_type", "answer", "choices", "precision", "unit")
    metadata = entry.raw("metadata")
    if not isinstance(metadata, dict):
        raise InputError(f"{entry.place}: field 'metadata' is not an object; take the authors' own file")
    return {
        INDEX: entry["pid"],
        IMAGE: entry["image"],
        "question": _asked(hint, entry["question"] + unit, choices),
        **{name: entry[name] for name in names},
        "answer_option": _letter(choices, entry["answer"]),
        **{name: str(value) for name, value in metadata.items() if name not in ("img_width", "img_height")},
    }


def _mathvision(entry: Entry) -> dict[str, str]:
    choices = entry.texts("options")
    hint = _OPTION_HINT.format(letters="A, B, C, D, E") if choices else _HINTS["free"]
    return {
        INDEX: entry["id"],
        IMAGE: entry["image"],
        "question": _asked(hint, entry["question"], choices),
        "choices": str(choices),
        "answer": entry["answer"],
        "category": entry["subject"],
        "level": entry["level"],
    }


def _mathverse(entry: Entry) -> dict[str, str] | None:
    if entry["problem_version"].replace("-", " ").casefold() != "vision only":
        return None
    names = ("answer", "question_type", "metadata", "problem_version", "problem_index", "sample_index")
    queries = ("query_wo", "query_cot", "question_for_eval")
    return {
        INDEX: entry["sample_index"],
        IMAGE: entry["image"],
        "question": entry["query_wo"],
        **{name: entry[name] for name in (*names, *queries)},
    }


def _dynamath(entry: Entry) -> dict[str, str]:
    if not (entry.key.isdecimal() and len(entry.key) <= MAX_INDEX):
        raise InputError(f"{entry.place}: the key is no number; take the authors' own file of this benchmark")
    variant = entry.trial or 1
    return {
        INDEX: str(int(entry.key) + DYNAMATH_SEEDS * (variant - 1)),
        "qid": entry.key,
        "varid": str(variant),
        IMAGE: f"trial{entry.trial}/{entry['image']}" if entry.trial else entry["image"],
        **{name: entry[name] for name in ("question", "answer", "answer_type", "subject")},
        "knowledge_level": entry["level"],
    }


def _wemath(entry: Entry) -> dict[str, str]:
    names = ("ID", "split", "knowledge concept", "question", "answer", "image_path", "key", "question number")
    cells = {INDEX: entry["question number"], IMAGE: entry["image_path"], **{name: entry[name] for name in names}}
    for letter, part in zip(ascii_uppercase, _NEXT_OPTION.split(entry["option"]), strict=False):
        text = part.strip()
        if not text.startswith(f"{letter}."):
            raise InputError(f"{entry.place}: field 'option' lacks {letter!r} before {text!r}; mend the options")
        cells[letter] = text.removeprefix(f"{letter}.").strip()
    return cells


def _logicvista(entry: Entry) -> dict[str, str]:
    return {
        INDEX: entry.key.removeprefix("v1_"),
        IMAGE: f"images/{entry['imagename']}",
        **{name: entry[name] for name in ("question", "answer", "skill", "capability", "imagesource")},
    }


_CONVERT: Mapping[str, Callable[[Entry], dict[str, str] | None]] = {
    "mathvista": _mathvista,
    "mathvision": _mathvision,
    "mathverse": _mathverse,
    "dynamath": _dynamath,
    "wemath": _wemath,
    "logicvista": _logicvista,
}


def _asked(hint: str, question: str, choices: Sequence[str]) -> str:
    """The text that the authors show: hint, question, options."""
    options = [f"({letter}) {text}" for letter, text in zip(ascii_uppercase, choices, strict=False)]
    return "\n".join([f"Hint: {hint}", f"Question: {question}", *(["Choices:", *options] if options else [])])


def _letter(choices: Sequence[str], answer: str) -> str:
    return ascii_uppercase[choices.index(answer)] if answer in choices[:26] else ""


def _entries(path: Path, trial: int) -> Iterator[Entry]:
    """The records of a JSON list, a JSON object of objects, or a JSONL file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB; give the authors' own file")
        text = path.read_text(encoding="utf-8-sig")
        rows = [line for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else [text]
        values = [parse_json(row) for row in rows]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of the file") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON in UTF-8 ({error}); get the file again") from error
    found = values if path.suffix == ".jsonl" else values[0]
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    for number, (key, fields) in enumerate(pairs, 1):
        if not isinstance(fields, dict):
            raise InputError(f"{path} row {number}: not an object; take the authors' own file of this benchmark")
        yield Entry(str(key), fields, f"{path} row {number}", trial)
