"""A content-addressed store of pictures: each is checked and written once, under the hash of its bytes."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from metis_rise.disk import writing
from metis_rise.errors import InputError
from metis_rise.problems import png

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded; the rest of Pillow's formats stay closed because some of them start other programs."""

MAX_PIXELS = 1 << 26
"""A picture of more is refused before it is decoded: a file of a few kilobytes may unfold to gigabytes."""

MAX_SLIMNESS = 200
"""A picture whose sides differ by more than this factor is refused: the models' processors take none."""

MAX_BYTES = 1 << 27
"""A larger picture file is refused unread."""

STORED = ("PNG", "JPEG")
"""What a store holds."""

# Of an evaluation each command puts its pictures into the store, of a run only the first.
_STORE_ANEW = "delete it and run again; if it is missing then, restore it from a copy or start a new run"
_KEY = re.compile(r"[0-9a-f]{64}")
_MOST = f"at most {MAX_PIXELS:,} in all"
# EXIF: how a photo is to be turned; 1 is upright.
_ORIENTATION, _UPRIGHT = 0x0112, 1
# Where else a PNG file may say that, as Pillow names it.
_TURNING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
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

    def put(self, data: bytes, source: Path | None = None) -> str:
        """Store a picture and return its key; a second `put` of the same picture writes nothing, unless it was damaged.

        The bytes of PNG pictures that stand upright are kept as they are, and so are those of such JPEG pictures in
        colour or grey: as PNG they would be several times as large. Others become RGB PNG: first frame, turned upright
        by their EXIF orientation, transparency on white. Raises ImageError if `data` does not decode to the last row,
        or to more than `MAX_PIXELS`.

        A picture with a `source`, the file that holds `data`, is one of very many: a plain PNG picture is then taken by
        its header and checksums, undecoded, and what is kept as it is becomes a link to that file where that is
        possible. `read` finds out whether it was changed since.
        """
        photo, stored = (False, data) if source is not None and _is_sound(data) else _decoded(data)
        key = hashlib.sha256(stored).hexdigest()
        target = self._file(key, ".jpg" if photo else ".png")
        own = source if stored is data else None
        if not _holds(target, stored) and (own is None or not self._link(target, own)):
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
        """Width and height of a stored picture, from its header. Raises InputError as `open` does where it has none."""
        # A tenth of the time that Pillow takes, and this is done for all problems of a run.
        with suppress(OSError), open(self._file(key, ".png"), "rb", buffering=0) as file:
            if (size := png.size_of(file.read(24))) is not None:
                return size
        try:
            with Image.open(self.path(key), formats=STORED) as image:
                return image.size
        except OSError:
            # This says what is wrong with it.
            return self.open(key).size

    def read(self, key: str) -> bytes:
        """The bytes that were stored as `key`. Raises InputError if they are missing, unreadable or others by now."""
        path = self._file(key, ".png")
        try:
            path = self.path(key)
            data = path.read_bytes()
        except FileNotFoundError:
            raise InputError(f"{path}: the picture is missing; restore the images folder or start a new run") from None
        except OSError as error:
            raise InputError(f"{path}: the picture cannot be read ({error.strerror}); {_STORE_ANEW}") from error
        if hashlib.sha256(data).hexdigest() != key:
            raise InputError(
                f"{path}: the picture was changed or damaged after it was stored (of very many, each is a link to the "
                f"data's own file); {_STORE_ANEW}"
            )
        return data

    def open(self, key: str) -> Image.Image:
        """The picture as 8-bit RGB, transparency on white. Raises InputError as `read` does, or if it is broken."""
        data = self.read(key)
        try:
            return to_rgb(_decode(data))
        except ImageError as error:
            raise InputError(f"{self.path(key)}: {error}") from error

    def _link(self, target: Path, source: Path) -> bool:
        """Whether `target` is now another name of the file `source`: not on another disk, nor if it is not ours."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
        try:
            # Of a symbolic link this would make another one.
            os.link(source.resolve() if source.is_symlink() else source, target)
        except OSError:
            return False
        return True

    def _write(self, target: Path, data: bytes) -> None:
        """Rename into place without a sync, which would cost more than drawing the picture.

        A power failure can leave a short file; the next `put` sees that and writes it again.
        """
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with writing(target):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)


def _holds(path: Path, data: bytes) -> bool:
    """Whether a file is there and has just these bytes."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


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


def _opened(data: bytes) -> Image.Image:
    """The picture by its header."""
    with _image_faults():
        image = Image.open(BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"the picture has {image.width} x {image.height} pixels; save it smaller, {_MOST}")
    if max(image.size) > MAX_SLIMNESS * min(image.size):
        raise ImageError(
            f"the picture has {image.width} x {image.height} pixels; models read none that is more than "
            f"{MAX_SLIMNESS} times as long as wide, so cut it or leave it out"
        )
    return image


def _is_sound(data: bytes) -> bool:
    """Whether it is an upright PNG picture, whole by its checksums."""
    with _image_faults():
        whole = png.is_whole(data)
    return whole and not _TURNING & _opened(data).info.keys()


def _decoded(data: bytes) -> tuple[bool, bytes]:
    """Whether a picture that decodes is stored as JPEG, and what is stored of it."""
    image = _decode(data)
    upright = _upright(image)
    photo = upright and image.format == "JPEG" and image.mode in ("RGB", "L")
    return photo, data if photo or (upright and image.format == "PNG") else _reencode(image)


def _decode(data: bytes) -> Image.Image:
    """The picture, decoded to its last row so that a truncated file is found here and not in training."""
    image = _opened(data)
    with _image_faults():
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
