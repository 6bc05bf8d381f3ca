"""Rational functions compared by their values in two prime fields."""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

from metis_rise.verifier.algebra.exact import Exact, OutOfReachError
from metis_rise.verifier.algebra.tree import Node


class Field(NamedTuple):
    """The whole numbers modulo a prime that leaves 1 when divided by 4, so that -1 has the square root `unit`."""

    prime: int
    unit: int


def _field(prime: int, generator: int) -> Field:
    return Field(prime, pow(generator, (prime - 1) // 4, prime))


# The two largest primes below 2^127 of that kind, each with a number that is not a square modulo it.
FIELDS = (_field(2**127 - 39, 3), _field(2**127 - 295, 5))


def evaluate(node: Node, field: Field, trial: int) -> int:
    """The value of a rational function at the `trial`-th fixed point of a field.

    A variable's value is drawn from its name and `trial`; pi and e are values of their own, the same in all trials.

    Raises:
        OutOfReachError: where a denominator is 0.
    """
    match node.kind:
        case "number":
            return _residue(node.value, field.prime)
        case "variable":
            return _drawn(node.name, field.prime, trial)
        case "constant":
            return field.unit if node.name == "i" else _drawn(node.name, field.prime, -1)
        case "sum":
            return sum(evaluate(arg, field, trial) for arg in node.args) % field.prime
        case "product":
            value = 1
            for arg in node.args:
                value = value * evaluate(arg, field, trial) % field.prime
            return value
    base, exponent = node.args
    return _power(evaluate(base, field, trial), exponent.value.numerator, field.prime)


def _power(value: int, exponent: int, prime: int) -> int:
    if exponent <= 0 and value == 0:
        raise OutOfReachError
    return pow(value, exponent, prime)


def _residue(value: Exact, prime: int) -> int:
    if isinstance(value, int):
        return value % prime
    return value.numerator * _power(value.denominator % prime, -1, prime) % prime


@functools.lru_cache(maxsize=4096)
def _drawn(name: str, prime: int, trial: int) -> int:
    digest = hashlib.blake2b(f"{trial} {name}".encode(), digest_size=32).digest()
    return int.from_bytes(digest, "big") % prime
