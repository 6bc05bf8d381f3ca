"""Starting a process that runs one of our modules, and what it says before it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO


def start(
    module: str, arguments: Sequence[str], channel: int, said: int, variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Runs `module` with -m, in a session of its own, which a Ctrl-C at the terminal does not reach.

    Args:
        module: its dotted name.
        arguments: of its command line.
        channel: file number of a socket, its standard input.
        said: file number that takes its standard error.
        variables: that are added to its environment.

    Raises:
        OSError: there is no process to be had.
    """
    return subprocess.Popen(
        # -P: a module in the user's folder is not the one of that name that is meant.
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=channel,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={
            **os.environ,
            # It finds the packages that this process finds.
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            **variables,
        },
        start_new_session=True,
    )


def last_words(said: IO[bytes]) -> str:
    """The last line that a process wrote to the file; "" where that is closed."""
    if said.closed:
        return ""
    said.seek(0)
    lines = said.read().decode("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing was said")
