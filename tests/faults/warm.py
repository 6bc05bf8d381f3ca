"""Commands of `rise` without the seconds in which torch loads: each is a fork of one process that has loaded it.

As a program it reads one JSON object a line, {"arguments", "cwd", "environment", "said"}, does that command in a
process of its own with the two outputs in the file `said`, and answers with its exit code, -N for one that signal N
ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Warm:
    """The process that has loaded torch, with a library put before libc. A context manager."""

    def __init__(self, library: Path, environment: Mapping[str, str]) -> None:
        """Starts it; `library` has a function `fault_configure` that reads the environment anew."""
        self.library = library
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"},
            text=True,
        )

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def do(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], said: Path) -> int:
        """The exit code of `rise ARGUMENTS`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        job = {"arguments": arguments, "cwd": str(cwd), "environment": dict(environment), "said": str(said)}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def _serve() -> None:
    # What a run needs, in the order in which it does; main() finds it loaded.
    import metis_rise.pipeline  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become(job: Mapping[str, object]) -> None:
    """Does the command, in this process, which ends with it."""
    from metis_rise.cli import main

    said = os.open(str(job["said"]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(theirs, ours)
    os.chdir(str(job["cwd"]))
    os.environ.update(dict(job["environment"]))  # type: ignore[call-overload]
    ctypes.CDLL(os.environ["LD_PRELOAD"]).fault_configure()
    sys.argv = ["rise", *job["arguments"]]  # type: ignore[misc]
    main()


if __name__ == "__main__":
    _serve()
