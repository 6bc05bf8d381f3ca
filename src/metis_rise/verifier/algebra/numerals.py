"""Written numbers."""

from __future__ import annotations

import functools
from fractions import Fraction

from metis_rise.verifier.algebra.exact import Exact, OutOfReachError, bounded
from metis_rise.verifier.algebra.tree import Node, number

_MAX_SCIENTIFIC = 4000


@functools.lru_cache(maxsize=1024)
def numeral(text: str) -> Node:
    """The number that digits write, with a decimal point or not, with a power of ten (`2.5e-3`) or not.

    Raises:
        OutOfReachError: when it is too large.
    """
    mantissa, _, exponent = text.replace("E", "e").partition("e")
    whole, _, decimals = mantissa.partition(".")
    value: Exact = int(whole + decimals or "0")
    if decimals or exponent:
        if len(exponent) > 6 or abs(int(exponent or "0")) > _MAX_SCIENTIFIC:
            raise OutOfReachError
        value = value * Fraction(10) ** (int(exponent or "0") - len(decimals))
    return number(bounded(value))


def repeating(text: str, period: str) -> Node:
    """The decimal number `text` (`0.1`) with the digits of `period` repeated for ever."""
    scale = 10 ** len(text.partition(".")[2])
    return number(bounded(numeral(text).value + Fraction(int(period), (10 ** len(period) - 1) * scale)))
