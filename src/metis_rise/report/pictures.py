"""Pictures of a run folder as data URIs, small enough to travel inside the page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore

LARGEST_SIDE = 400
BUDGET = 5_000_000


class PictureBook:
    """Hands out data URIs for image keys until its budget (bytes of the page) is spent; None after that."""

    def __init__(self, folder: Path, budget: int = BUDGET) -> None:
        self._store = ImageStore(folder)
        self._left = budget
        self._seen: dict[str, str | None] = {}

    def uri(self, key: str) -> str | None:
        """The picture as a PNG of at most 400 px, or None where it is missing, damaged or over the budget."""
        if key not in self._seen:
            uri = self._encode(key)
            if uri is not None and len(uri) > self._left:
                uri = None
            self._left -= len(uri or "")
            self._seen[key] = uri
        return self._seen[key]

    def _encode(self, key: str) -> str | None:
        try:
            content, image = self._store.read(key), self._store.open(key)
        except InputError:
            return None
        if max(image.size) > LARGEST_SIDE or self._store.path(key).suffix != ".png":
            content = _small(image)
        return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _small(image: Image.Image) -> bytes:
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    image.quantize(256).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
