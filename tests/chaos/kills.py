"""Kills a run again and again with SIGKILL, at moments drawn from a seed, and takes it up each time.

    PYTHONPATH=tests/cli python tests/chaos/kills.py --kills 25 --seed 1

The micro recipe is run once in peace. Then runs of it are killed several times each, in every stage, at a moment of
the clock or while a file is being written (a temporary name is there), until there were so many kills. After each kill
`rise check` must find nothing wrong, and in the end the folder must be the same as the one that was left in peace
(compare.py). Exit code 0 if all of that is so.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TextIO

from compare import differences
from micro import ENVIRONMENT, MICRO, command

from metis_rise.check.folder import check_run
from metis_rise.run import STAGES, Stage

# Fewer checkpoints than steps, so that a kill costs some; more updates of SFT, and calls of the sampler in diagnosis.
OWN = {
    "rl.steps": "4",
    "rl.checkpoint_every": "2",
    "sampling.batch_tokens": "900",
    "problems.world.test_per_level": "1",
    "diagnose.max_samples": "5",
    "evaluate.limit": "9",
    "sft.checkpoint_every": "2",
    "sft.stages.0.batch_size": "4",
    "sft.stages.1.batch_size": "6",
}
RECIPE = (*(each for each in MICRO if each.partition("=")[0] not in OWN), *(f"{key}={OWN[key]}" for key in OWN))
START, END = "start", "end"
PLACES = (START, *STAGES, END)
"""Where a process can be: before the run's folder is taken up, in a stage, or after the last one."""

PER_RUN = (3, 6)
"""Fewest and most kills of one run."""

WRITE_SHARE = 0.5
"""Share of the moments that wait for a write."""

_TEMPORARY = re.compile(r"\..+\.(tmp|writing|retired)")
_AFTER_NAME_S = 0.02
"""A kill within a write comes at most so many seconds after its temporary name was seen, most often at once."""

_MOST_S = 600
"""An attempt that takes longer hangs."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: at a `share` of the time that `place` takes, or at its `write`-th file while that is written."""

    place: str
    share: float
    write: int | None

    def earlier(self) -> Moment:
        """The moment to wait for when this one did not come: there were fewer files, or it took less time."""
        if self.write is None:
            return replace(self, share=self.share / 2)
        return replace(self, write=max(1, self.write - 1))


