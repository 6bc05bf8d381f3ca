"""Pictures of a run folder as data URIs, small enough to travel inside the page."""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore

LARGEST_SIDE = 400
_SMALL_ENOUGH = 12_000
_QUALITY = 80


class PictureBook:
    """Makes data URIs of the pictures in a store."""

    def __init__(self, folder: Path) -> None:
        """Of the store in `folder`."""
        self._folder = folder

    def uri(self, key: str) -> str | None:
        """The picture as it is where that is small, else as WebP of at most 400 px; None where there is none."""
        try:
            return _encoded(self._folder, key)
        except InputError:
            return None


# A page is written many times while a run goes, and what a store holds never changes: it is named by its content.
@lru_cache(maxsize=2048)
def _encoded(folder: Path, key: str) -> str:
    store = ImageStore(folder)
    content, image = store.read(key), store.open(key)
    kind = {".png": "png", ".jpg": "jpeg"}[store.path(key).suffix]
    if max(image.size) > LARGEST_SIDE or len(content) > _SMALL_ENOUGH:
        kind, content = "webp", _webp(image)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _webp(image: Image.Image) -> bytes:
    # A JPEG is decoded at a fraction of its size, where that is still large enough.
    image.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))
    shrunk = image.convert("RGB")
    shrunk.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    shrunk.save(buffer, "WEBP", quality=_QUALITY)
    return buffer.getvalue()
