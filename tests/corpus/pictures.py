"""Bad and odd pictures, and the names under which data may point at them."""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from case import Case, Outcome, png_chunk
from PIL import Image

from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.registry import find
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems

PNG_HEAD = b"\x89PNG\r\n\x1a\n"
FORMATS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "GIF": "gif", "BMP": "bmp", "TIFF": "tif"}
HUGE = 60_000


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def cases() -> Iterator[Case]:
    """Each picture once as a file beside a problem file, once as base64 in a benchmark's table."""
    for outcome, pictures in ((Outcome.REFUSED, _broken()), (Outcome.READ, _odd()), (Outcome.EITHER, _damaged())):
        for name, data in pictures:
            yield Case(f"picture file {name}", _beside(data), _read_problems, outcome)
            yield Case(f"picture cell {name}", _in_table(data), _read_table, outcome)
    for name, (said, prepare) in _names().items():
        yield Case(f"picture name {name}", _named(said, prepare), _read_problems)


def _broken() -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "text", b"not a picture"
    yield "html", b"<html><script>alert(1)</script></html>"
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    yield "eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n"
    yield "pdf", b"%PDF-1.4\n%%EOF"
    yield "ppm", b"P6 2 2 255\n" + b"\0" * 12
    yield "ico", encoded(Image.new("RGB", (16, 16)), "ICO")
    yield "zip", b"PK\x03\x04" + b"\0" * 30
    yield "floating point", encoded(Image.new("F", (4, 4), 0.5), "TIFF")
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    for form in FORMATS:
        whole = encoded(noise, form)
        yield f"{form} head only", whole[:24]
        yield f"{form} cut in half", whole[: len(whole) // 2]
    yield "PNG bomb", encoded(Image.new("1", (9000, 9000)), "PNG")
    yield "GIF bomb", encoded(Image.new("L", (9000, 9000)), "GIF")
    yield "TIFF bomb", encoded(Image.new("1", (9000, 9000)), "TIFF", compression="group4")
    yield "PNG of 60000 x 60000", _png(HUGE, HUGE)
    yield "PNG of 2^31 - 1", _png(2**31 - 1, 2**31 - 1)
    yield "PNG of no width", _png(0, 5)
    yield "wider than models read", encoded(Image.new("RGB", (20_000, 1)), "PNG")
    yield "PNG text bomb", _png(4, 4, png_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (1 << 26))))
    yield "GIF of 65535 x 65535", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";"
    yield "BMP of 60000 x 60000", _patched(encoded(noise, "BMP"), 18, struct.pack("<ii", HUGE, HUGE))
    yield "BMP of negative width", _patched(encoded(noise, "BMP"), 18, struct.pack("<ii", -5, 4))
    yield "JPEG of 65535 x 65535", _jpeg_of(encoded(noise, "JPEG"), 65535)
    yield "WEBP of 16384 x 16384", _webp_of(16384)
    yield "TIFF without strips", b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    yield "TIFF that points at itself", b"II*\0\x08\0\0\0\x01\0\x00\x01\x04\0\x01\0\0\0\x05\0\0\0\x08\0\0\0"


def _odd() -> Iterator[tuple[str, bytes]]:
    red = Image.new("RGB", (20, 10), "red")
    frames = [Image.new("RGB", (20, 10), (shade, 0, 0)) for shade in (10, 90, 200)]
    yield "CMYK JPEG", encoded(red.convert("CMYK"), "JPEG")
    yield "CMYK TIFF", encoded(red.convert("CMYK"), "TIFF")
    yield "YCbCr TIFF", encoded(red.convert("YCbCr"), "TIFF")
    yield "16 bit PNG", encoded(Image.new("I;16", (5, 5), 40_000), "PNG")
    yield "16 bit TIFF", encoded(Image.new("I;16", (5, 5), 40_000), "TIFF")
    yield "32 bit TIFF", encoded(Image.new("I", (5, 5), 40_000), "TIFF")
    yield "16 bit colour PNG", _png(2, 2, depth=16, colour=2, rows=(b"\0" + b"\x80\x01" * 6) * 2)
    yield "1 bit PNG", encoded(Image.new("1", (9, 9)), "PNG")
    yield "grey with transparency", encoded(Image.new("LA", (9, 9), (90, 5)), "PNG")
    yield "palette with transparency", encoded(red.convert("P"), "PNG", transparency=0)
    yield "RGBA WEBP", encoded(Image.new("RGBA", (9, 9), (1, 2, 3, 4)), "WEBP")
    yield "progressive JPEG", encoded(red, "JPEG", progressive=True)
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        yield f"{form} of three frames", encoded(frames[0], form, save_all=True, append_images=frames[1:])
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"JPEG turned {turn}", encoded(red, "JPEG", exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in ("PNG", "WEBP", "TIFF"):
        yield f"turned {form}", encoded(red, form, exif=exif)
    yield "PNG with a page behind it", encoded(red, "PNG") + b"<script>alert(1)</script>"
    yield "one pixel", encoded(Image.new("RGB", (1, 1)), "PNG")
    yield "as wide as models read", encoded(Image.new("RGB", (400, 2)), "PNG")


def _damaged() -> Iterator[tuple[str, bytes]]:
    noise = Image.effect_noise((64, 64), 80).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for form in FORMATS:
        whole = encoded(noise, form)
        for place in (5, 20, len(whole) // 3, len(whole) - 9):
            yield f"{form} with byte {place} turned", _patched(whole, place, bytes([whole[place] ^ 0xFF]))
        yield f"{form} followed by itself", whole + whole
    turned = encoded(noise, "JPEG", exif=exif)
    yield "JPEG with broken EXIF", turned.replace(b"MM\0*", b"MM\0\xff")
    yield "JPEG with EXIF that ends early", turned.replace(b"\x01\x12", b"\xff\xff")
    yield (
        "PNG with a colour profile that unfolds",
        _png(4, 4, png_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * (1 << 26)))),
    )
    yield "PNG with a wrong checksum", _png(4, 4)[:-16] + b"\0" * 4 + _png(4, 4)[-12:]


