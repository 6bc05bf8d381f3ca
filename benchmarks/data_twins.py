"""Seconds and memory in which `rise data check` looks for duplicates among rows with one question.

    python benchmarks/data_twins.py alike|different|fixed ROWS

Pictures are hashes drawn by chance: nearly the same for all rows, different for all, or for all rows one that is the
same and one that is not. The figures of docs/data.md.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from metis_rise.data.duplicates import find_duplicates
from metis_rise.data.picture_hash import WORDS
from metis_rise.data.survey import Entry, Survey

# Words of a hash that are signs; those after them are colours, here all the same.
_SIGNS = 8


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("alike", "different", "fixed"))
    parser.add_argument("rows", type=int)
    given = parser.parse_args()
    found = _rows(given.kind, given.rows)
    before, start = _peak_mb(), time.perf_counter()
    near = len(find_duplicates(found).near)
    spent, more = time.perf_counter() - start, _peak_mb() - before
    print(f"{given.rows} rows, {given.kind}: {near} near duplicates, {spent:.1f} s, {more} MB more than {before} MB")


def _rows(kind: str, number: int) -> Survey:
    chance = np.random.default_rng(0)
    words = chance.integers(0, 1 << 63, (number, WORDS), dtype=np.uint64)
    words[:, _SIGNS:] = words[0, _SIGNS:]
    if kind == "alike":
        words[:] = words[np.arange(number) % 3]
        words[:, 0] ^= np.uint64(1) << chance.integers(0, 63, number, dtype=np.uint64)
    found = Survey(Path("made"))
    for place in range(number):
        found.gallery.add(str(place), (10, 10), words[place])
        pictures = (0, place) if kind == "fixed" else (place,)
        found.entries.append(Entry(place, str(place), b"text", 40, b"alike", b"asked", b"answer", pictures))
    return found


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
