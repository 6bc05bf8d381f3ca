"""PNG files known to be whole by their checksums, and the store that takes them without decoding."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from metis_rise.errors import InputError
from metis_rise.problems import images, png
from metis_rise.problems.images import ImageError, ImageStore


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


NOISE = Image.effect_noise((64, 48), 80).convert("RGB")
PLAIN = encoded(NOISE)
END = chunk(b"IEND", b"")


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_what_pillow_writes_is_whole(mode: str):
    image = Image.new("I;16", (5, 4)) if mode == "I;16" else NOISE.convert(mode)
    data = encoded(image, icc_profile=b"a profile", dpi=(72, 72))
    assert png.is_whole(data)
    assert png.size_of(data[:24]) == image.size


@given(st.integers(0, len(PLAIN) - 1), st.integers(1, 255))
def test_a_file_with_a_byte_changed_is_not_whole(at: int, change: int):
    data = bytearray(PLAIN)
    data[at] ^= change
    assert not png.is_whole(bytes(data))


@given(st.integers(0, len(PLAIN) - 1))
def test_a_file_that_was_cut_off_is_not_whole(length: int):
    assert not png.is_whole(PLAIN[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encoded(NOISE, "JPEG"),
        PLAIN + b"more",
        PLAIN[: -len(END)],
        # Half of the picture's data is missing, the rest is summed up right.
        PLAIN[:33] + END,
        # Colours are numbers of a palette that is not there.
        encoded(NOISE.convert("P"))[:33] + chunk(b"IDAT", zlib.compress(b"\0" * 65 * 48)) + END,
        encoded(NOISE, save_all=True, append_images=[NOISE.convert("L").convert("RGB")]),
    ],
    ids=["empty", "JPEG", "longer", "no end", "no data", "no palette", "animated"],
)
def test_other_files_are_not_whole(data: bytes):
    assert not png.is_whole(data)


# In a process of its own: a pattern that goes back and forth cannot be interrupted.
MANY_CHUNKS = """
import sys
from metis_rise.problems import png
assert not png.is_whole(sys.stdin.buffer.read())
"""


def test_a_head_of_very_many_chunks_is_gone_through_once():
    data = PLAIN[:33] + chunk(b"tEXt", b"a\0b") * 50_000 + chunk(b"oDDd", b"") + PLAIN[33:]
    # Takes a tenth of a second; with each chunk tried in each place, minutes.
    subprocess.run([sys.executable, "-c", MANY_CHUNKS], input=data, check=True, timeout=90)


def test_a_file_of_too_many_chunks_is_refused(store: ImageStore, tmp_path: Path):
    def pictured(comments: int) -> bytes:
        return PLAIN[:33] + chunk(b"tEXt", b"") * comments + PLAIN[33:]

    around = len(re.findall(b"IHDR|IDAT|IEND", PLAIN))
    assert png.is_whole(pictured(png.MOST_CHUNKS - around))
    with pytest.raises(ImageError, match=r"more than 100,000 chunks\); save it again"):
        store.put(pictured(png.MOST_CHUNKS - around + 1), tmp_path / "none.png")


def test_a_size_is_read_from_a_png_head_alone():
    assert png.size_of(PLAIN[:24]) == (64, 48)
    assert png.size_of(PLAIN[:23]) is None and png.size_of(encoded(NOISE, "JPEG")[:24]) is None


def test_whole_pictures_of_very_many_are_linked_undecoded_and_all_others_decoded(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    decoded: list[bytes] = []
    decode = images._decode
    monkeypatch.setattr(images, "_decode", lambda data: decoded.append(data) or decode(data))
    sources = [tmp_path / "a.png", tmp_path / "a.jpg"]
    keys = []
    for source, data in zip(sources, (PLAIN, encoded(NOISE, "JPEG")), strict=True):
        source.write_bytes(data)
        keys.append(store.put(data, source))
    assert decoded == [encoded(NOISE, "JPEG")]
    assert all(store.path(key).samefile(source) for key, source in zip(keys, sources, strict=True))
    assert keys == [store.put(PLAIN), store.put(encoded(NOISE, "JPEG"))] and len(decoded) == 3
    assert [store.size(key) for key in keys] == [(64, 48), (64, 48)]
    for broken in (PLAIN[: len(PLAIN) // 2], PLAIN[:50] + bytes([PLAIN[50] ^ 1]) + PLAIN[51:]):
        with pytest.raises(ImageError, match="cannot be decoded"):
            store.put(broken[: len(broken) - 40], sources[0])


def test_what_cannot_be_linked_is_copied(store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = tmp_path / "a.png"
    source.write_bytes(PLAIN)
    link = tmp_path / "link.png"
    link.symlink_to(source)
    assert store.path(store.put(PLAIN, link)).samefile(source)
    assert not store.path(store.put(PLAIN, link)).is_symlink()
    monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(18, "another disk")))
    other = ImageStore(tmp_path / "other")
    path = other.path(other.put(PLAIN, source))
    assert path.read_bytes() == PLAIN and not path.samefile(source)


@pytest.mark.parametrize("where", ["exif", "text", "xmp"])
def test_a_turned_picture_is_turned_among_very_many_too(where: str, store: ImageStore, tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    if where == "text":
        raw = exif.tobytes()
        info.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n")
    if where == "xmp":
        info.add_itxt("XML:com.adobe.xmp", '<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>')
    data = encoded(NOISE, exif=exif) if where == "exif" else encoded(NOISE, pnginfo=info)
    key = store.put(data, tmp_path / "none.png")
    assert store.size(key) == (48, 64)
    assert key == store.put(data)


def test_too_many_pixels_are_refused_without_decoding(store: ImageStore, tmp_path: Path):
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", (9000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0")
    data = head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + END
    assert png.is_whole(data)
    with pytest.raises(ImageError, match="9000 x 9000 pixels"):
        store.put(data, tmp_path / "none.png")


def test_a_picture_that_was_changed_in_the_store_is_not_used(store: ImageStore):
    key = store.put(PLAIN)
    store.path(key).write_bytes(encoded(Image.new("RGB", NOISE.size)))
    with pytest.raises(InputError, match=r"the picture was changed or damaged after it was stored"):
        store.open(key)
