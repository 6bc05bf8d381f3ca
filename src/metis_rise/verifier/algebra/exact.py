"""Exact rational numbers with a bound on their size, so that no arithmetic on them can run away."""

from __future__ import annotations

import math
from fractions import Fraction

# An int where the value is whole, a Fraction elsewhere; both compare, hash and calculate alike.
Exact = int | Fraction

MAX_BITS = 1 << 15
MAX_FACTORIAL = 3000
_MAX_ROOT = 64


class OutOfReachError(Exception):
    """A value that is not defined (a zero denominator) or too large to be worked out; never leaves this package."""


def bounded(value: Exact) -> Exact:
    """`value`, whole numbers as ints.

    Raises:
        OutOfReachError: when numerator or denominator has more than `MAX_BITS` bits.
    """
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise OutOfReachError
    return value.numerator if value.denominator == 1 else value


def power(base: Exact, exponent: Exact) -> Exact | None:
    """`base` to the `exponent`; None where that is not rational, or has more than `MAX_BITS` bits.

    An odd root of a negative number is the real one, as in school: (-8)^(1/3) is -2.

    Raises:
        OutOfReachError: 0 to the power 0 or to a negative power.
    """
    if base == 0:
        if exponent <= 0:
            raise OutOfReachError
        return 0
    if base == 1:
        return 1
    if exponent.denominator == 1:
        return _whole_power(base, exponent.numerator)
    root = _root(base, exponent.denominator)
    return None if root is None else _whole_power(root, exponent.numerator)


def factorial(value: Exact) -> Exact | None:
    """`value`! of a whole number from 0 to `MAX_FACTORIAL`, else None."""
    if value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL:
        return None
    return math.factorial(value.numerator)


def binomial(above: Exact, below: Exact) -> Exact | None:
    """`above` over `below` of whole numbers from 0 to `MAX_FACTORIAL`, else None."""
    if any(value.denominator != 1 or not 0 <= value <= MAX_FACTORIAL for value in (above, below)):
        return None
    return math.comb(above.numerator, below.numerator)


def logarithm(value: Exact, base: Exact) -> int | None:
    """The whole number n with `base`^n = `value`, or None where there is none."""
    if value <= 0 or base <= 0 or base == 1:
        return None
    divisor = _log(base)
    if divisor == 0:
        return None
    guess = round(_log(value) / divisor)
    return guess if power(base, guess) == value else None


def _log(value: Exact) -> float:
    return math.log(value.numerator) - math.log(value.denominator)


def _whole_power(base: Exact, exponent: int) -> Exact | None:
    if base == -1:
        return -1 if exponent % 2 else 1
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent) > MAX_BITS:
        return None
    return bounded(Fraction(base) ** exponent) if exponent < 0 else base**exponent


def _root(value: Exact, degree: int) -> Exact | None:
    if degree > _MAX_ROOT or (value < 0 and degree % 2 == 0):
        return None
    above, below = _whole_root(abs(value.numerator), degree), _whole_root(value.denominator, degree)
    if above is None or below is None:
        return None
    return bounded(Fraction(-above if value < 0 else above, below))


def _whole_root(value: int, degree: int) -> int | None:
    """The whole number whose `degree`-th power is `value`, by Newton's method from above."""
    if degree == 2:
        guess = math.isqrt(value)
    else:
        guess, step = 1 << -(-value.bit_length() // degree), 0
        while True:
            step = ((degree - 1) * guess + value // guess ** (degree - 1)) // degree
            if step >= guess:
                break
            guess = step
    return guess if guess**degree == value else None
