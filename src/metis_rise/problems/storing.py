"""Many picture files put into a store, by several processes where there are enough of them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metis_rise.crew.crew import Crew, cores
from metis_rise.crew.serving import Answer, serve
from metis_rise.problems.images import ImageError, ImageStore, read_picture

# A helper takes a quarter of a second to start, in which so many small pictures are stored.
ALONE = 500
AT_ONCE = 32
# More would wait for the disk.
MOST_HELPERS = 32
# More files are stored as `ImageStore.put` does with a source: decoding and copying them takes many minutes.
MANY = 5000


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a file: its `key` in the store, or why it is `broken` or `unreadable`; the others are ""."""

    key: str = ""
    broken: str = ""
    unreadable: str = ""


def store_files(store: ImageStore, files: Sequence[Path]) -> Iterator[Stored]:
    """Puts picture files into `store`; one result for each, in order.

    Raises:
        OSError: the store's disk is full or cannot be written (as InputError where a helper meets it).
    """
    helpers, many = min(cores(), MOST_HELPERS), len(files) > MANY
    if len(files) <= ALONE or helpers == 1:
        return (store_file(store, path, many) for path in files)
    return _stored_by_helpers(store, files, helpers, many)


def store_file(store: ImageStore, path: Path, many: bool) -> Stored:
    """Puts one picture file into `store`, which may be one of very many."""
    try:
        data = read_picture(path)
    except OSError as error:
        return Stored(unreadable=str(error.strerror))
    except ImageError as error:
        return Stored(broken=str(error))
    try:
        return Stored(key=store.put(data, path if many else None))
    except ImageError as error:
        return Stored(broken=str(error))


def _stored_by_helpers(store: ImageStore, files: Sequence[Path], helpers: int, many: bool) -> Iterator[Stored]:
    crew = Crew(__name__, {"folder": str(store.folder.resolve()), "many": many}, helpers)
    # Few are under way at a time, so that nothing is waited for when something fails.
    asked: deque[Future[list[Stored]]] = deque()

    # Not made plain: `linked/../a.png` need not be `a.png`.
    here = os.getcwd()

    def ask(paths: Sequence[Path]) -> list[Stored]:
        values, _ = crew.ask({"files": [os.path.join(here, path) for path in paths]})
        return [Stored(**row) for row in values["stored"]]

    with ThreadPoolExecutor(helpers) as pool, closing(crew):
        for start in range(0, len(files), AT_ONCE):
            asked.append(pool.submit(ask, files[start : start + AT_ONCE]))
            if len(asked) >= 2 * helpers:
                yield from asked.popleft().result()
        while asked:
            yield from asked.popleft().result()


def _begin(settings: dict[str, Any]) -> Answer:
    store, many = ImageStore(Path(settings["folder"])), settings["many"]

    def answer(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        _fetch(job["files"])
        return {"stored": [asdict(store_file(store, Path(name), many)) for name in job["files"]]}, b""

    return answer


def _fetch(files: Sequence[str]) -> None:
    """Has the system read these files while the first of them is worked on."""
    if not hasattr(os, "posix_fadvise"):
        return
    for name in files:
        # What cannot be read is told where it is read.
        with suppress(OSError), open(name, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


if __name__ == "__main__":
    serve(_begin)
