"""Pictures as they are sent to a server."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from metis_rise.problems.images import STORED, to_rgb

if TYPE_CHECKING:
    from metis_rise.policy.model import Policy
    from metis_rise.policy.prompt import Prompt


def plain_png(stored: bytes) -> bytes:
    """A stored picture as every reader sees it the same: 8-bit RGB, not turned, transparency on white."""
    image = Image.open(BytesIO(stored), formats=STORED)
    if image.format == "PNG" and image.mode == "RGB" and not image.has_transparency_data and not image.getexif():
        return stored
    buffer = BytesIO()
    to_rgb(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def picture_parts(policy: Policy, prompt: Prompt, pictures: Sequence[bytes]) -> list[dict[str, Any]]:
    """The `pictures` (RGB as PNG bytes) of `prompt` as vLLM's content parts, of the size that the policy sees.

    A server that resized them itself would do it by another library, whose pixels differ in the last bit: enough to
    move log-probabilities by thousandths. Pictures of the right size it leaves alone.
    """
    grids = [] if prompt.image_grid_thw is None else prompt.image_grid_thw.tolist()
    patch = int(policy.processor.image_processor.patch_size)
    sizes = [(columns * patch, rows * patch) for _, rows, columns in grids]
    resample = policy.processor.image_processor.resample
    return [
        {"type": "image_url", "url": data_url(_resized(png, size, resample))}
        for png, size in zip(pictures, sizes, strict=True)
    ]


def data_url(png: bytes) -> str:
    """A PNG file as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _resized(png: bytes, size: tuple[int, int], resample: int) -> bytes:
    picture = Image.open(BytesIO(png))
    if picture.size == size:
        return png
    buffer = BytesIO()
    picture.resize(size, resample).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
