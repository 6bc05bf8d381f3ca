"""Feeds the readers made-up and mutated input for some minutes: each must answer, or refuse with an InputError.

python scripts/fuzz_readers.py --minutes 10

hypothesis makes the inputs. A finding ends the run with its smallest input and a traceback; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from fuzzing.inputs import READERS
from metis_rise.errors import InputError

SECONDS = 5.0
"""Of work for one input; a reader that takes longer hangs."""

EXAMPLES = 200
"""Inputs for a reader before the next one has its turn."""


class Hang(BaseException):
    """No reader catches it."""


def main() -> None:
    """Gives every reader its turn until the time is over, and prints how many inputs each has had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    # Notes on torn lines and left-out rows; what is found is raised.
    logs = contextlib.redirect_stderr(StringIO())
    signal.signal(signal.SIGPROF, _ring)
    counts: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    ends, turn = time.monotonic() + 60 * arguments.minutes, arguments.seed
    with tempfile.TemporaryDirectory() as folder, logs:
        while time.monotonic() < ends:
            for name, (strategy, reader) in READERS.items():
                _feed(name, strategy, reader, Path(folder), turn, counts, refused)
            turn += 1
    for name, number in counts.items():
        print(f"{name:<12} {number:>9,} inputs, {refused[name]:>9,} refused")
    print(f"{'all':<12} {counts.total():>9,} inputs, {refused.total():>9,} refused, no finding")


def _feed(
    name: str,
    strategy: st.SearchStrategy[Any],
    reader: Callable[[Any, Path], None],
    folder: Path,
    turn: int,
    counts: Counter[str],
    refused: Counter[str],
) -> None:
    @seed(turn)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        counts[name] += 1
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            reader(value, folder)
        except InputError as error:
            refused[name] += 1
            assert str(error).strip(), "an error without words"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    run()


def _ring(number: int, frame: FrameType | None) -> None:
    raise Hang


if __name__ == "__main__":
    main()
