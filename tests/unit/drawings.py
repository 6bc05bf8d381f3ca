"""Drawings on white, each of its seed, and copies of them as they go through other hands."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping

from PIL import Image, ImageDraw, ImageOps


def drawing(seed: int) -> Image.Image:
    """Lines and boxes with a margin; drawings of different seeds look different."""
    chance = random.Random(seed)
    image = Image.new("RGB", (240, 180), "white")
    pen = ImageDraw.Draw(image)
    for _ in range(6):
        points = [(chance.randrange(20, 220), chance.randrange(20, 160)) for _ in range(2)]
        pen.line(points, fill=tuple(chance.randrange(160) for _ in range(3)), width=3)
    x, y = chance.randrange(20, 150), chance.randrange(20, 100)
    pen.rectangle((x, y, x + 50, y + 40), fill=tuple(chance.randrange(200) for _ in range(3)))
    return image


def in_file(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def compressed(image: Image.Image, quality: int) -> Image.Image:
    """The picture after it was a JPEG."""
    return Image.open(io.BytesIO(in_file(image, "JPEG", quality=quality))).convert("RGB")


COPIES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": lambda image: compressed(image, 40),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "twice the size": lambda image: image.resize((image.width * 2, image.height * 2)),
    "smaller and jpeg": lambda image: compressed(image.resize((150, 112)), 60),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "few colours": lambda image: image.quantize(32).convert("RGB"),
    "framed": lambda image: ImageOps.expand(image, 30, "white"),
    "cropped": lambda image: image.crop((8, 8, image.width - 8, image.height - 8)),
}
