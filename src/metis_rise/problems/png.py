"""PNG files that are whole by their own checksums, for which nothing is decoded."""

from __future__ import annotations

import re
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = _SIGNATURE + b"\0\0\0\rIHDR"
# A chunk is its length, its name, its data and a CRC-32 of name and data.
_AROUND = 12
_PALETTE, _COLOUR_TYPE = 3, 25
# Chunks of a still picture in their order. Others, or these elsewhere, may say how it is to be turned, or animate it.
# Groups share names: one that gave some back, to try them in the next, would do so over and over.
_ORDER = re.compile(
    rb"IHDR(?:gAMA|cHRM|sRGB|sBIT|iCCP|pHYs|sPLT|tIME|tEXt)*+(?:PLTE)?+"
    rb"(?:tRNS|bKGD|hIST|pHYs|tIME|tEXt)*+(?:IDAT)++(?:tIME)?+IEND"
)
# Of 8 KB each, as most writers make them, the largest file that is read has a sixth of that.
MOST_CHUNKS = 100_000


def size_of(head: bytes) -> tuple[int, int] | None:
    """Width and height by the first 24 bytes of a PNG file; None for any other."""
    if len(head) < len(_HEAD) + 8 or not head.startswith(_HEAD):
        return None
    width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
    return width, height


def is_whole(data: bytes) -> bool:
    """Whether `data` is a still PNG picture, complete and undamaged by the checksums of all its parts.

    A file that was cut off or altered is not. One whose writer compressed it wrongly, and then summed that up, is.
    Raises ValueError above `MOST_CHUNKS` chunks.
    """
    if not data.startswith(_HEAD):
        return False
    view, at, names = memoryview(data), len(_SIGNATURE), bytearray()
    while at + _AROUND <= len(data):
        end = at + _AROUND + int.from_bytes(data[at : at + 4], "big")
        if end > len(data) or zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return False
        if len(names) == 4 * MOST_CHUNKS:
            raise ValueError(f"more than {MOST_CHUNKS:,} chunks")
        names += data[at + 4 : at + 8]
        at = end
    if at != len(data) or _ORDER.fullmatch(names) is None:
        return False
    return data[_COLOUR_TYPE] != _PALETTE or b"PLTE" in names
