"""A disk that fails on demand: builds `shim.c`, tells it what to do, and reads what it saw."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCE = Path(__file__).with_name("shim.c")
# What differs from run to run, or is one of many alike, in the names of files.
_VARYING = (
    (re.compile(r"\.\d+\.tmp"), ".*.tmp"),
    # The safetensors library writes under such names.
    (re.compile(r"\.tmp\w{6}$"), ".tmp*"),
    (re.compile(r"[0-9a-f]{64}"), "*"),
    (re.compile(r"checkpoint-\d+"), "checkpoint-*"),
    (re.compile(r"\d{6}"), "*"),
    (re.compile(r"logs/\d+"), "logs/*"),
)
_WHOLE = re.compile(r".*\.writing(?=/)")


@dataclass(frozen=True, slots=True)
class Site:
    """A place where something is written: the call, and a glob of the names of files below the folder of all runs."""

    call: str
    name: str

    def __str__(self) -> str:
        return f"{self.call} {self.name}"


ANYWHERE = Site("*", "*")


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to call `nth` at `site`, counted from 1 in each process.

    kind: ENOSPC and EROFS fail it and all after it, EIO fails it alone; `torn` writes half of it and fails what comes
    after as on a full disk, `kill` writes half of it and ends the process by SIGKILL.
    """

    kind: str
    site: Site
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.kind} at {self.site}" + (f", call {self.nth}" if self.nth > 1 else "")


def compiler() -> str | None:
    """The C compiler, None where there is none."""
    return shutil.which("cc")


def build(folder: Path) -> Path:
    """Compiles the library into `folder`."""
    found, library = compiler(), folder / "shim.so"
    assert found is not None, "no C compiler"
    command = [found, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass(frozen=True, slots=True)
class Shim:
    """How the library is told what to do to files below `folder`; what it sees is noted in `log`."""

    folder: Path
    log: Path

    def environment(self, fault: Fault | None = None, slow_ms: int = 0) -> dict[str, str]:
        """The variables for a fault and slow syncs, or only to look on. Clears the log."""
        self.log.write_text("")
        values = {
            "FAULT_UNDER": str(self.folder.resolve()),
            "FAULT_LOG": str(self.log),
            "FAULT_SLOW_MS": str(slow_ms),
        }
        if fault is None:
            return values
        torn = {"torn": "error", "kill": "kill"}.get(fault.kind)
        number = errno.ENOSPC if torn else getattr(errno, fault.kind)
        values |= {
            "FAULT_CALL": fault.site.call,
            "FAULT_NAME": fault.site.name,
            "FAULT_NTH": str(fault.nth),
            "FAULT_ERRNO": str(number),
            "FAULT_ONWARD": str(int(fault.kind in ("ENOSPC", "EROFS"))),
        }
        return values | ({"FAULT_TORN": torn} if torn else {})

    def calls(self) -> list[Site]:
        """All calls that the last command made, in order, each with the name it had."""
        return [Site(*line.split("\t")) for line in self._lines() if not line.startswith("!")]

    def struck(self) -> list[Site]:
        """Those that the fault met."""
        return [Site(*line[1:].split("\t")) for line in self._lines() if line.startswith("!")]

    def _lines(self) -> list[str]:
        return self.log.read_text().splitlines()


def pattern(name: str) -> str:
    """The glob that stands for `name` and those like it."""
    for varying, glob in _VARYING:
        name = varying.sub(glob, name)
    return name


def sites(calls: Sequence[Site]) -> list[Site]:
    """The places of `calls`, each once, in the order of their first use."""
    return list(dict.fromkeys(Site(call.call, _place(call)) for call in calls))


def _place(call: Site) -> str:
    """The files of a folder that appears as a whole are synced one after another, in the order of the file system."""
    folder = _WHOLE.match(call.name) if call.call == "fsync" else None
    return pattern(call.name) if folder is None else pattern(folder[0]) + "/*"
