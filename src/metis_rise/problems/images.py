"""A content-addressed store of pictures: each is checked and written once, under the hash of its bytes."""

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

MAX_PIXELS = 1 << 26
"""A picture of more is refused before it is decoded: a file of a few kilobytes may unfold to gigabytes."""

MAX_BYTES = 1 << 27
"""A larger picture file is refused unread."""

STORED = ("PNG", "JPEG")
"""What a store holds."""

_KEY = re.compile(r"[0-9a-f]{64}")
_MOST = f"at most {MAX_PIXELS:,} in all"
# EXIF: how a photo is to be turned; 1 is upright.
_ORIENTATION, _UPRIGHT = 0x0112, 1
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
    """Pictures in one folder, named by the SHA-256 of the stored bytes, which are PNG or JPEG."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`; the first `put` creates it."""
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Store a picture and return its key; a second `put` of the same picture writes nothing.

        The bytes of PNG pictures that stand upright are kept as they are, and so are those of such JPEG pictures in
        colour or grey: as PNG they would be several times as large. Others become RGB PNG: first frame, turned upright
        by their EXIF orientation, transparency on white. Raises ImageError if `data` does not decode to the last row,
        or to more than `MAX_PIXELS`.
        """
        image = _decode(data)
        upright = _upright(image)
        photo = upright and image.format == "JPEG" and image.mode in ("RGB", "L")
        stored = data if photo or (upright and image.format == "PNG") else _reencode(image)
        key = hashlib.sha256(stored).hexdigest()
        target = self._file(key, ".jpg" if photo else ".png")
        if not (target.exists() and target.stat().st_size == len(stored)):
            self._write(target, stored)
        return key

    def path(self, key: str) -> Path:
        """The file of `key`, whether or not it is there. Raises InputError if `key` is no SHA-256 in hex."""
        photo = self._file(key, ".jpg")
        return photo if photo.exists() else photo.with_suffix(".png")

    def _file(self, key: str, ending: str) -> Path:
        if not _KEY.fullmatch(key):
            raise InputError(f"{key[:80]!r} is not a picture key; keys are the 64 hex digits that ImageStore.put gave")
        return self.folder / f"{key}{ending}"

    def size(self, key: str) -> tuple[int, int]:
        """Width and height of a stored picture, from its header."""
        with Image.open(self.path(key), formats=STORED) as image:
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


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file. Raises ImageError above `MAX_BYTES`, OSError where it cannot be read."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ImageError(f"the picture file is larger than {MAX_BYTES >> 20} MiB; save the picture smaller")
    return data


def decode_upright(data: bytes) -> Image.Image:
    """The picture in a file as 8-bit RGB, turned upright as `ImageStore.put` does. Raises ImageError as that does."""
    image = _decode(data)
    with _image_faults():
        return to_rgb(ImageOps.exif_transpose(image))


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
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(f"the picture has {image.width} x {image.height} pixels; save it smaller, {_MOST}")
        image.load()
    if image.mode == "F":
        raise ImageError("the picture has floating-point pixels; save it as 8-bit PNG or JPEG")
    return image


def _upright(image: Image.Image) -> bool:
    with _image_faults():
        return bool(image.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT)


def _reencode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    with _image_faults():
        # A tenth larger than with Pillow's own level, and written in half the time.
        to_rgb(ImageOps.exif_transpose(image)).save(buffer, format="PNG", compress_level=1)
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
