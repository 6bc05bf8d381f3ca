"""Arithmetic on complex numbers of many digits, which can tell a zero from a small number.

Every value is a pair of mpmath's plain tuples (libmp), which take their precision as an argument: unlike mpmath's
contexts they have no state that threads would share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from mpmath import libmp

from metis_rise.verifier.algebra.exact import Exact, OutOfReachError

# A number of libmp, (sign, mantissa, exponent, bits of the mantissa), and a complex number.
Real = tuple[int, int, int, int]
Value = tuple[Real, Real]

# The largest spread that is calculated with, in bits: 300 digits.
MAX_SPREAD = 1000
# 40 decimal digits, and what rounding may cost.
AGREEMENT, _GUARD = 133, 50
_MAX_EXPONENT = 1 << 30
# The largest size, in bits, of a number that may be found to be whole, and of the argument of a sine.
MAX_ANGLE = 64
_NO_SIZE = -(1 << 40)
ZERO: Real = libmp.fzero
ONE: Real = libmp.fone
NOTHING: Value = ZERO, ZERO
MINUS_UNIT: Value = libmp.fnone, ZERO

# libmp's constants grow on demand, and not safely under threads: grown here once, they are only read from now on.
for _constant in (libmp.pi_fixed, libmp.ln2_fixed, libmp.ln10_fixed, libmp.e_fixed):
    _constant(6 * MAX_SPREAD)


class Arithmetic:
    """Calculates with a precision that follows from the ratio of the largest to the smallest number it may meet.

    `spread` is that ratio in bits. What cancels to less than 2^-(`spread` + 133) of its largest part is taken for 0;
    133 bits are 40 digits. `met` says afterwards which ratio was met: while it is no larger than `spread`, no number
    was so small that it was taken for 0 for its smallness. `natural` turns False when a value leaves the real numbers
    through an even root, a logarithm or an inverse function.

    Methods raise OutOfReachError where they are not defined or their value is too large.
    """

    def __init__(self, spread: int) -> None:
        self._threshold = spread + AGREEMENT
        self.bits = 2 * spread + AGREEMENT + _GUARD
        self._low, self._high = 0, 1
        self.natural = True

    @property
    def met(self) -> int:
        """The ratio of the largest to the smallest number met, in bits."""
        return self._high - self._low

    def number(self, value: Exact) -> Value:
        """A rational number; its digits count as numbers met, since another one may differ in the last of them."""
        above, below = value.numerator, value.denominator
        self._high = max(self._high, above.bit_length())
        self._low = min(self._low, -below.bit_length())
        return libmp.from_rational(above, below, self.bits, "n"), ZERO

    def constant(self, name: str) -> Value:
        """pi, e or i."""
        if name == "i":
            return ZERO, ONE
        return (libmp.mpf_pi if name == "pi" else libmp.mpf_e)(self.bits, "n"), ZERO

    def add(self, terms: Sequence[Value]) -> Value:
        """The sum of `terms`."""
        real, imaginary = terms[0]
        for term in terms[1:]:
            real = libmp.mpf_add(real, term[0], self.bits, "n")
            imaginary = libmp.mpf_add(imaginary, term[1], self.bits, "n")
        return self.kept((real, imaginary), max(map(_size, terms)))

    def equal(self, a: Value, b: Value) -> bool:
        """Whether two values are the same; their difference does not count as a number met."""
        real, imaginary = libmp.mpc_sub(a, b, self.bits, "n")
        floor = max(_size(a), _size(b)) - self._threshold
        return all(not part[1] or part[2] + part[3] < floor for part in (real, imaginary))

    def multiply(self, a: Value, b: Value) -> Value:
        """The product of two values."""
        if a[1] == b[1] == ZERO:
            return self.kept((libmp.mpf_mul(a[0], b[0], self.bits, "n"), ZERO))
        return self.kept(libmp.mpc_mul(a, b, self.bits, "n"))

    def whole(self, value: Value) -> int | None:
        """The whole number that `value` is, or None."""
        if value[1] != ZERO or value[0][2] + value[0][3] > MAX_ANGLE:
            return None
        nearest = libmp.mpf_nint(value[0])
        rest = libmp.mpf_sub(value[0], nearest)
        if rest[1] and rest[2] + rest[3] > 1 - self._threshold:
            return None
        return int(libmp.to_int(nearest))

    def whole_power(self, base: Value, exponent: int) -> Value:
        """`base`, which is not 0, to a whole number."""
        if exponent == 1:
            return base
        logarithm = float(_size(base)) if base[1] != ZERO else math.log2(base[0][1]) + base[0][2]
        if abs(exponent) > _MAX_EXPONENT or abs(exponent * logarithm) > 2 * MAX_SPREAD:
            raise OutOfReachError
        if base[1] == ZERO:
            return self.kept((libmp.mpf_pow_int(base[0], exponent, self.bits, "n"), ZERO))
        return self.kept(libmp.mpc_pow_int(base, exponent, self.bits, "n"))

    def kept(self, value: Value, scale: int | None = None) -> Value:
        """`value`, its parts exactly 0 where they are nothing but rounding, and its size noted.

        `scale` is the size in bits of what the value was made from, by default its own.
        """
        floor = (_size(value) if scale is None else scale) - self._threshold
        real, imaginary = value
        if real[1]:
            real = self._noted(real, floor)
        elif real != ZERO:
            raise OutOfReachError
        if imaginary[1]:
            imaginary = self._noted(imaginary, floor)
        elif imaginary != ZERO:
            raise OutOfReachError
        return real, imaginary

    def _noted(self, part: Real, floor: int) -> Real:
        bits = part[2] + part[3]
        if bits < floor:
            return ZERO
        if bits < self._low:
            self._low = bits
        elif bits > self._high:
            self._high = bits
        else:
            return part
        if self.met > MAX_SPREAD:
            raise OutOfReachError
        return part


def is_zero(value: Value) -> bool:
    """Whether a value is 0."""
    return not value[0][1] and not value[1][1]


def sign(value: Value) -> int:
    """1 or -1 for a real value that is not 0, else 0."""
    return 0 if value[1] != ZERO else int(libmp.mpf_sign(value[0]))


def kept_value(value: Value) -> Fraction | None:
    """The binary fraction that a real value is kept as; None for others."""
    if value[1] != ZERO:
        return None
    return Fraction(*libmp.to_rational(value[0]))


def _size(value: Value) -> int:
    """The size in bits of the larger part, very small for 0."""
    real, imaginary = value
    size = real[2] + real[3] if real[1] else _NO_SIZE
    return max(size, imaginary[2] + imaginary[3]) if imaginary[1] else size
