r"""Numbers read exactly, as fractions: never a float, never an evaluated expression."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

_GROUPED = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+"
_PLAIN = re.compile(rf"(?P<whole>{_GROUPED}|[0-9]*)(?:\.(?P<decimals>[0-9]*))?")
_SIMPLE = re.compile(r"([+-]?[0-9]+)(?:\.([0-9]+))?")
_SCIENTIFIC = re.compile(
    r"(?:(?P<base>[0-9.,]+)(?: ?(?:\\times|\\cdot|\*|x) ?(?=10)|(?=[eE])))?(?:[eE]|10 ?\^ ?)"
    r"(?:\{ ?(?P<braced>[+-]?[0-9]{1,3}) ?\}|(?P<bare>[+-]?[0-9]{1,3}))"
)
_MIXED = re.compile(r"(?P<whole>[0-9]+) ?(?P<part>\\frac.*|(?<= )[0-9]+ ?/ ?[0-9]+)")
_SCALED = re.compile(r"(?P<number>.*[0-9]) ?(?P<word>hundred|thousand|million|billion|trillion|dozen)s?", re.IGNORECASE)
_SCALES = {"dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_MAX_EXPONENT = 300
_MAX_DEPTH = 8
# A decimal answer to a gold without an end to its decimals counts from so many decimals and significant digits on.
_LONG_DECIMALS = 6
# What goes on for so many decimals more than a gold has is no decimal number that was rounded wrongly.
_ENDLESS = 12


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value; `decimals` is the number of digits after a written decimal point, None without one.

    `percent`: the number had a percent sign, which is not worked into the value. With an exponent or a word such as
    million, `decimals` says which place the last written digit has, so it may be negative.
    """

    value: Fraction
    decimals: int | None = None
    percent: bool = False


def read_number(text: str) -> Number | None:
    r"""The number that an already `normal` text is, or None if it is anything else.

    Reads integers with or without thousands commas, decimals, `a/b`, `\frac{a}{b}` (nested too), mixed numbers,
    scientific notation with an exponent of at most 300, `2.5 million`, signs, enclosing brackets and a percent sign.
    """
    simple = _SIMPLE.fullmatch(text)
    if simple:
        decimals = simple[2] or ""
        return Number(_shifted(simple[1] + decimals, len(decimals)), len(decimals) if decimals else None)
    percent = text.endswith("%")
    body = text.removesuffix("%").strip()
    scaled = _SCALED.fullmatch(body)
    if scaled:
        number = read_number(scaled["number"])
        scale = _SCALES[scaled["word"].lower()]
        return None if number is None or percent or number.percent else _times(number, scale)
    value = _value(body, 0)
    return None if value is None else Number(value, _decimals(body), percent)


def same_number(gold: Number, answer: Number) -> bool:
    """Whether `answer` is `gold`: exactly, or rounded to the decimals of a gold that has a decimal point.

    A percent sign on one side only may be left out (28% is 28) or worked in (28% is 0.28). Six or more right decimals
    also stand for a number that no decimal number equals, such as 1/3; in a gold they may be cut off, not rounded.
    """
    if gold.percent == answer.percent:
        return _close(gold, answer)
    if gold.percent:
        decimals = None if gold.decimals is None else gold.decimals + 2
        return _close(gold, answer) or _close(Number(gold.value / 100, decimals), answer)
    decimals = None if answer.decimals is None else answer.decimals + 2
    return _close(gold, answer) or _close(gold, Number(answer.value / 100, decimals))


def _close(gold: Number, answer: Number) -> bool:
    if gold.value == answer.value:
        return True
    if gold.decimals is not None:
        return _rounds_to(gold.value, gold.decimals, answer.value) or _is_cut_off(gold.value, gold.decimals, answer)
    places = answer.decimals or 0
    if places < _LONG_DECIMALS or abs(answer.value) * 10**places < 10 ** (_LONG_DECIMALS - 1):
        return False
    return _has_more(gold, places) and abs(gold.value - answer.value) <= Fraction(1, 2 * 10**places)


def _rounds_to(gold: Fraction, places: int, answer: Fraction) -> bool:
    """Whether `answer` has the value `gold` after rounding to so many decimals, halves away from zero."""
    half = Fraction(10) ** -places / 2
    difference = abs(gold - answer)
    return difference < half or (difference == half and abs(answer) < abs(gold))


def _is_cut_off(gold: Fraction, places: int, answer: Number) -> bool:
    """Whether `gold` is what is left of an endless `answer` after so many decimals, and these are many."""
    if places < _LONG_DECIMALS or gold * answer.value <= 0 or not _has_more(answer, places + _ENDLESS):
        return False
    return 0 < abs(answer.value) - abs(gold) < Fraction(1, 10**places)


def _has_more(number: Number, places: int) -> bool:
    """Whether `number` has more than so many decimals, and was not written with any."""
    return number.decimals is None and 10**places % number.value.denominator != 0


def _times(number: Number, scale: int) -> Number:
    places = None if number.decimals is None or scale == 12 else number.decimals - (len(str(scale)) - 1)
    return replace(number, value=number.value * scale, decimals=places)


def _decimals(text: str) -> int | None:
    text = text.lstrip("+-").strip()
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        return None if plain["decimals"] is None else len(plain["decimals"])
    scientific = _SCIENTIFIC.fullmatch(text)
    written = None if scientific is None or scientific["base"] is None else _decimals(scientific["base"])
    # 2.0e3 is as good as 2000; from three digits on they are meant.
    if scientific is None or written is None or written < 2:
        return None
    return written - int(scientific["braced"] or scientific["bare"])


def _value(text: str, depth: int) -> Fraction | None:
    if depth > _MAX_DEPTH or not text:
        return None
    if text[0] in "+-":
        rest = text[1:].strip()
        value = None if rest[:1] in ("+", "-") else _value(rest, depth + 1)
        return -value if value is not None and text[0] == "-" else value
    # Commas in brackets separate the members of a tuple.
    if text[0] == "(" and "," not in text and _closing(text, 0) == len(text) - 1:
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
    return _shifted(match["whole"].replace(",", "").replace(" ", "") + decimals, len(decimals))


def _shifted(digits: str, places: int) -> Fraction:
    return Fraction(int(digits), 10**places) if places else Fraction(int(digits))


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
