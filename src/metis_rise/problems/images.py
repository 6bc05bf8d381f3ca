"""A content-addressed store of pictures: each is checked and written once, as PNG, under the hash of its bytes."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from metis_rise.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; the rest of Pillow's formats stay closed because some of them start other programs."""

_KEY = re.compile(r"[0-9a-f]{64}")
_WIDE_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
# What Pillow's decoders were seen to raise on damaged files (fuzzed), next to what they document.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class ImageError(InputError):
    """A picture that cannot be decoded; the message says why but not where, which the caller knows."""


class ImageStore:
    """Pictures in one folder, named by the SHA-256 of the stored PNG bytes."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`; the first `put` creates it."""
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Store a picture and return its key; a second `put` of the same picture writes nothing.

        PNG bytes are kept as they are. Other formats become RGB PNG: first frame, turned upright by their EXIF
        orientation, transparency on white. Raises ImageError if `data` does not decode to the last row.
        """
        image = _decode(data)
        stored = data if image.format == "PNG" else _reencode(image)
        key = hashlib.sha256(stored).hexdigest()
        target = self.path(key)
        if not (target.exists() and target.stat().st_size == len(stored)):
            self._write(target, stored)
        return key

    def path(self, key: str) -> Path:
        """The file of `key`, whether or not it is there. Raises InputError if `key` is no SHA-256 in hex."""
        if not _KEY.fullmatch(key):
            raise InputError(f"{key[:80]!r} is not a picture key; keys are the 64 hex digits that ImageStore.put gave")
        return self.folder / f"{key}.png"

    def size(self, key: str) -> tuple[int, int]:
        """Width and height of a stored picture, from its header."""
        with Image.open(self.path(key)) as image:
            return image.size

    def open(self, key: str) -> Image.Image:
        """The picture as 8-bit RGB, transparency on white. Raises InputError if it is missing or broken."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{path}: the picture is missing; restore the images folder or start a new run") from None
        try:
            return to_rgb(_decode(data))
        except ImageError as error:
            raise InputError(f"{path}: {error}") from error

    def _write(self, target: Path, data: bytes) -> None:
        """Rename into place without a sync, which would cost more than drawing the picture.

        A power failure can leave a short file; the next `put` sees its size and writes it again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(data)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` as 8-bit RGB: transparent parts on white, 16-bit grey scaled down rather than clipped."""
    if image.mode in _WIDE_MODES:
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(canvas, layer).convert("RGB")
    return image.convert("RGB")


def _decode(data: bytes) -> Image.Image:
    """The picture, decoded to its last row so that a truncated file is found here and not in training."""
    with _image_faults():
        image = Image.open(BytesIO(data), formats=FORMATS)
        image.load()
    if image.mode == "F":
        raise ImageError("the picture has floating-point pixels; save it as 8-bit PNG or JPEG")
    return image


def _reencode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    with _image_faults():
        to_rgb(ImageOps.exif_transpose(image)).save(buffer, format="PNG")
    return buffer.getvalue()


@contextmanager
def _image_faults() -> Iterator[None]:
    """Turn what Pillow raises on a damaged picture into an ImageError."""
    try:
        yield
    except _DECODE_ERRORS as error:
        why = " ".join(str(error).split())[:120] or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            why = f"not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ImageError(f"the picture cannot be decoded ({why}); save it again as PNG or JPEG") from error
