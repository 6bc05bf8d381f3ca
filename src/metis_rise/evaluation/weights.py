"""What tells a model's weights from others' without reading all of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

# Bytes that are read, and the distance between them: training moves every number, so a few of each tensor are enough.
_PIECE = 1 << 10
_PIECES = 1 << 10


def fingerprint(folder: Path) -> str:
    """A name for the weights in `folder`: 16 hex digits from the sizes and evenly spread pieces of its safetensors."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        step = max(_PIECE, size // _PIECES)
        with file.open("rb") as weights:
            for start in range(0, size, step):
                weights.seek(start)
                digest.update(weights.read(_PIECE))
    return digest.hexdigest()[:16]
