"""Picture files looked at: whether they can be used, how large they are, what they look like."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metis_rise.crew.crew import cores
from metis_rise.data.picture_hash import FORMS, WORDS, Hashes, cropped_hashes, picture_hash
from metis_rise.problems.images import ImageError, ImageStore, decode_upright, read_picture
from metis_rise.problems.storing import Stored

# Each may hold a decoded picture of 200 MB.
_MOST_THREADS = 8


class Gallery:
    """Different pictures, each once: its hash and its size. What they are called is `keys`."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []
        self._numbers: dict[str, int] = {}
        self._words = array("Q")

    def __len__(self) -> int:
        return len(self.sizes)

    def add(self, key: str, size: tuple[int, int], words: NDArray[np.uint64]) -> None:
        """A picture that is in the gallery already is not added again."""
        if key not in self._numbers:
            self._numbers[key] = len(self.sizes)
            self.sizes.append(size)
            self._words.extend(words.tolist())

    def number(self, key: str) -> int:
        """Which row of `hashes` a picture has."""
        return self._numbers[key]

    @property
    def hashes(self) -> Hashes:
        """[pictures, WORDS], in the order of adding."""
        return np.array(self._words, np.uint64).reshape(-1, WORDS)


@dataclass(frozen=True, slots=True)
class _Look:
    """What one file came to; size and words only where it can be used."""

    stored: Stored
    size: tuple[int, int] = (0, 0)
    words: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(WORDS, np.uint64))


class Looker:
    """Looks at picture files, at each once, in several threads: decoding leaves Python's lock to others."""

    def __init__(self, gallery: Gallery) -> None:
        """What is found goes into `gallery`."""
        self._gallery = gallery
        self._known: dict[Path, Stored] = {}
        self._pool = ThreadPoolExecutor(min(cores(), _MOST_THREADS))

    def look(self, paths: Iterable[Path]) -> Mapping[Path, Stored]:
        """What became of all files so far, those of `paths` among them; the key is the hash of the file's bytes."""
        new = [path for path in dict.fromkeys(paths) if path not in self._known]
        for path, seen in zip(new, self._pool.map(_look, new), strict=True):
            self._known[path] = seen.stored
            if seen.stored.key:
                self._gallery.add(seen.stored.key, seen.size, seen.words)
        return self._known

    def forget(self, paths: Iterable[Path]) -> None:
        """Files that are there no longer, so that what is kept of them does not pile up."""
        for path in paths:
            self._known.pop(path, None)

    def close(self) -> None:
        """Ends the threads; what they have not begun is dropped."""
        self._pool.shutdown(cancel_futures=True)


class HashingStore(ImageStore):
    """Takes pictures as a store does, and keeps what they look like, whole and cut, in place of them."""

    def __init__(self) -> None:
        """The folder is never made."""
        super().__init__(Path("never-written"))
        self.keys: list[str] = []
        self._known: set[str] = set()
        self._words = array("Q")

    def put(self, data: bytes, source: Path | None = None) -> str:
        """The key of the picture. Raises ImageError as a store does."""
        key = hashlib.sha256(data).hexdigest()
        if key not in self._known:
            self._words.extend(cropped_hashes(decode_upright(data)).reshape(-1).tolist())
            self._known.add(key)
            self.keys.append(key)
        return key

    @property
    def hashes(self) -> Hashes:
        """[pictures, FORMS, WORDS], in the order of `keys`."""
        return np.array(self._words, np.uint64).reshape(-1, FORMS, WORDS)


def _look(path: Path) -> _Look:
    try:
        data = read_picture(path)
        image = decode_upright(data)
    except ImageError as error:
        return _Look(Stored(broken=str(error)))
    except OSError as error:
        return _Look(Stored(unreadable=str(error.strerror)))
    return _Look(Stored(key=hashlib.sha256(data).hexdigest()), image.size, picture_hash(image))
