"""Powers and functions of complex numbers of many digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from mpmath import libmp

from metis_rise.verifier.algebra import exact
from metis_rise.verifier.algebra.arithmetic import (
    MAX_ANGLE,
    MINUS_UNIT,
    NOTHING,
    ONE,
    ZERO,
    Arithmetic,
    Real,
    Value,
    is_zero,
)
from metis_rise.verifier.algebra.exact import Exact, OutOfReachError

# The largest size, in bits, of the argument of an exponential function.
_MAX_EXP = 11
_MAX_ROOT = 64


class Calculator(Arithmetic):
    """Arithmetic with powers, roots and functions; where a value is not real it is the principal one."""

    def power(self, base: Value, exponent: Value) -> Value:
        """`base` to the `exponent`, its principal value; the root of a fraction is that of `root`."""
        if is_zero(base):
            if exponent[1] != ZERO or exponent[0][0] or not exponent[0][1]:
                raise OutOfReachError
            return NOTHING
        whole = self.whole(exponent)
        if whole is not None:
            return self.whole_power(base, whole)
        return self.exp(self.multiply(exponent, self.ln(base)))

    def root(self, base: Value, exponent: Fraction) -> Value:
        """`base` to a fraction; an odd root of a negative number is the real one, other roots are principal values."""
        degree = exponent.denominator
        negative = base[1] == ZERO and base[0][0] == 1
        if is_zero(base) or degree > _MAX_ROOT or (negative and degree % 2 == 0 and degree > 2):
            return self.power(base, self.number(exponent))
        if degree == 1:
            return self.whole_power(base, exponent.numerator)
        if base[1] == ZERO and (not negative or degree % 2):
            real = libmp.mpf_nthroot(libmp.mpf_abs(base[0]), degree, self.bits, "n")
            root = (libmp.mpf_neg(real) if negative else real), ZERO
        elif degree == 2:
            self.natural = self.natural and not negative
            root = libmp.mpc_sqrt(base, self.bits, "n")
        else:
            return self.power(base, self.number(exponent))
        return self.whole_power(self.kept(root), exponent.numerator)

    def call(self, name: str, args: Sequence[Value]) -> Value:
        """The function of that name in a tree."""
        return _FUNCTIONS[name](self, *args)

    def exp(self, a: Value) -> Value:
        """e to the power `a`."""
        if a[0][2] + a[0][3] > _MAX_EXP or a[1][2] + a[1][3] > MAX_ANGLE:
            raise OutOfReachError
        return self.kept(self._by(libmp.mpf_exp, libmp.mpc_exp, a))

    def ln(self, a: Value) -> Value:
        """The natural logarithm, its principal value where `a` is not positive."""
        if is_zero(a):
            raise OutOfReachError
        if a[1] == ZERO and a[0][0]:
            self.natural = False
            return self.kept(libmp.mpc_log(a, self.bits, "n"), 1)
        return self.kept(self._by(libmp.mpf_log, libmp.mpc_log, a), 1)

    def abs(self, a: Value) -> Value:
        """The absolute value."""
        return self.kept((libmp.mpc_abs(a, self.bits, "n"), ZERO))

    def sin(self, a: Value) -> Value:
        """The sine."""
        return self._periodic(libmp.mpf_sin, libmp.mpc_sin, a)

    def cos(self, a: Value) -> Value:
        """The cosine."""
        return self._periodic(libmp.mpf_cos, libmp.mpc_cos, a)

    def tan(self, a: Value) -> Value:
        """The tangent, as a quotient: so its poles are seen."""
        return self.multiply(self.sin(a), self.power(self.cos(a), MINUS_UNIT))

    def arcsin(self, a: Value) -> Value:
        """The inverse sine."""
        return self._inverse(libmp.mpf_asin, libmp.mpc_asin, a)

    def arccos(self, a: Value) -> Value:
        """The inverse cosine."""
        return self._inverse(libmp.mpf_acos, libmp.mpc_acos, a)

    def arctan(self, a: Value) -> Value:
        """The inverse tangent."""
        if a[0] == ZERO and self.whole((a[1], ZERO)) in (1, -1):
            raise OutOfReachError
        return self.kept(self._by(libmp.mpf_atan, libmp.mpc_atan, a), 1)

    def sinh(self, a: Value) -> Value:
        """The hyperbolic sine."""
        return self._hyperbolic(libmp.mpf_sinh, libmp.mpc_sinh, a)

    def cosh(self, a: Value) -> Value:
        """The hyperbolic cosine."""
        return self._hyperbolic(libmp.mpf_cosh, libmp.mpc_cosh, a)

    def tanh(self, a: Value) -> Value:
        """The hyperbolic tangent."""
        return self.multiply(self.sinh(a), self.power(self.cosh(a), MINUS_UNIT))

    def factorial(self, a: Value) -> Value:
        """The factorial of a whole number from 0 to `exact.MAX_FACTORIAL`."""
        return self._counted(exact.factorial, a)

    def binomial(self, a: Value, b: Value) -> Value:
        """The binomial coefficient of whole numbers from 0 to `exact.MAX_FACTORIAL`."""
        return self._counted(exact.binomial, a, b)

    def _counted(self, function: Callable[..., Exact | None], *args: Value) -> Value:
        wholes = [self.whole(arg) for arg in args]
        if None in wholes:
            raise OutOfReachError
        count = function(*wholes)
        if count is None:
            raise OutOfReachError
        return self.number(count)

    def _by(self, of_real: Callable[..., Real], of_complex: Callable[..., Value], a: Value) -> Value:
        return of_complex(a, self.bits, "n") if a[1] != ZERO else (of_real(a[0], self.bits, "n"), ZERO)

    def _periodic(self, of_real: Callable[..., Real], of_complex: Callable[..., Value], a: Value) -> Value:
        if a[0][2] + a[0][3] > MAX_ANGLE or a[1][2] + a[1][3] > _MAX_EXP:
            raise OutOfReachError
        return self.kept(self._by(of_real, of_complex, a), 1)

    def _hyperbolic(self, of_real: Callable[..., Real], of_complex: Callable[..., Value], a: Value) -> Value:
        if a[0][2] + a[0][3] > _MAX_EXP or a[1][2] + a[1][3] > MAX_ANGLE:
            raise OutOfReachError
        return self.kept(self._by(of_real, of_complex, a), 1)

    def _inverse(self, of_real: Callable[..., Real], of_complex: Callable[..., Value], a: Value) -> Value:
        """An inverse function; just beside 1 and -1 rounding would be magnified, so these are met exactly."""
        if a[1] == ZERO:
            whole = self.whole(a)
            if whole in (1, -1):
                a = libmp.from_int(whole), ZERO
            elif libmp.mpf_gt(libmp.mpf_abs(a[0]), ONE):
                self.natural = False
                return self.kept(of_complex(a, self.bits, "n"), 1)
        return self.kept(self._by(of_real, of_complex, a), 1)


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    function.__name__: function
    for function in (
        *(Calculator.ln, Calculator.abs, Calculator.factorial, Calculator.binomial),
        *(Calculator.sin, Calculator.cos, Calculator.tan, Calculator.arcsin, Calculator.arccos, Calculator.arctan),
        *(Calculator.sinh, Calculator.cosh, Calculator.tanh),
    )
}
