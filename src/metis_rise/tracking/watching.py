"""The trackers of a run, seen from the run: a process each, which it starts, listens to and ends."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from metis_rise.crew.child import last_words, start
from metis_rise.errors import InputError
from metis_rise.recipe.tracking import TrackingConfig
from metis_rise.run import Run
from metis_rise.terminal import say
from metis_rise.tracking.base import DONE, END_S, FOLDER
from metis_rise.tracking.feed import state_file
from metis_rise.tracking.state import State

MODULES = {name: f"metis_rise.tracking.{name}" for name in ("tensorboard", "trackio", "wandb")}
"""The module of each tracker; its `open_tracker` takes a `TrackedRun` and gives a `Tracker`."""

# Waits that are shorter are not told.
_SILENT_S = 3.0
# For the thread that listens to a process that has ended, on a machine that is busy with other things.
_LISTENER_S = 60.0


def check_trackers(config: TrackingConfig) -> None:
    """InputError for a tracker whose package is not installed."""
    for name in config.to:
        found = importlib.util.find_spec(name)
        # Without an origin it is a folder: W&B makes one of that name where it is used.
        if found is None or found.origin is None:
            raise InputError(
                f"tracking.to = {name}: the package {name} is not installed; pip install 'metis-rise[{name}]', or take "
                "it out"
            )


@contextmanager
def tracked(config: TrackingConfig, run: Run) -> Iterator[None]:
    """What the block adds to the run's folder is sent to the trackers of `config`, and what was not sent before.

    However they fail, the block does not: it is a warning of the run, and counted in its manifest.
    """
    watched = [watch for name in config.to if (watch := _begin(run, name)) is not None]
    done = False
    try:
        yield
        done = True
    finally:
        for watch in watched:
            watch.tell(done)
        for watch in watched:
            watch.wait()


def _begin(run: Run, name: str) -> _Watch | None:
    try:
        return _Watch(run, name)
    except OSError as error:
        run.warn(f"tracking: {name} cannot be started ({error}); the run goes on without it")
        return None


class _Watch:
    """A tracker's process."""

    def __init__(self, run: Run, name: str) -> None:
        """Starts it. Raises OSError."""
        self._run, self._name = run, name
        folder = run.path / FOLDER
        folder.mkdir(exist_ok=True)
        self._log = (folder / f"{name}.log").open("ab+")
        self._channel, theirs = socket.socketpair()
        try:
            arguments = (str(run.path.resolve()), name, MODULES[name])
            self._process = start(
                "metis_rise.tracking.process", arguments, theirs.fileno(), self._log.fileno(), variables={}
            )
        except OSError:
            self._channel.close()
            self._log.close()
            raise
        finally:
            theirs.close()
        self._listener = Thread(target=self._listen, name=f"tracking {name}", daemon=True)
        self._listener.start()

    def tell(self, done: bool) -> None:
        """That the run is over."""
        with suppress(OSError):
            if done:
                self._channel.sendall(DONE)
            self._channel.shutdown(socket.SHUT_WR)

    def wait(self) -> None:
        """For its end, and counts what came of it; it is ended if that takes too long."""
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SILENT_S)
            if self._process.poll() is None:
                say(f"tracking: {self._name} sends the rest, for {END_S:.0f} s at most", aside=True)
            self._process.wait(END_S + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            # It has the last word on a process that has ended; where the wait was interrupted it ends by itself.
            self._listener.join(timeout=1 if self._process.poll() is None else _LISTENER_S)
            self._channel.close()
            self._log.close()
        state = State.read(state_file(self._run.path, self._name))
        self._run.event("tracking", to=self._name, sent=state.items, failures=state.failures, lost=state.lost)

    def _listen(self) -> None:
        """Makes what it says warnings of the run, and its end if that is not as it should be."""
        with self._channel.makefile(encoding="utf-8", errors="replace") as lines, suppress(OSError):
            for line in lines:
                self._run.warn(line.strip())
        if code := self._process.wait():
            self._run.warn(
                f"tracking: the process of {self._name} ended early ({code}: {last_words(self._log)[:200]}); the run "
                f"goes on, and what was not sent is sent when it is taken up; more in {FOLDER}/{self._name}.log"
            )
