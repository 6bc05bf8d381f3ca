"""One bad input: how it is made, and who reads it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

Maker = Callable[[Path], object]
"""Makes the input in a folder; what it returns is what the reader is called with."""


class Outcome(Enum):
    """What a reader must make of an input."""

    REFUSED = "refused"
    READ = "read"
    EITHER = "either"


@dataclass(frozen=True)
class Case:
    """`make` writes below a folder `data`; `read` may write below a folder `run` and nowhere else."""

    name: str
    make: Maker
    read: Callable[[object, Path], object]
    outcome: Outcome = Outcome.REFUSED


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    """Brackets within brackets."""
    return opening * depth + closing * depth


def file_of(content: str | bytes, name: str) -> Maker:
    """A maker of one file; returns its path."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)
        return path

    return make


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG chunk with a right checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
