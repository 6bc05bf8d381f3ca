"""Perceptual hashes: copies look alike, other pictures do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import COPIES, compressed, drawing
from PIL import Image, ImageDraw

from metis_rise.data import picture_hash as picture_hash_module
from metis_rise.data.picture_hash import FORMS, WORDS, Hashes, alike, alike_within, cropped_hashes, picture_hash

SEEDS = range(40)


def are_alike(first: Hashes, second: Hashes) -> bool:
    """Whether two pictures look alike."""
    return next(alike(first[None, None], second[None, None]), None) is not None


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_looks_alike(copy: str):
    lost = [
        seed for seed in SEEDS if not are_alike(picture_hash(drawing(seed)), picture_hash(COPIES[copy](drawing(seed))))
    ]
    assert lost == []


def test_other_drawings_do_not():
    hashes = np.stack([picture_hash(drawing(seed)) for seed in range(200)])
    assert hashes.shape == (200, WORDS)
    assert list(alike_within(hashes[:, None])) == []


def test_what_is_drawn_alike_in_other_colours_is_another_picture():
    first = drawing(1)
    red, green, blue = first.split()
    assert not are_alike(picture_hash(first), picture_hash(Image.merge("RGB", (blue, green, red)).point(lambda v: v)))


def test_pairs_have_the_numbers_of_their_rows():
    """More pictures than one block has."""
    ours = np.stack([picture_hash(drawing(seed)) for seed in range(150)])[:, None]
    theirs = ours[[149, 3, 70]]
    assert list(alike(ours, theirs)) == [(3, 1), (70, 2), (149, 0)]
    assert list(alike_within(np.concatenate([ours, theirs]))) == [(3, 151), (70, 152), (149, 150)]


def test_all_pictures_of_a_row_must_look_alike():
    one, two, three = (picture_hash(drawing(seed)) for seed in range(3))
    rows = np.stack([np.stack(pair) for pair in ((one, two), (one, three), (two, two), (one, two))])
    assert list(alike(rows[:1], rows)) == [(0, 0), (0, 3)]


@pytest.mark.parametrize("chunk", [1, 7])
def test_many_pairs_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch, chunk: int):
    monkeypatch.setattr(picture_hash_module, "_CHUNK", chunk)
    hashes = np.stack([picture_hash(drawing(0))] * 20)[:, None]
    assert list(alike_within(hashes)) == [(a, b) for a in range(20) for b in range(a + 1, 20)]


def test_nothing_is_alike_to_nothing():
    none = np.zeros((0, 1, WORDS), np.uint64)
    some = picture_hash(drawing(0))[None, None]
    assert list(alike(none, some)) == list(alike(some, none)) == list(alike_within(none)) == []


def in_a_frame_of_squares(seed: int) -> Image.Image:
    """A drawing with lines up to its edge, which has no margin to take away."""
    image = drawing(seed)
    pen = ImageDraw.Draw(image)
    for x in range(0, image.width, 30):
        pen.line((x, 0, x, image.height), fill="navy", width=4)
    return image


@pytest.mark.parametrize("cut", [(2, 2, 2, 2), (5, 4, 5, 4), (0, 4, 0, 0), (5, 0, 0, 0), (12, 9, 12, 9)])
def test_a_copy_that_was_cut_is_found_by_the_forms_of_the_whole(cut: tuple[int, int, int, int]):
    lost, without = [], []
    for seed in SEEDS:
        image = in_a_frame_of_squares(seed)
        copy = compressed(image.crop((cut[0], cut[1], image.width - cut[2], image.height - cut[3])), 60)
        forms = cropped_hashes(image)
        assert forms.shape == (FORMS, WORDS) and (forms[0] == picture_hash(image)).all()
        found = [are_alike(picture_hash(copy), form) for form in forms]
        lost += [] if any(found) else [seed]
        without += [] if found[0] else [seed]
    assert lost == [] and (len(without) > 10 or max(cut) < 5)


def test_forms_of_other_drawings_are_not_alike():
    hashes = np.stack([picture_hash(drawing(seed)) for seed in range(60)])[:, None]
    forms = np.concatenate([cropped_hashes(drawing(seed)) for seed in range(60, 120)])[:, None]
    assert list(alike(hashes, forms)) == []


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
    assert len(list(alike_within(hashes[:, None]))) <= 10, "six of them show the same"
    lost = sum(not are_alike(own, picture_hash(COPIES["jpeg"](each))) for own, each in zip(hashes, white, strict=True))
    assert lost <= 4
    forms = [cropped_hashes(each) for each in white]
    found = alike(hashes[:, None], np.concatenate(forms)[:, None])
    assert len({frozenset((own, form // FORMS)) for own, form in found if own != form // FORMS}) <= 10
    margins = [(each, round(each.width / 50) or 1, round(each.height / 50) or 1) for each in white]
    copies = [picture_hash(each.crop((x, y, each.width - x, each.height - y))) for each, x, y in margins]
    lost = sum(not any(are_alike(copy, form) for form in own) for copy, own in zip(copies, forms, strict=True))
    assert lost == 0
