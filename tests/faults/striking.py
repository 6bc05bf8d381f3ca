"""The micro run on a disk that fails: what it said, what it kept, and whether it came to the same end."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compare import differences
from disk_shim import Fault, Shim, Site, build, pattern
from micro import ENVIRONMENT, MICRO
from warm import Warm

NAME = "micro"
# What is written is the same however little there is.
_LESS = ("rl.steps=2", "diagnose.max_samples=3", "evaluate.limit=4")
RUN = ("run", "tiny", *MICRO, *_LESS, "--name", NAME)
_HIDDEN = re.compile(r"\.(.+)\.(?:\*|\d+)\.tmp|\.(.+)\.writing")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended: its exit code, what it said, and the calls that a fault met."""

    code: int
    said: str
    struck: list[Site]

    @property
    def errors(self) -> list[str]:
        """The lines for the user."""
        return [line for line in self.said.splitlines() if line.startswith("error: ")]


class Trial:
    """A folder `runs` on a disk that fails on demand."""

    def __init__(self, home: Path, warm: Warm) -> None:
        """Makes the folders below `home`, which is there."""
        self.home, self.warm = home, warm
        self.runs = home / "work" / "runs"
        self.runs.mkdir(parents=True)
        self.shim = Shim(self.runs, home / "calls.tsv")

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.runs / NAME

    def rise(self, *arguments: str, fault: Fault | None = None, slow_ms: int = 0) -> Outcome:
        """`rise ARGUMENTS` with the fault, to its end."""
        said = self.home / "said.txt"
        code = self.warm.do(arguments, self.runs.parent, self.shim.environment(fault, slow_ms), said)
        return Outcome(code, said.read_text(), self.shim.struck())

    def strike(self, fault: Fault) -> list[str]:
        """Runs the recipe with the fault; what is wrong with how that ended, nothing where all is as it should be."""
        before = kept(self.run)
        outcome = self.rise(*RUN, fault=fault)
        if not outcome.struck and before:
            # The attempts at faults before this one have done its stage.
            shutil.rmtree(self.run)
            return self.strike(fault)
        if not outcome.struck:
            return [f"{fault}: was not reached (exit code {outcome.code}): {outcome.said[-500:]}"]
        after = kept(self.run)
        lost = sorted(name for name, content in before.items() if after.get(name) != content)
        faults = [f"{name} was done and is lost or changed" for name in lost]
        if fault.kind == "kill":
            faults += _ended_badly(outcome)
        else:
            faults += _went_on_badly(outcome) if ends_nothing(fault) else _told_badly(outcome)
        return [f"{fault}: {what}" for what in faults]


@contextmanager
def warm_process() -> Iterator[Warm]:
    """What does the commands of all trials."""
    with tempfile.TemporaryDirectory() as scratch, Warm(build(Path(scratch)), ENVIRONMENT) as warm:
        yield warm


def strike_all(trial: Trial, faults: Sequence[Fault]) -> Iterator[tuple[Fault, list[str]]]:
    """Strikes one run with one fault after another: each with what is wrong.

    Those at the report, which is written at the end of a stage, come after those at stages, and those that end nothing
    come last.
    """
    for fault in sorted(faults, key=lambda fault: (ends_nothing(fault), "report.html" in fault.site.name)):
        yield fault, trial.strike(fault)


def finish(trial: Trial, calm: Path) -> list[str]:
    """The same command without a fault: it must finish, come to what `calm` came to, and `rise check` find nothing."""
    last = trial.rise(*RUN)
    if last.code:
        return [f"the run does not finish: {last.said[-1500:]}"]
    wrong = differences(calm, trial.run)
    check = trial.rise("check", str(trial.run))
    return wrong + ([f"rise check: {check.said[-1500:]}"] if check.code else [])


def ends_nothing(fault: Fault) -> bool:
    """Whether it only makes the log of an attempt incomplete, which is noted."""
    return fault.kind != "kill" and (fault.site.call, fault.site.name) == ("write", f"{NAME}/logs/*.txt")


def _went_on_badly(outcome: Outcome) -> list[str]:
    noted = outcome.said.count("this log lacks lines") == 1 and "Traceback" not in outcome.said
    return [] if outcome.code == 0 and noted else [f"exit code {outcome.code}: {outcome.said[-800:]}"]


def _ended_badly(outcome: Outcome) -> list[str]:
    return [] if outcome.code == -9 else [f"ended with {outcome.code}, not by SIGKILL"]


def _told_badly(outcome: Outcome) -> list[str]:
    """A fault is told in one line that names the file and the mend."""
    faults = []
    if outcome.code not in (1, 2):
        faults.append(f"exit code {outcome.code}")
    if "Traceback" in outcome.said:
        faults.append(f"a traceback: {outcome.said[-1500:]}")
    if len(outcome.errors) != 1:
        return [*faults, f"{len(outcome.errors)} lines of error: {outcome.said[-800:]}"]
    (line,) = outcome.errors
    if not any(names(line, site) for site in outcome.struck):
        faults.append(f"does not name the file: {line}")
    if "run the same command" not in line:
        faults.append(f"does not say what to do: {line}")
    return faults


def names(line: str, struck: Site) -> bool:
    """Whether an error names what was being written, by the name that a user sees."""
    found = re.search(r"runs/(\S+): ", line)
    if found is None:
        return False
    shown, wanted = Path(found[1]), Path(visible(struck.name))
    # A folder is made and synced for the file in it; several folders may be made for one.
    return wanted in (shown, shown.parent) or (struck.call == "mkdir" and wanted in shown.parents)


def visible(name: str) -> str:
    """`name`, or what it is to become: whole folders and files are written under hidden names."""
    parts = []
    for part in name.split("/"):
        hidden = _HIDDEN.fullmatch(part)
        parts.append(part if hidden is None else hidden[1] or hidden[2])
        if hidden is not None:
            break
    return "/".join(parts)


def kept(run: Path) -> dict[str, str]:
    """The hashes of all files of the stages that are done, but for models' cards, which get the scores in the end."""
    done = [marker.parent for marker in run.glob("*/DONE")]
    files = [path for stage in done for path in stage.rglob("*") if path.is_file() and path.name != "README.md"]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def unseen(run: Path, calls: list[Site]) -> list[str]:
    """Files of a finished run that the shim saw nobody write: it would be blind to their sites."""
    written = {pattern(os.path.basename(visible(call.name))) for call in calls if call.call == "write"}
    inside = {pattern(os.path.basename(call.name)) for call in calls if call.call == "write"}
    files = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size]
    missing = {pattern(path.name) for path in files} - written - inside
    return sorted(name for name in missing if not (name.endswith(".safetensors") and ".tmp*" in inside))