def _png(
    width: int, height: int, extra: bytes = b"", depth: int = 8, colour: int = 0, rows: bytes | None = None
) -> bytes:
    """A PNG that says to be so large, whatever it holds."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = rows if rows is not None else b"\0" * ((width + 1) * height if max(width, height) < 100 else 1000)
    return (
        PNG_HEAD + png_chunk(b"IHDR", head) + extra + png_chunk(b"IDAT", zlib.compress(body)) + png_chunk(b"IEND", b"")
    )


def _patched(data: bytes, place: int, value: bytes) -> bytes:
    return data[:place] + value + data[place + len(value) :]


def _jpeg_of(data: bytes, side: int) -> bytes:
    start = data.index(b"\xff\xc0")
    return _patched(data, start + 5, struct.pack(">HH", side, side))


def _webp_of(side: int) -> bytes:
    canvas = struct.pack("<I", side - 1)[:3] * 2
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk


def _problem(images: object) -> str:
    return json.dumps({"id": "a", "question": "How many?", "answer": "1", "answer_type": "number", "images": images})


def _beside(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "p").write_bytes(data)
        file = folder / "rows.jsonl"
        file.write_text(_problem(["p"]))
        return file

    return make


def _in_table(data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        file = folder / "LogicVista.tsv"
        cell = base64.b64encode(data).decode() or "A"
        file.write_text(f"index\timage\tquestion\tanswer\tskill\n1\t{cell}\tWhich? A or B\tA\tinductive\n")
        return file

    return make


def _read_problems(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    store = ImageStore(run / "images")
    for problem in read_problems(file, store):
        for key in problem.images:
            picture = store.open(key)
            if picture.mode != "RGB" or store.size(key) != picture.size:
                raise AssertionError(f"{picture.mode} {picture.size} {store.size(key)}")


def _read_table(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    load(find("logicvista"), file, ImageStore(run / "images"))


def _names() -> dict[str, tuple[object, Callable[[Path], object]]]:
    """What stands in `images`, and what lies about when it is read: `outside` is a folder beside the data."""

    def nothing(folder: Path) -> None:
        pass

    def link(to: str) -> Callable[[Path], None]:
        return lambda folder: (folder / "link").symlink_to(to)

    def folder_link(folder: Path) -> None:
        (folder / "link").symlink_to(folder.parent / "outside")

    return {
        "http": (["http://127.0.0.1:9/a.png"], nothing),
        "https": (["https://example.invalid/a.png"], nothing),
        "metadata service": (["http://169.254.169.254/latest/meta-data"], nothing),
        "upper-case address": (["HTTP://127.0.0.1/a.png"], nothing),
        "ftp": (["ftp://127.0.0.1/a.png"], nothing),
        "file address": (["file:///etc/passwd"], nothing),
        "data address": (["data:image/png;base64,AAAA"], nothing),
        "s3": (["s3://bucket/a.png"], nothing),
        "address without scheme": (["//127.0.0.1/a.png"], nothing),
        "absolute": (["/etc/passwd"], nothing),
        "device": (["/dev/zero"], nothing),
        "process": (["/proc/self/environ"], nothing),
        "up": (["../outside/secret.png"], nothing),
        "up and down": (["x/../../outside/secret.png"], nothing),
        "home": (["~/a.png"], nothing),
        "windows": (["C:\\Windows\\win.ini"], nothing),
        "link out": (["link"], link("../outside/secret.png")),
        "link to a device": (["link"], link("/dev/zero")),
        "link to itself": (["link"], link("link")),
        "dead link": (["link"], link("nowhere")),
        "linked folder": (["link/secret.png"], folder_link),
        "folder": (["sub"], lambda folder: (folder / "sub").mkdir()),
        "fifo": (["fifo"], lambda folder: os.mkfifo(folder / "fifo")),
        "NUL": (["a\0b"], nothing),
        "very long": (["a" * 5000], nothing),
        "very deep": (["a/" * 3000], nothing),
        "surrogate": (["\ud800.png"], nothing),
        "blank": ([" "], nothing),
        "number": ([7], nothing),
        "null in a list": ([None], nothing),
        "list in a list": ([["a.png"]], nothing),
        "text": ("a.png", nothing),
        "object": ({"path": "a.png"}, nothing),
        "many": (["a.png"] * 5000, nothing),
    }


def _named(images: object, prepare: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        prepare(folder)
        file = folder / "rows.jsonl"
        file.write_text(_problem(images))
        return file

    return make


__all__ = ["InputError", "cases", "encoded"]
