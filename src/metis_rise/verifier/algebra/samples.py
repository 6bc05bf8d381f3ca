"""The fixed points at which expressions with variables are compared numerically."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from fractions import Fraction

# Orders of magnitude of the real points. All variables share the order of a point; 0 stands for a sign and an order
# of its own for each variable.
_ORDERS = (Fraction(1, 4), Fraction(3, 2), -Fraction(1, 4), Fraction(20), -Fraction(5), Fraction(0), Fraction(0))
# The least whole number of the whole points, where factorials and powers of -1 are defined.
_WHOLE = (4, 9, 2, 13)
REAL_COUNT = len(_ORDERS)
COUNT = REAL_COUNT + len(_WHOLE)


def point(variables: Iterable[str], index: int) -> Mapping[str, Fraction]:
    """A value for every variable, drawn from its name: `REAL_COUNT` points of either sign first, then whole ones.

    `index` runs from 0 to `COUNT` - 1. The values are fractions with small terms, different for different names but
    for rare accidents at single points.
    """
    return {name: _drawn(name, index) for name in variables}


@functools.lru_cache(maxsize=4096)
def _drawn(name: str, index: int) -> Fraction:
    first, second = hashlib.blake2b(f"{index} {name}".encode(), digest_size=2).digest()
    if index >= REAL_COUNT:
        return Fraction(_WHOLE[index - REAL_COUNT] + first % 7)
    order = _ORDERS[index] or Fraction((-1) ** (second % 2) * 2 ** (second // 2 % 4), 2)
    return order * Fraction(256 + first, 256)
