"""The image store keeps every picture once, checked, under the hash of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from metis_rise.engines.server.pictures import plain_png
from metis_rise.errors import InputError
from metis_rise.policy.loading import find_folder
from metis_rise.policy.processor import load_processor
from metis_rise.problems.images import MAX_BYTES, ImageError, ImageStore, decode_upright, read_picture


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    """As long, and with the same header."""
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


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


def test_a_damaged_file_of_the_same_size_is_written_again_and_not_through_a_link(
    store: ImageStore, png: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "mine.png"
    source.write_bytes(png)
    key = store.put(png, source)
    source.write_bytes(damaged(png))
    assert store.path(key).samefile(source)
    assert store.put(png) == key
    assert store.read(key) == png
    assert source.read_bytes() == damaged(png)


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "TIFF"])
def test_other_formats_become_png(store: ImageStore, form: str) -> None:
    key = store.put(encoded(Image.new("RGB", (16, 8), (255, 255, 255)), form))
    stored = store.path(key).read_bytes()
    assert Image.open(BytesIO(stored)).format == "PNG"
    assert key == hashlib.sha256(stored).hexdigest()
    assert store.open(key).size == (16, 8)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_an_upright_photo_is_kept_as_it_is(store: ImageStore, mode: str) -> None:
    photo = encoded(Image.new(mode, (16, 8), 90), "JPEG")
    key = store.put(photo)
    assert [path.name for path in store.folder.iterdir()] == [f"{key}.jpg"]
    assert store.path(key).read_bytes() == photo
    assert key == hashlib.sha256(photo).hexdigest()
    assert (store.size(key), store.open(key).mode) == ((16, 8), "RGB")
    before = store.path(key).stat().st_mtime_ns
    assert store.put(photo) == key
    assert store.path(key).stat().st_mtime_ns == before
    assert Image.open(BytesIO(plain_png(photo))).format == "PNG", "servers see the very pixels"


def test_a_photo_in_print_colours_becomes_png(store: ImageStore) -> None:
    key = store.put(encoded(Image.new("CMYK", (16, 8)), "JPEG"))
    assert Image.open(store.path(key)).format == "PNG"
    assert store.open(key).getpixel((0, 0)) == (255, 255, 255)


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


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photo_is_turned_upright(store: ImageStore, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    key = store.put(encoded(Image.new("RGB", (20, 10)), form, exif=exif))
    assert Image.open(store.path(key)).format == "PNG"
    assert store.open(key).size == (10, 20)


def test_cut_or_foreign_bytes_are_refused_and_nothing_is_written(store: ImageStore, png: bytes) -> None:
    large = encoded(Image.effect_noise((64, 64), 80), "PNG")
    for broken in (b"", b"not a picture", png[:20], large[: len(large) // 2], encoded(Image.new("RGB", (4, 4)), "PDF")):
        with pytest.raises(ImageError, match=r"cannot be decoded .*; save it again as PNG or JPEG"):
            store.put(broken)
    assert not store.folder.exists()


@pytest.mark.parametrize("size", [(402, 2), (2, 402), (201, 1)])
def test_a_picture_that_no_model_reads_for_its_slimness_is_refused(store: ImageStore, size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels; models read none"):
        store.put(encoded(Image.new("RGB", size), "PNG"))
    with pytest.raises(ImageError, match="models read none"):
        decode_upright(encoded(Image.new("RGB", size), "JPEG"))


def test_the_slimmest_picture_that_is_taken_goes_through_the_processor(store: ImageStore) -> None:
    processor = load_processor(find_folder("tiny"))
    for size in ((400, 2), (2, 400)):
        picture = store.open(store.put(encoded(Image.new("RGB", size), "PNG")))
        assert processor.image_processor(picture, return_tensors="pt")["image_grid_thw"].prod() > 0


def test_floating_point_pixels_are_refused(store: ImageStore) -> None:
    with pytest.raises(ImageError, match="floating-point"):
        store.put(encoded(Image.new("F", (4, 4), 0.5), "TIFF"))


@pytest.mark.parametrize("use", [ImageStore.read, ImageStore.open])
def test_missing_changed_unreadable_and_malformed_keys(
    store: ImageStore, png: bytes, use: Callable[[ImageStore, str], object]
) -> None:
    key = store.put(png)
    assert store.read(key) == png
    store.path(key).write_bytes(damaged(png))
    with pytest.raises(InputError, match=f"{key}.png: the picture was changed or damaged .*; delete it and run again"):
        use(store, key)
    with pytest.raises(InputError, match="the picture is missing; restore"):
        use(store, "0" * 64)
    store.path("1" * 64).mkdir()
    with pytest.raises(InputError, match=r"1\.png: the picture cannot be read \(Is a directory\); delete it and run"):
        use(store, "1" * 64)
    with pytest.raises(InputError, match="is not a picture key"):
        store.path("../../etc/passwd")


@pytest.mark.parametrize("content", [None, b"", b"not a picture"])
def test_a_picture_that_has_no_size_is_told_as_one_that_cannot_be_opened(
    store: ImageStore, png: bytes, content: bytes | None
) -> None:
    key = store.put(png)
    store.path(key).unlink()
    if content is not None:
        store.path(key).write_bytes(content)
    with pytest.raises(InputError, match=r"the picture is missing|the picture was changed or damaged"):
        store.size(key)


def test_a_bomb_is_refused_before_it_is_decoded(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = encoded(Image.new("1", (8200, 8200)), "PNG")
    assert len(bomb) < 20_000
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="8200 x 8200 pixels; save it smaller, at most 67,108,864 in all"):
        store.put(bomb)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ImageError, match="larger than 128 MiB"):
        read_picture(tmp_path / "a.png")