@dataclass(frozen=True, slots=True)
class Killed:
    """Where a kill came, and the temporary names that it left."""

    place: str
    half: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What came out. faults: all that should not be. kills: by place. writes: kills while a file was half written."""

    faults: list[str] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    runs: int = 0


def moments(seed: int, count: int) -> list[Moment]:
    """`count` moments spread over all places as evenly as their number allows."""
    rng = Random(seed)
    found: list[Moment] = []
    while len(found) < count:
        for place in rng.sample(PLACES, len(PLACES)):
            write = rng.randint(1, 3) if rng.random() < WRITE_SHARE and place != START else None
            found.append(Moment(place, rng.random(), write))
    return found[:count]


def chaos(folder: Path, wanted: Sequence[Moment], seed: int, out: TextIO) -> Tally:
    """Kills at the moments `wanted` in runs below `folder`, several in each, and says what it does."""
    tally, rng = Tally(), Random(seed)
    calm = Process(folder / "calm")
    seconds = calm.to_the_end()
    said = ", ".join(f"{place} {value:.1f} s" for place, value in seconds.items())
    print(f"left in peace: {said}", file=out, flush=True)
    left = list(wanted)
    while left:
        tally.runs += 1
        turn, left = left[: (size := rng.randint(*PER_RUN))], left[size:]
        process = Process(folder / f"killed-{tally.runs:03}")
        for moment in sorted(turn, key=lambda moment: PLACES.index(moment.place)):
            if killed := process.killed(moment, seconds.get(moment.place, 0.0), rng):
                _count(tally, process.run, killed, out)
            else:
                left.append(moment.earlier())
        process.to_the_end()
        _note(tally, _faults(calm.run, process.run), out)
        shutil.rmtree(process.folder)
    return tally


def _note(tally: Tally, faults: Sequence[str], out: TextIO) -> None:
    tally.faults += [f"run {tally.runs}: {each}" for each in faults]
    for fault in faults:
        print(f"FAULT in run {tally.runs}: {fault}", file=out, flush=True)


def _count(tally: Tally, run: Path, killed: Killed, out: TextIO) -> None:
    tally.kills[killed.place] += 1
    tally.writes += bool(killed.half)
    doing = f", while writing {', '.join(killed.half)}" if killed.half else ""
    print(f"kill {tally.kills.total()}: run {tally.runs}, in {killed.place}{doing}", file=out, flush=True)
    if (run / "recipe.json").is_file():
        _note(tally, [f"rise check after this kill: {each}" for each in check_run(run).settled()], out)


def _faults(calm: Path, run: Path) -> list[str]:
    found = check_run(run)
    checked = [f"rise check: {each}" for each in (*found.settled(), *found.notes, *found.to_do)]
    beside = [f"{path.name} is left beside the run" for path in sorted(run.parent.iterdir()) if path != run]
    return differences(calm, run) + checked + beside


class Process:
    """One run in a folder of its own, by one process after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "runs" / "tiny"
        folder.mkdir(parents=True)
        self._attempts = 0

    def to_the_end(self) -> dict[str, float]:
        """An attempt that nobody disturbs: the seconds that it was in each place. RuntimeError when it fails."""
        before, process = self._logs(), self._start()
        reached = {START: time.monotonic()}

        def ended() -> bool:
            reached.setdefault(self._place(before), time.monotonic())
            return process.poll() is not None

        self._await(process, ended)
        self._refuse_failure(process)
        ends = [*list(reached.values())[1:], time.monotonic()]
        return {place: end - begin for (place, begin), end in zip(reached.items(), ends, strict=True)}

    def killed(self, moment: Moment, seconds: float, rng: Random) -> Killed | None:
        """An attempt that is killed at `moment`; None when it ended before. RuntimeError when it fails.

        `seconds` is how long the moment's place takes. Whoever is past the place by then is killed at once.
        """
        before, old = self._logs(), set(self._temporaries())
        watched = self.run / moment.place if moment.place in STAGES else self.run
        process, number = self._start(), PLACES.index(moment.place)

        def ended() -> bool:
            return process.poll() is not None

        self._await(process, lambda: ended() or PLACES.index(self._place(before)) >= number)
        end, seen = time.monotonic() + moment.share * seconds, set[Path]()

        def due() -> bool:
            if moment.write is None:
                return time.monotonic() >= end
            seen.update(temporaries(watched, 1 if moment.place in STAGES else 0))
            return len(seen) >= moment.write

        self._await(process, lambda: ended() or due() or self._place(before) != moment.place)
        if moment.write is not None:
            time.sleep(rng.random() ** 3 * _AFTER_NAME_S)
        if ended():
            self._refuse_failure(process)
            return None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        half = sorted(str(path.relative_to(self.run.parent)) for path in set(self._temporaries()) - old)
        return Killed(self._place(before), tuple(half))

    def _temporaries(self) -> Iterator[Path]:
        return temporaries(self.run.parent, 3)

    def _place(self, logs: int) -> str:
        """Where an attempt is before which there were so many logs."""
        return place_of(self.run) if self._logs() > logs else START

    def _start(self) -> subprocess.Popen[bytes]:
        self._attempts += 1
        with self._said().open("wb") as said:
            return subprocess.Popen(
                command("run", "tiny", *RECIPE),
                cwd=self.folder,
                env=ENVIRONMENT,
                stdout=said,
                stderr=subprocess.STDOUT,
                # A process group of its own, which is killed as a whole.
                start_new_session=True,
            )

    def _await(self, process: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _MOST_S
        try:
            while not there():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"attempt {self._attempts} in {self.folder} hung in {place_of(self.run)}")
                time.sleep(0.0005)
        except BaseException:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            raise

    def _refuse_failure(self, process: subprocess.Popen[bytes]) -> None:
        if process.returncode != 0:
            said = self._said().read_text(errors="replace")[-2000:]
            raise RuntimeError(f"attempt {self._attempts} in {self.folder} failed ({process.returncode}): {said}")

    def _said(self) -> Path:
        return self.folder / f"attempt-{self._attempts}.txt"

    def _logs(self) -> int:
        return len(list((self.run / "logs").glob("*.txt")))


def place_of(run: Path) -> str:
    """The first stage that is not done, `START` where there is no run yet, `END` when all are."""
    if not (run / "recipe.json").exists():
        return START
    return next((stage for stage in STAGES if not Stage(run / stage).done), END)


def temporaries(folder: Path, depth: int) -> Iterator[Path]:
    """What is there while something is written, by its name, in `folder` and below."""
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if _TEMPORARY.fullmatch(entry.name):
            yield Path(entry.path)
        elif depth and entry.is_dir() and entry.name != "images":
            yield from temporaries(Path(entry.path), depth - 1)


def main() -> int:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        tally = chaos(Path(folder), moments(asked.seed, asked.kills), asked.seed, sys.stdout)
    places = ", ".join(f"{place} {tally.kills[place]}" for place in PLACES)
    kills = f"{tally.kills.total()} kills in {tally.runs} runs ({places}; {tally.writes} with a file half written)"
    print(f"seed {asked.seed}: {kills}, {len(tally.faults)} faults, {time.monotonic() - began:.0f} s")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
