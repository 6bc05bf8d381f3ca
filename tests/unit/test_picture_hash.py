"""Perceptual hashes: copies look alike, other pictures do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import COPIES, drawing
from PIL import Image

from metis_rise.data.picture_hash import WORDS, alike, alike_within, are_alike, picture_hash

SEEDS = range(40)


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_looks_alike(copy: str):
    lost = [
        seed for seed in SEEDS if not are_alike(picture_hash(drawing(seed)), picture_hash(COPIES[copy](drawing(seed))))
    ]
    assert lost == []


def test_other_drawings_do_not():
    hashes = np.stack([picture_hash(drawing(seed)) for seed in range(200)])
    assert hashes.shape == (200, WORDS)
    assert list(alike_within(hashes)) == []


def test_what_is_drawn_alike_in_other_colours_is_another_picture():
    first = drawing(1)
    red, green, blue = first.split()
    assert not are_alike(picture_hash(first), picture_hash(Image.merge("RGB", (blue, green, red)).point(lambda v: v)))


def test_pairs_have_the_numbers_of_their_rows():
    """More pictures than one block has."""
    ours = np.stack([picture_hash(drawing(seed)) for seed in range(150)])
    theirs = ours[[149, 3, 70]]
    assert list(alike(ours, theirs)) == [(3, 1, 0), (70, 2, 0), (149, 0, 0)]
    assert list(alike_within(np.concatenate([ours, theirs]))) == [(3, 151, 0), (70, 152, 0), (149, 150, 0)]


def test_nothing_is_alike_to_nothing():
    none = np.zeros((0, WORDS), np.uint64)
    some = picture_hash(drawing(0))[None]
    assert list(alike(none, some)) == list(alike(some, none)) == list(alike_within(none)) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 2)])
def test_any_size_has_a_hash(size: tuple[int, int]):
    assert picture_hash(Image.new("RGB", size, "navy")).shape == (WORDS,)


@pytest.mark.shared_data
def test_real_pictures(shared_data: Path):
    """The figures of docs/data.md: of 769 pictures of six sets, and 295,296 pairs."""
    sets = ("geometry3k", "logicvista", "mathvision", "mmk12", "nlvr", "tabmwp")
    files = [path for name in sets for path in sorted((shared_data / name / "images").iterdir())]
    images = [Image.open(path).convert("RGBA") for path in files]
    white = [Image.alpha_composite(Image.new("RGBA", each.size, "white"), each).convert("RGB") for each in images]
    hashes = np.stack([picture_hash(each) for each in white])
    assert len(list(alike_within(hashes))) <= 10, "six of them show the same"
    lost = sum(not are_alike(own, picture_hash(COPIES["jpeg"](each))) for own, each in zip(hashes, white, strict=True))
    assert lost <= 4
