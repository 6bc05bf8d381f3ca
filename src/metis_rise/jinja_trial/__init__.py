"""Templates of others, tried before they are used: a sandbox bounds what Jinja may touch, not how long it takes.

Loops within loops, powers, macros that call themselves and texts that double themselves go on for ever, or until the
memory is full. So a template is rendered once in a process that may take a few seconds and some memory, and is refused
where that is not enough. One that waits for a certain text to do so is not found.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from metis_rise.errors import InputError
from metis_rise.jinja_trial.limits import MEMORY_MB, OUT_OF_MEMORY, SECONDS, TOO_LONG

# For an interpreter that imports transformers on a machine busy with other things.
_START_S = 120.0
_FATAL = {
    -signal.SIGPROF: f"was not done after {SECONDS:g} s",
    OUT_OF_MEMORY: f"needs more than {MEMORY_MB} MB",
    TOO_LONG: "makes far more text than it is given",
}


def try_chat_template(template: str, where: str, chats: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """InputError where transformers would not come to an end with `template`, named `where`, for one of `chats`.

    What else is wrong with it, whoever uses it says.
    """
    _try("chat", template, where, json.dumps(list(chats)))


def try_template(template: str, where: str, contexts: Sequence[Mapping[str, Any]]) -> None:
    """The same for a template of a prompt, which is given the values of `contexts` (plain JSON values)."""
    _try("plain", template, where, json.dumps(list(contexts)))


@lru_cache(maxsize=64)
def _try(kind: str, template: str, where: str, values: str) -> None:
    task = json.dumps({"kind": kind, "template": template, "values": json.loads(values)})
    # -P: a jinja2.py in the user's folder is not Jinja.
    line = [sys.executable, "-P", "-m", f"{__name__}.child"]
    # It finds the packages that this process finds; threads of numpy would reserve memory that is counted.
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            line, input=task.encode("ascii"), env=environment, capture_output=True, timeout=_START_S, check=False
        )
    except OSError as error:
        raise InputError(f"{where}: no process to try the template with: {error}") from error
    except subprocess.TimeoutExpired:
        raise InputError(f"{where}: the template was not tried within {_START_S:.0f} s; is the machine busy?") from None
    if done.returncode in _FATAL:
        raise InputError(
            f"{where}: the template {_FATAL[done.returncode]} for a few short texts; take one whose loops and texts "
            "are bounded"
        )
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"{where}: the template cannot be tried ({lines[-1][:200]})")
