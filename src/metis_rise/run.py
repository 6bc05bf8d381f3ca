"""A run folder: files that are whole or absent, journals that only grow, stages that say when they are done.

Killing the process at any moment leaves a folder that `Run.open` takes up again: files are written under a
temporary name, synced and renamed; a journal's torn last line is dropped with a note.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metis_rise import attempt
from metis_rise.disk import disk_fault, writing
from metis_rise.errors import InputError
from metis_rise.journal import append_jsonl, parse_object, read_jsonl, write_atomic, write_jsonl
from metis_rise.leftovers import delete_folder
from metis_rise.recipe.compare import compare, may_differ
from metis_rise.recipe.secrets import check_no_secret
from metis_rise.redaction import redacted, redacted_values
from metis_rise.run_format import FILE as FORMAT_FILE
from metis_rise.run_format import FORMAT, read_format, write_format
from metis_rise.terminal import say

__all__ = [
    "STAGES",
    "Run",
    "Stage",
    "append_jsonl",
    "check_name",
    "differences",
    "may_differ",
    "read_jsonl",
    "round_name",
    "write_atomic",
    "write_jsonl",
]

STAGES = ("1-rl", "2-diagnose", "3-distill", "4-expert", "5-sft", "6-evaluate")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_RECIPE, _METRICS, _MANIFEST = "recipe.json", "metrics.jsonl", "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Stage:
    """The folder of one stage; it is done when its DONE file is there and can be read."""

    path: Path

    @property
    def name(self) -> str:
        """Numbered name, such as "1-rl"."""
        return self.path.name

    @property
    def short(self) -> str:
        """Name without the number, such as "rl"."""
        return self.name.partition("-")[2]

    @property
    def done(self) -> bool:
        """Whether the stage has finished."""
        return self._read() is not None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Mark the stage as done, with its result (plain JSON values)."""
        write_atomic(self.path / "DONE", json.dumps(result, ensure_ascii=False, allow_nan=False, indent=1) + "\n")

    def result(self) -> dict[str, Any]:
        """What `finish` was given.

        Raises:
            InputError: the stage is not done.
        """
        found = self._read()
        if found is None:
            raise InputError(f"{self.path}: stage {self.short} is not done; run it with: rise {_command(self.short)}")
        return found

    def _read(self) -> dict[str, Any] | None:
        file = self.path / "DONE"
        return parse_object(file.read_bytes()) if file.is_file() else None


