"""The problems of a run and their pictures."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tqdm import tqdm

from metis_rise.check.files import Files
from metis_rise.check.findings import Findings
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.types import Problem

SPLITS = ("train", "dev", "test")
_KEY = re.compile(r"[0-9a-f]{64}")
_WRITE_ANEW = "start a new run, which writes the problems anew, or restore the file from a copy"
_PICTURE = "restore it from a copy; a picture is named by the SHA-256 of its bytes"


@dataclass(frozen=True, slots=True)
class Problems:
    """The ids of each split, in order, and the pictures that problems name."""

    ids: Mapping[str, tuple[str, ...]]
    pictures: frozenset[str]


def check_problems(found: Findings, files: Files) -> Problems:
    """Reads the problem files; ids that come twice in a split are findings."""
    ids: dict[str, tuple[str, ...]] = {}
    pictures: set[str] = set()
    for split in SPLITS:
        path, known = found.folder / "problems" / f"{split}.jsonl", dict[str, int]()
        for row, problem in files.records(path, Problem.from_json):
            if problem.id in known:
                what = f"problem {problem.id!r} is there twice, first in row {known[problem.id]}"
                found.fault(path, what, _WRITE_ANEW, row)
            known.setdefault(problem.id, row)
            pictures.update(problem.images)
        found.looked_at["problems"] += len(known)
        ids[split] = tuple(known)
    return Problems(ids, frozenset(pictures))


def check_pictures(found: Findings, problems: Problems) -> None:
    """Hashes each picture that a problem names."""
    store = ImageStore(found.folder / "images")
    for key in tqdm(sorted(problems.pictures), desc="pictures", unit="picture", leave=False, delay=2, disable=None):
        found.looked_at["pictures"] += 1
        try:
            path = store.path(key)
            there = hashlib.sha256(path.read_bytes()).hexdigest()
        except InputError as error:
            found.fault(store.folder, str(error), _WRITE_ANEW)
        except FileNotFoundError:
            found.fault(path, "the picture of a problem is missing", _PICTURE)
        else:
            if there != key:
                found.fault(path, "the picture was changed or damaged: its SHA-256 is not its name", _PICTURE)
