"""Perceptual hashes: pictures that look alike have hashes that differ in few bits.

A pHash (signs of the low frequencies of a discrete cosine transform) of 16 x 16 frequencies rather than the usual
8 x 8: drawings on white, which most pictures of mathematics are, are told apart by finer detail. Taken twice, once
without the margin, for copies that were cropped or framed. A few mean colours tell apart what is drawn alike: tables,
for instance, of one form with other numbers. Measured in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from tqdm import tqdm

Hashes = NDArray[np.uint64]
"""[pictures, WORDS]"""

_FREQUENCIES, _SIDE = 16, 64
_HALF = _FREQUENCIES**2 // 64
# So many fields each way, of which the mean colours are kept.
_FIELDS = 4
_COLOURS = 3 * _FIELDS**2 // 8
WORDS = 2 * (_HALF + _COLOURS)

ALIKE = 24
"""Pictures are alike from so few bits of 256 that differ, with margins or without ..."""
NEARLY = 20
"""... if no mean colour differs by more, of 255."""

# A colour is grey where its parts differ by no more than this: copies may have lost their colours.
_GREY = 6
# How much a pixel of a margin may differ from the corner, of 255.
_MARGIN = 48
_BLOCK = 64


def picture_hash(image: Image.Image) -> NDArray[np.uint64]:
    """The hash [WORDS] of a picture."""
    grey = image.convert("L")
    whole, box = (0, 0, *image.size), _content(grey)
    signs = [_words(grey), _words(grey.crop(box))]
    fields = (image.convert("RGB").resize((_FIELDS, _FIELDS), Image.Resampling.LANCZOS, part) for part in (whole, box))
    return np.concatenate([*signs, *(np.asarray(each, np.uint8).reshape(-1).view(np.uint64) for each in fields)])


def alike(ours: Hashes, theirs: Hashes) -> Iterator[tuple[int, int, int]]:
    """Pairs of pictures that look alike: (index in `ours`, index in `theirs`, bits that differ)."""
    for start in _starts(ours):
        yield from _pairs(ours, theirs, start, 0)


def alike_within(hashes: Hashes) -> Iterator[tuple[int, int, int]]:
    """Pairs of different rows of `hashes` that look alike: (index, a larger index, bits that differ)."""
    for start in _starts(hashes):
        for first, second, bits in _pairs(hashes, hashes, start, start):
            if first < second:
                yield first, second, bits


def are_alike(first: Hashes, second: Hashes) -> bool:
    """Whether two pictures look alike, by their hashes [WORDS]."""
    return next(alike(first[None], second[None]), None) is not None


def _starts(ours: Hashes) -> Iterator[int]:
    few = len(ours) <= _BLOCK
    bar = tqdm(total=len(ours), desc="pictures compared", unit="picture", leave=False, delay=2, disable=few or None)
    with bar:
        for start in range(0, len(ours), _BLOCK):
            yield start
            bar.update(_BLOCK)


def _pairs(ours: Hashes, theirs: Hashes, start: int, after: int) -> Iterator[tuple[int, int, int]]:
    """The pairs of a block of `ours` that begins at `start`, and of `theirs` from `after` on."""
    least: dict[tuple[int, int], int] = {}
    for first in (0, _HALF):
        for row, column, bits in _close(ours[start : start + _BLOCK], theirs[after:], slice(first, first + _HALF)):
            least[row, column] = min(bits, least.get((row, column), bits))
    for (row, column), bits in sorted(least.items()):
        if _same_colours(ours[start + row], theirs[after + column]):
            yield start + row, after + column, bits


def _close(ours: Hashes, theirs: Hashes, words: slice) -> Iterator[tuple[int, int, int]]:
    """(row, column, bits) of the pairs that differ by at most `ALIKE` bits in some words."""
    # Two words show of nearly all pairs that they differ by more.
    some = sum(np.bitwise_count(ours[:, None, word] ^ theirs[None, :, word]) for word in (words.start, words.start + 1))
    rows, columns = np.nonzero(np.asarray(some) <= ALIKE)
    bits = np.bitwise_count(ours[rows, words] ^ theirs[columns, words]).sum(axis=1)
    close = bits <= ALIKE
    yield from zip(rows[close].tolist(), columns[close].tolist(), bits[close].tolist(), strict=True)


def _same_colours(first: Hashes, second: Hashes) -> bool:
    """Whether mean colours are nearly the same, with margins or without; in grey where one picture has no others."""
    pair = np.stack([first, second])[:, 2 * _HALF :].copy().view(np.uint8).reshape(2, 2, -1, 3).astype(np.int16)
    without = (np.ptp(pair, axis=3) <= _GREY).all(axis=(1, 2))
    seen = pair @ _LUMINANCE if without.any() else pair
    apart = np.abs(seen[0] - seen[1]).reshape(2, -1).max(axis=1)
    return bool(apart.min() <= NEARLY)


def _words(grey: Image.Image) -> NDArray[np.uint64]:
    pixels = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), np.float64)
    low = _BASIS @ pixels @ _BASIS.T
    return np.packbits(low > np.median(low)).view(np.uint64)


def _content(grey: Image.Image) -> tuple[int, int, int, int]:
    """The box around what differs from the colour of the corner; the whole picture where nothing does."""
    corner = grey.getpixel((0, 0))
    differs = ImageChops.difference(grey, Image.new("L", grey.size, corner))
    return differs.point(lambda value: 255 * (value > _MARGIN)).getbbox() or (0, 0, *grey.size)


def _cosines() -> NDArray[np.float64]:
    angles = (2 * np.arange(_SIDE)[None] + 1) * np.arange(_FREQUENCIES)[:, None] * (np.pi / (2 * _SIDE))
    found: NDArray[np.float64] = np.cos(angles)
    return found


_BASIS = _cosines()
# As Pillow's mode L.
_LUMINANCE = np.array([0.299, 0.587, 0.114])
