"""The image store keeps every picture once, checked, under the hash of its bytes."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest
from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageError, ImageStore


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_png_bytes_are_kept_under_their_hash(store: ImageStore, png: bytes) -> None:
    key = store.put(png)
    assert key == hashlib.sha256(png).hexdigest()
    assert store.path(key).read_bytes() == png
    assert store.open(key).getpixel((0, 0)) == (200, 30, 30)


def test_a_second_put_writes_nothing(store: ImageStore, png: bytes) -> None:
    key = store.put(png)
    before = store.path(key).stat().st_mtime_ns
    assert store.put(png) == key
    assert store.path(key).stat().st_mtime_ns == before
    assert [path.name for path in store.folder.iterdir()] == [f"{key}.png"]


def test_a_file_left_short_by_a_crash_is_written_again(store: ImageStore, png: bytes) -> None:
    key = store.put(png)
    store.path(key).write_bytes(b"")
    store.put(png)
    assert store.path(key).read_bytes() == png


@pytest.mark.parametrize("form", ["JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_become_png(store: ImageStore, form: str) -> None:
    key = store.put(encoded(Image.new("RGB", (16, 8), (255, 255, 255)), form))
    stored = store.path(key).read_bytes()
    assert Image.open(BytesIO(stored)).format == "PNG"
    assert key == hashlib.sha256(stored).hexdigest()
    assert store.open(key).size == (16, 8)


def test_transparency_is_shown_on_white(store: ImageStore) -> None:
    picture = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    picture.putpixel((1, 0), (0, 0, 255, 255))
    opened = store.open(store.put(encoded(picture, "PNG")))
    assert (opened.mode, opened.getpixel((0, 0)), opened.getpixel((1, 0))) == ("RGB", (255, 255, 255), (0, 0, 255))


def test_transparent_palette_is_shown_on_white(store: ImageStore) -> None:
    picture = Image.new("P", (2, 1), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0])
    picture.putpixel((1, 0), 1)
    opened = store.open(store.put(encoded(picture, "GIF", transparency=0)))
    assert (opened.getpixel((0, 0)), opened.getpixel((1, 0))) == ((255, 255, 255), (200, 0, 0))


def test_sixteen_bit_grey_is_scaled_not_clipped(store: ImageStore) -> None:
    picture = Image.new("I;16", (2, 1), 0x8000)
    picture.putpixel((1, 0), 0xFFFF)
    opened = store.open(store.put(encoded(picture, "PNG")))
    assert (opened.getpixel((0, 0)), opened.getpixel((1, 0))) == ((128, 128, 128), (255, 255, 255))


def test_a_photo_is_turned_upright(store: ImageStore) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    key = store.put(encoded(Image.new("RGB", (20, 10)), "JPEG", exif=exif))
    assert store.open(key).size == (10, 20)


def test_cut_or_foreign_bytes_are_refused_and_nothing_is_written(store: ImageStore, png: bytes) -> None:
    large = encoded(Image.effect_noise((64, 64), 80), "PNG")
    for broken in (b"", b"not a picture", png[:20], large[: len(large) // 2], encoded(Image.new("RGB", (4, 4)), "PDF")):
        with pytest.raises(ImageError, match=r"cannot be decoded .*; save it again as PNG or JPEG"):
            store.put(broken)
    assert not store.folder.exists()


def test_floating_point_pixels_are_refused(store: ImageStore) -> None:
    with pytest.raises(ImageError, match="floating-point"):
        store.put(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))


def test_missing_changed_and_malformed_keys(store: ImageStore, png: bytes) -> None:
    key = store.put(png)
    store.path(key).write_bytes(png[:50])
    with pytest.raises(InputError, match=f"{key}.png: the picture cannot be decoded"):
        store.open(key)
    with pytest.raises(InputError, match="the picture is missing; restore"):
        store.open("0" * 64)
    with pytest.raises(InputError, match="is not a picture key"):
        store.path("../../etc/passwd")
