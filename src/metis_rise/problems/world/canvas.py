"""What every picture of the world is drawn on: a 112x112 canvas, six colours, one font.

The vision tower of Qwen2.5-VL merges 28x28 pixels into one token, so a picture is a grid of 4x4 cells and
families draw cell by cell. The faint gradient tells cells apart: the tower's own positions are relative.
"""

from __future__ import annotations

from functools import cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = 112
CELL = 28
GRID = SIZE // CELL
BLACK = (0, 0, 0)
WHITE = (255, 255, 255)
INK = (20, 20, 120)
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (220, 40, 40),
    "blue": (40, 70, 220),
    "green": (30, 160, 60),
    "yellow": (235, 200, 30),
    "purple": (150, 50, 190),
    "orange": (250, 130, 20),
}


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font at `size` pixels."""
    return ImageFont.load_default(size)


@cache
def _background(dim: int) -> Image.Image:
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    red, green, blue = 255 - dim - 80 * x, np.full_like(x, 255 - dim), 255 - dim - 80 * y
    return Image.fromarray(np.stack([red, green, blue], -1).clip(0, 255).astype(np.uint8))


def blank(rng: Random) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A fresh canvas and its pen; the light varies a little from picture to picture."""
    image = _background(rng.choice((0, 5, 10))).copy()
    return image, ImageDraw.Draw(image)


def palette(rng: Random) -> tuple[str, ...]:
    """Four different colour names in random order, one for each column of cells."""
    return tuple(rng.sample(list(COLOURS), GRID))
