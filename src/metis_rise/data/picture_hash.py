"""Perceptual hashes: pictures that look alike have hashes that differ in few bits.

A pHash (signs of the low frequencies of a discrete cosine transform) of 16 x 16 frequencies rather than the usual
8 x 8: drawings on white, which most pictures of mathematics are, are told apart by finer detail. Taken twice, once
without the margin, for copies that were cropped or framed. A few mean colours tell apart what is drawn alike: tables,
for instance, of one form with other numbers. Measured in docs/data.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from metis_rise.terminal import Loop

Hashes = NDArray[np.uint64]
"""[..., WORDS]"""

_Box = tuple[float, float, float, float]

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
# Pairs that are looked at together.
_CHUNK = 8192

# Shares of a picture that are cut off at its left, top, right and bottom.
_CUTS = (
    *((share, share, share, share) for share in (0.01, 0.02, 0.035, 0.05)),
    *((0.02 * (side == 0), 0.02 * (side == 1), 0.02 * (side == 2), 0.02 * (side == 3)) for side in range(4)),
)
FORMS = 1 + len(_CUTS)
"""So many hashes a picture has by which copies that were cut are found."""


def picture_hash(image: Image.Image) -> NDArray[np.uint64]:
    """The hash [WORDS] of a picture."""
    grey = image.convert("L")
    whole, box = (0, 0, *image.size), _content(grey)
    signs = [_words(grey), _words(grey.crop(box))]
    rgb = image.convert("RGB")
    return np.concatenate([*signs, *(_fields(rgb, part) for part in (whole, box))])


def cropped_hashes(image: Image.Image) -> Hashes:
    """Hashes [FORMS, WORDS] by which copies of a picture are found too that were cut or framed: first its own.

    The others have, in place of what is seen with the margin, what is seen of the picture cut in several ways, and in
    place of what is seen without, the whole: that is left of a copy when its frame is taken away.
    """
    grey, own = image.convert("L"), picture_hash(image)
    # Small, since so many fields are made of it.
    rgb = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    signs, colours = own[:_HALF], own[2 * _HALF : 2 * _HALF + _COLOURS]
    boxes = [(x, y, 1 - z, 1 - w) for x, y, z, w in _CUTS]
    cut = ((_words(grey, _inside(grey, box)), _fields(rgb, _inside(rgb, box))) for box in boxes)
    return np.stack([own, *(np.concatenate([part, signs, fields, colours]) for part, fields in cut)])


def alike(ours: Hashes, theirs: Hashes) -> Iterator[tuple[int, int]]:
    """Rows that look alike, their pictures one by one: (index in `ours`, index in `theirs`), in order.

    Args:
        ours: [rows, pictures, WORDS].
        theirs: as `ours`, of as many pictures.
    """
    for start in _starts(ours):
        for row, column in _pairs(ours[start : start + _BLOCK], theirs):
            yield start + row, column


def alike_within(hashes: Hashes) -> Iterator[tuple[int, int]]:
    """Pairs of different rows of `hashes` [rows, pictures, WORDS] that look alike: (index, larger index), in order."""
    for start in _starts(hashes):
        for row, column in _pairs(hashes[start : start + _BLOCK], hashes[start:]):
            if row < column:
                yield start + row, start + column


def _starts(ours: Hashes) -> Iterable[int]:
    starts = range(0, len(ours), _BLOCK)
    return Loop(starts, desc="pictures compared", unit="block") if len(starts) > 1 else starts


def _pairs(ours: Hashes, theirs: Hashes) -> Iterator[tuple[int, int]]:
    """The pairs of a block of `ours` and all of `theirs`, by row, then by column."""
    rows, columns = _perhaps(ours[:, 0], theirs[:, 0])
    for start in range(0, len(rows), _CHUNK):
        row, column = rows[start : start + _CHUNK], columns[start : start + _CHUNK]
        for same in (_same_signs, _same_colours):
            for picture in range(ours.shape[1]):
                kept = same(ours[row, picture], theirs[column, picture])
                row, column = row[kept], column[kept]
        yield from zip(row.tolist(), column.tolist(), strict=True)


def _perhaps(ours: Hashes, theirs: Hashes) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pairs of [rows, WORDS] and [columns, WORDS] that half of the signs do not tell apart."""
    found = np.zeros((len(ours), len(theirs)), np.bool_)
    for first in (0, _HALF):
        some = sum(np.bitwise_count(ours[:, None, word] ^ theirs[None, :, word]) for word in (first, first + 1))
        found |= np.asarray(some) <= ALIKE
    rows, columns = np.nonzero(found)
    return rows, columns


def _same_signs(first: Hashes, second: Hashes) -> NDArray[np.bool_]:
    """Of pairs [pairs, WORDS], whether few signs differ, with margins or without."""
    bits = np.bitwise_count(first[:, : 2 * _HALF] ^ second[:, : 2 * _HALF]).reshape(-1, 2, _HALF)
    few: NDArray[np.bool_] = (bits.sum(axis=2) <= ALIKE).any(axis=1)
    return few


def _same_colours(first: Hashes, second: Hashes) -> NDArray[np.bool_]:
    """Of pairs [pairs, WORDS], whether mean colours are nearly the same, with margins or without.

    In grey where one picture has no other colours.
    """
    pair = np.stack([first, second])[..., 2 * _HALF :].copy().view(np.uint8).astype(np.int16)
    colours = pair.reshape(2, len(first), 2, _FIELDS**2, 3)
    without = (np.ptp(colours, axis=4) <= _GREY).all(axis=(2, 3)).any(axis=0)
    apart = np.where(without, _apart(colours @ _LUMINANCE), _apart(colours))
    near: NDArray[np.bool_] = apart <= NEARLY
    return near


def _apart(colours: NDArray[Any]) -> NDArray[Any]:
    """How far the colours [2, pairs, 2, ...] of pairs lie apart, with margins or without."""
    apart = np.abs(colours[0] - colours[1])
    least: NDArray[Any] = apart.max(axis=tuple(range(2, apart.ndim)), initial=0).min(axis=1)
    return least


def _inside(image: Image.Image, box: _Box) -> _Box:
    """A box given in shares of a picture, in its pixels."""
    left, top, right, bottom = box
    return left * image.width, top * image.height, right * image.width, bottom * image.height


def _fields(rgb: Image.Image, box: _Box) -> NDArray[np.uint64]:
    mean = rgb.resize((_FIELDS, _FIELDS), Image.Resampling.LANCZOS, box)
    return np.asarray(mean, np.uint8).reshape(-1).view(np.uint64)


def _words(grey: Image.Image, box: _Box | None = None) -> NDArray[np.uint64]:
    pixels = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS, box), np.float64)
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
