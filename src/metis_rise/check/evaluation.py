"""An evaluation's folder: damaged lines, scores without answers, changed pictures."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.benchmarks.evaluation_folder import ANSWERS, FILE, IMAGES, SCORE, VERDICTS, read_answer
from metis_rise.benchmarks.predictions import sidecar
from metis_rise.check.files import Files
from metis_rise.check.findings import Findings
from metis_rise.errors import InputError
from metis_rise.run_format import FORMAT, read_format

_AGAIN = "the same `rise eval` asks for what is missing and scores again"
_SCORE_AGAIN = f"delete it: {_AGAIN}"
_KEY = re.compile(r"[0-9a-f]{64}")
_NEEDED = ("benchmark", "dataset", "model", "n", "score", "metrics", "protocol", "complete")


def check_evaluation(folder: Path) -> Findings:
    """Everything that can be known of the evaluation in `folder` without its data and model; nothing is changed.

    Its pictures are in it, or beside it where evaluations share them.

    Raises:
        InputError: it is no evaluation's folder, or one of a newer version.
    """
    if not (folder / FILE).is_file():
        raise InputError(f"{folder}: no evaluation's folder (it holds no {FILE})")
    number = read_format(folder)
    found = Findings(folder, of="evaluation", command="rise eval")
    files = Files(found, checksums=number > 1)
    Evaluation(found, files, folder).check()
    if (folder / IMAGES).is_dir():
        check_store(found, folder / IMAGES)
    else:
        check_store(found, folder.parent / IMAGES, shared=True)
    files.rest()
    if number < FORMAT:
        found.notes.append(f"begun by an older version (format {number}): {files.unchecked} lines have no checksum")
    return found


class Evaluation:
    """The evaluation of one model, in a folder of its own or in a run's."""

    def __init__(self, found: Findings, files: Files, folder: Path) -> None:
        self._found, self._files, self._folder = found, files, folder

    def check(self) -> None:
        """Reads the settings and each benchmark's files."""
        record = self._files.object(self._folder / FILE)
        if record is not None and not isinstance(record.get("settings"), dict):
            self._found.fault(self._folder / FILE, "not the record of an evaluation", "restore it from a copy")
        for home in sorted(each for each in self._folder.iterdir() if each.is_dir() and each.name != IMAGES):
            if (home / ANSWERS).exists() or (home / SCORE).exists():
                self._benchmark(home)

    def _benchmark(self, home: Path) -> None:
        self._found.looked_at["benchmarks"] += 1
        answered = self._answers(home / ANSWERS)
        if not (home / SCORE).exists():
            what = f"{answered.total()} answers so far, no score"
            if self._found.of == "evaluation":
                self._found.to_do.append(f"{self._found.name(home)}: goes on, {what}")
            else:
                self._found.note(home, what)
            return
        score = self._files.object(home / SCORE)
        if score is None:
            return
        if missing := [name for name in _NEEDED if name not in score]:
            self._found.fault(home / SCORE, f"holds no {missing[0]}", _SCORE_AGAIN)
            return
        self._scored(home, score, answered)

    def _answers(self, file: Path) -> Counter[str]:
        """How many samples each item has. One may be there again: an engine that resumes asks for all of an item."""
        seen: set[tuple[str, int]] = set()
        for row, values in self._files.rows(file):
            try:
                answer, _ = read_answer(values, "")
            except InputError as error:
                self._found.fault(file, str(error).removeprefix(": ").partition(";")[0], "delete the line", row)
            else:
                seen.add((answer.index, answer.sample))
        self._found.looked_at["answers"] += len(seen)
        return Counter(index for index, _ in seen)

    def _scored(self, home: Path, score: dict[str, Any], answered: Counter[str]) -> None:
        file = home / VERDICTS
        judged = Counter(str(values.get("index")) for _, values in self._files.rows(file))
        for index, often in judged.items():
            if often > 1:
                self._found.fault(file, f"index {index!r} is there {often} times", _SCORE_AGAIN)
            if index not in answered:
                self._found.fault(home / ANSWERS, f"index {index!r} was scored, and has no answer", _AGAIN)
        if len(judged) != score["n"]:
            self._found.fault(file, f"{len(judged)} items there, {score['n']} in {SCORE}", _SCORE_AGAIN)
        predictions = home / f"{score['model']}_{score['dataset']}.tsv"
        for path in (predictions, sidecar(predictions)):
            if not path.is_file():
                self._found.fault(path, "missing", f"delete {SCORE}: {_AGAIN}")


def check_store(found: Findings, folder: Path, *, shared: bool = False) -> None:
    """Hashes each picture of a store, of which nothing says which are needed.

    A `shared` one is taken for a store by its name and place alone: what is not named as its pictures are is left out.
    """
    there = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    if shared:
        there = [path for path in there if _KEY.fullmatch(path.stem)]
    for path in tqdm(there, desc="pictures", unit="picture", leave=False, delay=2, disable=None):
        if path.name.endswith(".tmp"):
            found.note(path, "left by a kill while a picture was written")
            continue
        found.looked_at["pictures"] += 1
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
            what = "the picture was changed or damaged: its SHA-256 is not its name"
            found.fault(path, what, f"delete it: {_AGAIN}, and the picture is stored anew")
