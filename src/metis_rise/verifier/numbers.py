r"""Numbers read exactly, as fractions: never a float, never an evaluated expression."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_PLAIN = re.compile(r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.(?P<decimals>[0-9]*))?")
_SCIENTIFIC = re.compile(
    r"(?:(?P<base>[0-9.,]+)(?: ?(?:\\times|\\cdot|\*|x) ?(?=10)|(?=[eE])))?(?:[eE]|10 ?\^ ?)"
    r"(?:\{ ?(?P<braced>[+-]?[0-9]{1,3}) ?\}|(?P<bare>[+-]?[0-9]{1,3}))"
)
_MIXED = re.compile(r"(?P<whole>[0-9]+) ?(?P<part>\\frac.*|(?<= )[0-9]+ ?/ ?[0-9]+)")
_MAX_EXPONENT = 300
_MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value; `decimals` is the number of digits after a written decimal point, None without one.

    `percent`: the number had a percent sign, which is not worked into the value.
    """

    value: Fraction
    decimals: int | None = None
    percent: bool = False


def read_number(text: str) -> Number | None:
    r"""The number that an already `normal` text is, or None if it is anything else.

    Reads integers with or without thousands commas, decimals, `a/b`, `\frac{a}{b}` (nested too), mixed numbers,
    scientific notation with an exponent of at most 300, signs, enclosing brackets and a percent sign.
    """
    percent = text.endswith("%")
    body = text.removesuffix("%").strip()
    value = _value(body, 0)
    if value is None:
        return None
    plain = _PLAIN.fullmatch(body.lstrip("+-").strip())
    decimals = None if plain is None or plain["decimals"] is None else len(plain["decimals"])
    return Number(value, decimals, percent)


def same_number(gold: Number, answer: Number) -> bool:
    """Whether `answer` is `gold`: exactly, or rounded to the decimals of a gold that has a decimal point.

    A percent sign on one side only may be left out (28% is 28) or worked in (28% is 0.28).
    """
    if gold.percent == answer.percent:
        return _close(gold.value, answer.value, gold.decimals)
    if gold.percent:
        worked_in = None if gold.decimals is None else gold.decimals + 2
        return _close(gold.value, answer.value, gold.decimals) or _close(gold.value / 100, answer.value, worked_in)
    return _close(gold.value, answer.value, gold.decimals) or _close(gold.value, answer.value / 100, gold.decimals)


def _close(gold: Fraction, answer: Fraction, decimals: int | None) -> bool:
    if gold == answer:
        return True
    return decimals is not None and abs(gold - answer) <= Fraction(1, 2 * 10**decimals)


def _value(text: str, depth: int) -> Fraction | None:
    if depth > _MAX_DEPTH or not text:
        return None
    if text[0] in "+-":
        rest = text[1:].strip()
        value = None if rest[:1] in ("+", "-") else _value(rest, depth + 1)
        return -value if value is not None and text[0] == "-" else value
    if text[0] == "(" and _closing(text, 0) == len(text) - 1:
        return _value(text[1:-1].strip(), depth + 1)
    for reader in (_plain, _scientific, _mixed, _latex_fraction, _slash_fraction):
        value = reader(text, depth)
        if value is not None:
            return value
    return None


def _plain(text: str, depth: int) -> Fraction | None:
    match = _PLAIN.fullmatch(text)
    if match is None or not (match["whole"] or match["decimals"]):
        return None
    decimals = match["decimals"] or ""
    return Fraction(int(match["whole"].replace(",", "") + decimals or "0"), 10 ** len(decimals))


def _scientific(text: str, depth: int) -> Fraction | None:
    match = _SCIENTIFIC.fullmatch(text)
    if match is None or (match["base"] is None and text[0] in "eE"):
        return None
    base = Fraction(1) if match["base"] is None else _plain(match["base"], depth)
    exponent = int(match["braced"] or match["bare"])
    if base is None or abs(exponent) > _MAX_EXPONENT:
        return None
    return base * Fraction(10) ** exponent


def _mixed(text: str, depth: int) -> Fraction | None:
    match = _MIXED.fullmatch(text)
    if match is None:
        return None
    part = _value(match["part"], depth + 1)
    return None if part is None or not 0 <= part < 1 else int(match["whole"]) + part


def _latex_fraction(text: str, depth: int) -> Fraction | None:
    if not text.startswith(r"\frac{"):
        return None
    middle = _closing(text, len(r"\frac"))
    if middle is None or text[middle + 1 : middle + 2] != "{" or _closing(text, middle + 1) != len(text) - 1:
        return None
    return _ratio(text[len(r"\frac{") : middle], text[middle + 2 : -1], depth)


def _slash_fraction(text: str, depth: int) -> Fraction | None:
    above, slash, below = text.partition("/")
    return _ratio(above, below, depth) if slash and "/" not in below else None


def _ratio(above: str, below: str, depth: int) -> Fraction | None:
    numerator, denominator = _value(above.strip(), depth + 1), _value(below.strip(), depth + 1)
    return numerator / denominator if numerator is not None and denominator else None


def _closing(text: str, start: int) -> int | None:
    """The index of the bracket that closes the one at `start`, or None."""
    opening = text[start]
    closing = {"(": ")", "{": "}"}[opening]
    level = 0
    for index in range(start, len(text)):
        level += (text[index] == opening) - (text[index] == closing)
        if level == 0:
            return index
    return None