class Run:
    """One doing of a recipe. Made by `Run.open`.

    A recipe may repeat its stages in several rounds: `in_round` gives the same run with another round's stage folders
    and curves. What is not of a stage (problems, log, manifest) is the whole run's.
    """

    def __init__(self, path: Path, number: int = 1) -> None:
        self.path = path
        self.number = number

    def in_round(self, number: int) -> Run:
        """This run at round `number` (from 1): the first round's stages are in the run's folder, others in round-N."""
        return Run(self.path, number)

    @classmethod
    def open(
        cls,
        root: Path,
        name: str,
        recipe: Mapping[str, Any],
        *,
        fresh: bool = False,
        may_change: Collection[str] = (),
    ) -> Run:
        """Create the folder root/name, or take it up again when it belongs to the same recipe.

        Args:
            root: folder of all runs.
            name: name of this run, one plain folder name.
            recipe: the resolved recipe, plain JSON values.
            fresh: delete what is there first. Ask the user before you pass it.
            may_change: dotted keys that a run may be taken up with other values of, without the numbers of list items;
                the new ones are recorded.

        Raises:
            InputError: a bad name, a recipe that holds a key, a folder that is no run, a run of a newer format, or one
                of another recipe (names the differing keys).
        """
        check_name(name)
        check_no_secret(recipe, "the recipe")
        path = root / name
        foreign = path.exists() and not (path / _RECIPE).is_file() and _has_content(path)
        if foreign:
            raise InputError(f"{path}: exists and is not a run folder (no {_RECIPE}); choose another --name")
        if fresh:
            delete_folder(path)
        run = cls(path)
        there = (path / _RECIPE).is_file()
        older = there and read_format(path) < FORMAT
        changed = differences(path, recipe) if there else {}
        if not all(may_differ(key, may_change) for key in changed):
            said = ", ".join(f"{key} ({old} there, {new} here)" for key, (old, new) in changed.items())
            raise InputError(
                f"{path}: this run belongs to another recipe: {said}; choose another --name, "
                "or delete the run with --fresh"
            )
        if not there:
            write_format(path)
        if changed or not there:
            write_atomic(path / _RECIPE, json.dumps(recipe, ensure_ascii=False, indent=1) + "\n")
        for key, (old, new) in changed.items():
            run.log(f"{path}: goes on with {key} = {new} (was {old})")
        if older:
            run.log(f"{path}: begun by an older version, whose lines have no checksum and are read as they are")
        return run

    def stage(self, name: str) -> Stage:
        """The stage of a numbered or short name ("1-rl" or "rl"); makes its folder."""
        path = self._home / _numbered(name)
        path.mkdir(parents=True, exist_ok=True)
        return Stage(path)

    def is_done(self, name: str) -> bool:
        """Whether the stage of a numbered or short name has finished; a folder that is not there is not made."""
        return Stage(self._home / _numbered(name)).done

    @property
    def _home(self) -> Path:
        return self.path if self.number == 1 else self.path / round_name(self.number)

    def require_earlier(self, name: str, asked: str = "") -> None:
        """Check that every stage before `name` is done; `asked` says what for, when it is not for `name` itself.

        Raises:
            InputError: one is not; the message says which command to run.
        """
        wanted = _numbered(name)
        for full in STAGES[: STAGES.index(wanted)]:
            short = full.partition("-")[2]
            if not Stage(self._home / full).done:
                raise InputError(
                    f"{self._home}: {asked or _command(wanted.partition('-')[2])} needs the stage {short} done first; "
                    f"run, with the same recipe and --name: rise {_command(short)}"
                )

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Say `text` on the terminal, clear of progress bars, and add it to log.txt with the time.

        The log of the attempt that is recorded has it too, as of `level`. Keys are taken out.
        """
        text = redacted(text)
        attempt.log.log(level, "%s", text)
        stamp = _now()
        target = self.path / "log.txt"
        with writing(target), target.open("a", encoding="utf-8") as file:
            file.writelines(f"{stamp} {line}\n" for line in text.splitlines())
        say(text, warning=level >= logging.WARNING)

    @contextmanager
    def spared(self, unless: str) -> Iterator[None]:
        """What goes wrong in the block does not end the run, whose work it is not: a page, a card.

        The log says `unless` and why; the log of the attempt has the traceback. A failing disk is not spared: it would
        fail the run's next file as well.
        """
        try:
            yield
        except Exception as error:
            if disk_fault(error) is not None:
                raise
            why = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            attempt.log.debug("%s", unless, exc_info=True)
            self.log(f"warning: {unless}: {why}", logging.WARNING)

    def event(self, kind: str, **values: Any) -> None:
        """Add a line to manifest.jsonl: what was done, when, with which plain JSON values. Keys are taken out."""
        append_jsonl(self.path / _MANIFEST, [{"time": _now(), "kind": kind, **redacted_values(values)}])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The lines of manifest.jsonl of a kind, as `event` added them."""
        file = self.path / _MANIFEST
        return [row for row in read_jsonl(file) if row["kind"] == kind] if file.exists() else []

    def warn(self, text: str) -> None:
        """Say a warning and keep it for the report, once however often a resumed run repeats it.

        One of a later round says so.
        """
        text = redacted(text if self.number == 1 else f"{round_name(self.number)}: {text}")
        if not any(row["text"] == text for row in self.events("warning")):
            self.event("warning", text=text)
        self.log(f"warning: {text}", logging.WARNING)

    def metric(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add a line to metrics.jsonl.

        Args:
            stage: name of the curve set, such as "rl", "rl-dev" or "sft-expert"; later rounds write it as "round-2/rl".
            step: step within it.
            values: one finite number per name.

        Raises:
            ValueError: a value is NaN or infinite.
        """
        odd = [name for name, value in values.items() if not math.isfinite(value)]
        if odd:
            raise ValueError(f"metrics of {stage} step {step}: not finite: {', '.join(odd)}")
        row = {"stage": self._curve(stage), "step": step, "time": _now(), "values": dict(values)}
        append_jsonl(self.path / _METRICS, [row])

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The rows of this round's `stage` (of all stages of all rounds where None), in the order of writing."""
        file = self.path / _METRICS
        rows = read_jsonl(file) if file.exists() else []
        return rows if stage is None else [row for row in rows if row["stage"] == self._curve(stage)]

    def truncate_metrics(self, stage: str, step: int) -> None:
        """Drop the rows of `stage` after `step`: a stage that resumes there will write them again."""
        rows, curve = self.metrics(), self._curve(stage)
        kept = [row for row in rows if row["stage"] != curve or row["step"] <= step]
        if len(kept) < len(rows):
            write_jsonl(self.path / _METRICS, kept)

    def _curve(self, stage: str) -> str:
        return stage if self.number == 1 else f"{round_name(self.number)}/{stage}"


def check_name(name: str) -> None:
    """InputError for what no run can be called."""
    if not _NAME.fullmatch(name):
        raise InputError(f"run name {name!r}: use letters, digits, '.', '_' and '-' only, as in --name my-run")


def _numbered(name: str) -> str:
    """The folder's name of a stage's numbered or short name."""
    full = next((s for s in STAGES if name in (s, s.partition("-")[2])), None)
    if full is None:
        raise ValueError(f"no stage {name!r}; stages: {', '.join(STAGES)}")
    return full


def round_name(number: int) -> str:
    """Name of a later round's folder, and of its curves."""
    return f"round-{number}"


def _has_content(path: Path) -> bool:
    """Whether anything but what a crash at the very start leaves is there."""
    if not path.is_dir():
        return True
    return not all(entry.name == FORMAT_FILE or entry.name.endswith(".tmp") for entry in path.iterdir())


def differences(path: Path, recipe: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Dotted keys whose values differ from those of the run's recipe: (there, here), as JSON text."""
    there = parse_object((path / _RECIPE).read_bytes())
    if there is None:
        raise InputError(f"{path / _RECIPE}: not a JSON object; choose another --name or delete the run with --fresh")
    return compare(there, recipe)


def _command(short: str) -> str:
    return "eval" if short == "evaluate" else short


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
