"""One process at a time works in a folder: a lock beside it, which ends with whoever holds it.

The operating system holds it (`flock`), so a process that is killed leaves nothing that blocks: the next one takes the
file over. Some shared file systems know only the locks of one machine. So the file says who holds it, and the holder
changes it every few seconds: a process on another machine first watches whether it still changes. To take
a lock no clocks are compared; only `holder_of`, which reports and does not wait, compares two.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from metis_rise.disk import writing
from metis_rise.errors import InputError
from metis_rise.terminal import say

BEAT_S = 5.0
"""Seconds between two changes of the file by its holder."""

SILENCE_S = 30.0
"""Seconds without a change after which a holder on another machine counts as gone."""

_LOOK_S = 0.5
# Written in place: a file that never changes its size needs no room on a full disk, and is never read half.
_SIZE = 1024
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FAILING = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
_NOT_KNOWN = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `machine` tells machines apart that have the same name; `since` is a time in UTC."""

    pid: int
    host: str
    machine: str
    since: str

    @classmethod
    def here(cls) -> Holder:
        """This process, from now on."""
        machine = _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""
        return cls(os.getpid(), socket.gethostname(), machine, datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def elsewhere(self) -> bool:
        """Whether it is on another machine, or was on this one before it was started anew."""
        here = Holder.here()
        return (self.host, self.machine) != (here.host, here.machine)

    def to_bytes(self, beat: int) -> bytes:
        """The file's content, always of the same length; `beat` counts up."""
        row = {"pid": self.pid, "host": self.host, "machine": self.machine, "since": self.since, "beat": beat}
        return json.dumps(row).encode().ljust(_SIZE - 1) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Holder | None:
        """Whom `to_bytes` wrote; None for anything else, such as a file that was just made."""
        try:
            row = json.loads(data)
            return cls(int(row["pid"]), str(row["host"]), str(row["machine"]), str(row["since"]))
        except (ValueError, TypeError, KeyError):
            return None


@contextmanager
def locked(folder: Path, mend: str) -> Iterator[None]:
    """Holds the lock of `folder`, which need not be there. Parents that are made for the lock, and stay empty, vanish.

    Args:
        folder: what only one process may work in.
        mend: what a user who is refused can do beside waiting, such as "choose another --name".

    Raises:
        InputError: another process holds it, here or on another machine, or no lock can be written there.
    """
    place = folder.resolve()
    file = place.with_name(f".{place.name}.lock")
    absent = [parent for parent in file.parents if not parent.exists()]
    holder = Holder.here()
    try:
        descriptor = _take(file, folder, holder, mend)
        try:
            with _beating(descriptor, holder):
                yield
        finally:
            # Deleted while it is held: whoever has opened it meanwhile sees that it is another file's lock by now.
            if _read(file) == holder:
                file.unlink(missing_ok=True)
            os.close(descriptor)
    finally:
        for parent in absent:
            with suppress(OSError):
                parent.rmdir()


def holder_of(folder: Path) -> Holder | None:
    """Who is at work in `folder`, as far as one look tells; None where nobody is. Takes no lock.

    The file's time, which on a shared file system is the server's, is compared with this machine's clock: where that is
    more than `SILENCE_S` ahead nobody is seen, and where it is behind one who is gone is seen for longer.
    """
    place = folder.resolve()
    file = place.with_name(f".{place.name}.lock")
    try:
        there, silent = _read(file), time.time() - file.stat().st_mtime
    except FileNotFoundError:
        return None
    if there is None or silent > SILENCE_S:
        return None
    return there if there.elsewhere or _runs(there.pid) else None


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _take(file: Path, folder: Path, holder: Holder, mend: str) -> int:
    """Opens and locks `file` and writes `holder` into it; its descriptor."""
    while True:
        descriptor = _open(file)
        try:
            known = _lock(descriptor)
            there = _read(file)
            if known is False or (there and (there.elsewhere or known is None) and _lives(file, folder, there)):
                raise InputError(f"{folder}: {_who(there)} is at work on it; wait for its end, or {mend}")
            if _is_at(descriptor, file):
                with writing(file):
                    os.ftruncate(descriptor, 0)
                    _fill(descriptor, holder.to_bytes(0))
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        # Its holder has deleted it since it was opened.
        os.close(descriptor)


def _open(file: Path) -> int:
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            # Another process has removed the parent, which it had made, in between.
            continue
        except OSError as error:
            if error.errno in _FAILING:
                raise
            raise InputError(
                f"{file}: cannot lock: {error.strerror}; choose a folder that can be written to"
            ) from error


def _lock(descriptor: int) -> bool | None:
    """Whether this process has the lock now; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NOT_KNOWN:
            raise
        return None
    return True


def _lives(file: Path, folder: Path, there: Holder) -> bool:
    """Watches whether the holder that the file names still changes it."""
    seen, end = _content(file), time.monotonic() + SILENCE_S
    note = f"{folder}: {_who(there)} had it; looking for up to {SILENCE_S:.0f} s whether that one is still there"
    say(f"note: {note}", warning=True, aside=True)
    while time.monotonic() < end:
        time.sleep(_LOOK_S)
        if (now := _content(file)) != seen:
            return now is not None
    say(f"note: {folder}: it is gone; its lock is taken over", warning=True, aside=True)
    return False


@contextmanager
def _beating(descriptor: int, holder: Holder) -> Iterator[None]:
    """Changes the file every few seconds, in a thread."""
    end = Event()

    def beat() -> None:
        number = 0
        while not end.wait(BEAT_S):
            number += 1
            # A beat that a failing disk swallows harms nobody unless all do, and the work itself fails then.
            with suppress(OSError):
                _fill(descriptor, holder.to_bytes(number))

    thread = Thread(target=beat, name="lock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _fill(descriptor: int, data: bytes) -> None:
    """Writes all of `data` at the file's start: a disk that becomes full takes a part, and says so the next time."""
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], done)


def _who(holder: Holder | None) -> str:
    return "another process" if holder is None else f"process {holder.pid} on {holder.host} (since {holder.since})"


def _read(file: Path) -> Holder | None:
    data = _content(file)
    return None if data is None else Holder.from_bytes(data)


def _content(file: Path) -> bytes | None:
    """What the file holds now: opened anew each time, as shared file systems keep what an open file held."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _is_at(descriptor: int, file: Path) -> bool:
    """Whether the open file is the one that has the name."""
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False
