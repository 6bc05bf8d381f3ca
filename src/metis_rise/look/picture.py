"""A picture on the terminal: by its graphics protocol where it has one, else in half blocks of colour.

Protocols: kitty (sw.kovidgoyal.net/kitty/graphics-protocol), iTerm2 (iterm2.com/documentation-images.html), sixel
(DEC VT340, as xterm and others read it). Nothing is drawn where output goes to a file.
"""

from __future__ import annotations

import base64
import io
import os
import select
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from itertools import groupby

from PIL import Image
from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

_COLUMNS, _ROWS = 60, 16
# A character is about twice as high as wide; 10 x 20 pixels are the VT340's, which no sixel terminal is far from.
_CELL = (10, 20)
_CHUNK = 4096
_ANSWER_S = 0.2
_SIXEL_COLOURS = 128
_SIXEL_ATTRIBUTE = "4"


class Way(StrEnum):
    """How a picture is drawn."""

    KITTY = "kitty"
    ITERM = "iterm"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    NONE = "none"


def way_of(console: Console) -> Way:
    """The best way that the terminal of `console` has, as far as it says so; it is asked whether it knows sixel."""
    if not console.is_terminal or console.is_dumb_terminal:
        return Way.NONE
    environment, program = os.environ, os.environ.get("TERM_PROGRAM", "")
    # Within tmux and screen these say what is around them, which does not get what is drawn.
    inside = "TMUX" in environment or "STY" in environment
    if not inside and ("KITTY_WINDOW_ID" in environment or program == "ghostty"):
        return Way.KITTY
    if not inside and (program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2"):
        return Way.ITERM
    if _SIXEL_ATTRIBUTE in _device_attributes():
        return Way.SIXEL
    return Way.BLOCKS if console.color_system in ("256", "truecolor") else Way.NONE


def draw(picture: Image.Image, console: Console, way: Way) -> None:
    """Draws `picture` at the place of the cursor, at most 60 columns wide and 16 rows high."""
    if way is Way.NONE:
        return
    columns, rows = _size(picture, min(_COLUMNS, console.width - 1))
    if way is Way.BLOCKS:
        console.print(Segments(_blocks(picture, columns, rows)), end="")
        return
    small = picture.copy()
    small.thumbnail((columns * _CELL[0], rows * _CELL[1]))
    codes = {Way.KITTY: _kitty, Way.ITERM: _iterm, Way.SIXEL: _sixel}[way](small, columns, rows)
    console.file.write(codes + "\n")
    console.file.flush()


def _size(picture: Image.Image, most: int) -> tuple[int, int]:
    """Columns and rows that keep the picture's shape; a picture of few pixels is not blown up."""
    width, height = picture.width / _CELL[0], picture.height / _CELL[1]
    # Half blocks of a small picture would show nothing: it gets at least a character for four pixels.
    scale = min(most / width, _ROWS / height, max(1.0, _CELL[0] / 4))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _blocks(picture: Image.Image, columns: int, rows: int) -> Iterator[Segment]:
    """Two pixels to a character: the upper one in the colour of the sign, the lower one in that of its ground."""
    pixels = picture.convert("RGB").resize((columns, 2 * rows), Image.Resampling.LANCZOS)
    for row in range(rows):
        pairs = [(_colour(pixels, x, 2 * row), _colour(pixels, x, 2 * row + 1)) for x in range(columns)]
        for (upper, lower), same in groupby(pairs):
            style = Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower))
            yield Segment("▀" * len(list(same)), style)
        yield Segment.line()


def _colour(pixels: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    value = pixels.getpixel((x, y))
    assert isinstance(value, tuple)
    return int(value[0]), int(value[1]), int(value[2])


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _kitty(picture: Image.Image, columns: int, rows: int) -> str:
    """PNG (f=100) in chunks, shown at once (a=T) over so many cells, with no answer wanted (q=2)."""
    data = _png(picture)
    chunks = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        keys = f"f=100,a=T,q=2,c={columns},r={rows}," if number == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(number < len(chunks) - 1)};{chunk}\x1b\\")
    return "".join(parts)


def _iterm(picture: Image.Image, columns: int, rows: int) -> str:
    return f"\x1b]1337;File=inline=1;width={columns};height={rows}:{_png(picture)}\x07"


def _sixel(picture: Image.Image, columns: int, rows: int) -> str:
    """Bands of six rows; in each band, colour after colour, runs of the same six pixels."""
    whole = picture.convert("RGB").resize((columns * _CELL[0], rows * _CELL[1]))
    paletted = whole.quantize(_SIXEL_COLOURS)
    palette = paletted.getpalette() or []
    width, height, pixels = paletted.width, paletted.height, paletted.tobytes()
    parts = [f'\x1bPq"1;1;{width};{height}']
    for index in sorted(set(pixels)):
        red, green, blue = (round(value * 100 / 255) for value in palette[3 * index : 3 * index + 3])
        parts.append(f"#{index};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        parts += [f"#{index}{_runs(band, index)}$" for index in sorted(set(b"".join(band)))]
        parts.append("-")
    return "".join([*parts, "\x1b\\"])


def _runs(band: list[bytes], index: int) -> str:
    """The pixels of one colour in a band of up to six rows: a sign for each column, its number before a longer run."""
    columns = zip(*band, strict=True)
    signs = (chr(63 + sum((value == index) << row for row, value in enumerate(column))) for column in columns)
    runs = ((sign, len(list(same))) for sign, same in groupby(signs))
    return "".join(f"!{count}{sign}" if count > 3 else sign * count for sign, count in runs)


def _device_attributes() -> list[str]:
    """What the terminal says that it is ("primary device attributes"); empty where it does not answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return []
    import termios
    import tty

    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    answer = b""
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        os.write(sys.stdout.fileno(), b"\x1b[c")
        end = time.monotonic() + _ANSWER_S
        while not answer.endswith(b"c") and select.select([keyboard], [], [], max(0.0, end - time.monotonic()))[0]:
            answer += os.read(keyboard, 1)
    finally:
        termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return answer.decode("ascii", "replace").removeprefix("\x1b[?").removesuffix("c").split(";")
