"""A process that answers whether two texts mean the same, by math-verify; it may be killed at any moment.

Run with `-m`, a connected socket as standard input and the arguments PARENT (a process id), SECONDS (the deadline of
the other side) and MEGABYTES (of address space). The first line that it writes to the socket is

    {"ready": version of math-verify}   or   {"broken": why math-verify cannot be imported}

after which each line {"gold", "answer"} is answered by one line {"same": true | false | null}. No pickle: both sides
read JSON only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

Compare = Callable[[str, str], bool | None]
# How often an idle worker looks whether its parent still lives, besides noticing that the socket was closed.
_LOOK_S = 2.0
# After the parent's deadline: then nobody is left to kill a worker that computes for ever.
_GRACE_S = 2.0
# math-verify rounds floats to 6 places and drops what is below 1e-15 unless told otherwise, so that
# 0.0000001 = 0.0000002 and e^{-50} = e^{-51}.
_FLOAT_PLACES = 12
_DIGITS = 60


def main(parent: int, deadline_s: float, megabytes: int) -> None:
    """Serve until the socket is closed or the process `parent` is gone."""
    channel = _own_channel()
    _limit_memory(megabytes)
    # The kernel's own handling: it ends a process that no Python code runs in, whatever the parent had set.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    try:
        compare, version = _math_verify()
    except Exception as error:
        _send(channel, {"broken": f"{type(error).__name__}: {error}"})
        return
    # Its grammar is built at the first use, which no pair's deadline shall pay for.
    compare("x+1", "1+x")
    _send(channel, {"ready": version})
    # What was said before went to a file, for the case that nothing works.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _serve(channel, parent, deadline_s, compare)


def _serve(channel: socket.socket, parent: int, deadline_s: float, compare: Compare) -> None:
    channel.settimeout(_LOOK_S)
    waiting = b""
    while os.getppid() == parent:
        try:
            received = channel.recv(1 << 16)
        except TimeoutError:
            continue
        if not received:
            return
        waiting += received
        if not waiting.endswith(b"\n"):
            continue
        pair = json.loads(waiting)
        waiting = b""
        signal.setitimer(signal.ITIMER_REAL, deadline_s + _GRACE_S)
        same = compare(pair["gold"], pair["answer"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(channel, {"same": same})


def _math_verify() -> tuple[Compare, str]:
    """The comparison, and math-verify's version; ImportError and the like where the installation is broken."""
    library: Any = importlib.import_module("math_verify")
    gone: Any = importlib.import_module("math_verify.errors").TimeoutException
    # It warns that its time-outs are off.
    logging.disable()
    # LaTeX only, and the whole text as one formula: its reader of numbers takes the 5 out of `5 ]`, that of strings a
    # letter out of a sentence. It does not drop "units" either, which makes `3t` and `12\text{ is wrong}` 3 and 12.
    formula = library.LatexNormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
    )
    targets = [library.LatexExtractionConfig(boxed_match_priority=-1, normalization_config=formula)]

    def read(text: str) -> list[Any]:
        bare = text.replace("\\$", " ").replace("$", " ")
        parsed: list[Any] = library.parse(
            f"${bare}$", targets, fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True
        )
        return parsed

    def compare(gold: str, answer: str) -> bool | None:
        try:
            golds = read(gold)
            answers = read(answer) if golds else []
            if not answers:
                return None
            return bool(
                library.verify(
                    golds,
                    answers,
                    float_rounding=_FLOAT_PLACES,
                    numeric_precision=_DIGITS,
                    timeout_seconds=None,
                    raise_on_error=True,
                )
            )
        # Whatever goes wrong inside (out of memory, too deep, a fault of sympy), the question stays open.
        except (Exception, gone):
            return None

    return compare, importlib.metadata.version("math-verify")


def _own_channel() -> socket.socket:
    """The socket, and nothing of it in standard input: what else is read there cannot take lines away."""
    channel = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    return channel


def _limit_memory(megabytes: int) -> None:
    # Elsewhere the limit is refused (macOS) or has no effect.
    if sys.platform == "linux":
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = megabytes << 20
        resource.setrlimit(resource.RLIMIT_AS, (size if most == resource.RLIM_INFINITY else min(size, most), most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _send(channel: socket.socket, message: dict[str, object]) -> None:
    channel.sendall(json.dumps(message).encode("ascii") + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
