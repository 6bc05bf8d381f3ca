"""What a process asks a pool of symbolic workers, in a module that a spawned child can import."""

from __future__ import annotations

import threading
import time

from metis_rise.verifier.symbolic import SymbolicPool

# A verdict takes a hundredth of it, so that none is late on a machine that is busy with other things.
DEADLINE_S = 5.0
# math-verify computes this power, in one call into C that no signal interrupts.
POISON = "9^{9^{9^{9}}}"


def poisoned_then_right() -> None:
    """One poisoned answer costs one deadline; the next 100 verdicts are right, none is left open or waits for it."""
    pool = SymbolicPool(workers=1, deadline_s=DEADLINE_S)
    try:
        assert pool.same("x+1", "1+x") is True
        start, before = time.monotonic(), pool.pids()
        assert pool.same("5", POISON) is None
        assert time.monotonic() - start < 3 * DEADLINE_S
        assert len(before) == 1 and not set(before) & set(pool.pids())
        # The new worker's start is nobody's deadline.
        assert pool.same("x+2", "2+x") is True
        for number in range(99):
            start = time.monotonic()
            assert pool.same(f"x+{number}", f"{number + number % 2}+x") is (number % 2 == 0)
            assert time.monotonic() - start < 3 * DEADLINE_S
        assert pool.undecided == 1
    finally:
        pool.close()


def poisoned_in_a_thread() -> None:
    """The same, off the main thread."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            poisoned_then_right()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
