"""Where the patches of stored pictures come from: cut when they are needed, or ahead of need by helper processes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Protocol

from metis_rise.crew.crew import Crew
from metis_rise.policy import cutting
from metis_rise.policy.cutting import Cut, cut, read_answer, settings_of
from metis_rise.problems.images import ImageStore

# Patches that are ready before anybody has asked for them.
AHEAD_BYTES = 512 << 20
# Pictures that nobody took make room for others when so many times others were expected since.
_PATIENCE = 8


class Pictures(Protocol):
    """Cuts the pictures of a store, by key, for several threads."""

    def expect(self, keys: Sequence[str]) -> None:
        """Says which pictures will be taken next, in that order."""
        ...

    def take(self, key: str) -> Cut:
        """A picture; InputError where it is missing or broken."""
        ...

    def close(self) -> None:
        """Ends what is under way; nothing is taken afterwards."""
        ...


class OwnPictures:
    """Cuts each picture when it is taken."""

    def __init__(self, store: ImageStore, image_processor: Any) -> None:
        """Pictures of `store`, cut by transformers' `image_processor`."""
        self._store, self._processor = store, image_processor

    def expect(self, keys: Sequence[str]) -> None:
        """See `Pictures`: changes nothing."""

    def take(self, key: str) -> Cut:
        """See `Pictures`."""
        return cut(self._processor, self._store.open(key))

    def close(self) -> None:
        """See `Pictures`."""


class HelpedPictures:
    """Pictures cut ahead of need by helper processes, as far as `limit` bytes of patches allow.

    How large a picture gets is not known before: those under way count as much as the largest so far.
    """

    def __init__(self, store: ImageStore, image_processor: Any, helpers: int, limit: int = AHEAD_BYTES) -> None:
        """No helper is started before a picture is expected or taken."""
        self.crew = Crew(cutting.__name__, settings_of(store, image_processor), helpers)
        self._threads = ThreadPoolExecutor(helpers, "pictures")
        self._helpers, self._limit = helpers, limit
        self._lock = Lock()
        self._turn = 0
        # In the order in which they are expected.
        self._expected: dict[str, None] = {}
        self._begun: dict[str, Future[Cut]] = {}
        # With the turn in which they were ready, the oldest first.
        self._ready: dict[str, tuple[Cut, int]] = {}
        self._bytes = self._largest = 0
        self._closed = False

    def expect(self, keys: Sequence[str]) -> None:
        """See `Pictures`."""
        with self._lock:
            new = {key: None for key in keys if key not in self._begun and key not in self._ready}
            self._turn += bool(new.keys() - self._expected.keys())
            self._expected |= new
            self._begin()

    def take(self, key: str) -> Cut:
        """See `Pictures`."""
        with self._lock:
            if key in self._ready:
                found = self._pop(key)
                self._begin()
                return found
            self._expected.pop(key, None)
            if key not in self._begun:
                if self._ready and self._bytes >= self._limit:
                    self._pop(next(iter(self._ready)))
                self._begun[key] = self._threads.submit(self._cut, key)
            begun = self._begun[key]
        found = begun.result()
        with self._lock:
            if key in self._ready:
                self._pop(key)
            self._begin()
        return found

    def close(self) -> None:
        """See `Pictures`."""
        with self._lock:
            self._closed = True
            self._expected.clear()
        self.crew.close()
        self._threads.shutdown(cancel_futures=True)
        self._ready.clear()

    @property
    def ready_bytes(self) -> int:
        """Bytes of patches that wait to be taken."""
        return self._bytes

    def _cut(self, key: str) -> Cut:
        try:
            found = read_answer(*self.crew.ask({"picture": key}))
        except BaseException:
            # Whoever takes it tries again, and is told.
            with self._lock:
                del self._begun[key]
                self._begin()
            raise
        with self._lock:
            del self._begun[key]
            self._ready[key] = found, self._turn
            self._bytes += found.patches.nbytes
            self._largest = max(self._largest, found.patches.nbytes)
            self._begin()
        return found

    def _begin(self) -> None:
        """Begins what is expected next, with the lock held."""
        while self._expected and len(self._begun) < self._helpers and not self._closed:
            if not self._has_room():
                return
            key = next(iter(self._expected))
            del self._expected[key]
            self._begun[key] = self._threads.submit(self._cut, key)

    def _has_room(self) -> bool:
        """Whether one more picture may be begun; one always may."""
        while self._bytes + (len(self._begun) + 1) * self._largest > self._limit:
            oldest = next(iter(self._ready), None)
            if oldest is None or self._ready[oldest][1] >= self._turn - _PATIENCE:
                return not self._ready and not self._begun
            self._pop(oldest)
        return True

    def _pop(self, key: str) -> Cut:
        found, _ = self._ready.pop(key)
        self._bytes -= found.patches.nbytes
        return found
