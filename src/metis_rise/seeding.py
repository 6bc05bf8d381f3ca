"""Seeds derived from names, so that every random choice is a function of the run's seed and of what it is for.

No generator has to be saved for a resume: the draws of step 12 are the same whether or not the run was killed.
"""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """A 63-bit seed from `parts`, the same on every machine and Python version."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1
