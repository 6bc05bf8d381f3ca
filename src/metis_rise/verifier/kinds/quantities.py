"""Values with a unit, a currency or the name of what is counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from metis_rise.verifier.kinds.units import Unit, read_unit
from metis_rise.verifier.normal import folded, normal

_CURRENCY = re.compile(
    r"(?P<sign>-?) ?(?P<unit>[$\u20ac\u00a3\u00a5\u20b9]|Rs\.?|USD|EUR|GBP) ?"
    r"(?P<body>[^$\u20ac\u00a3\u00a5\u20b9]*?)(?: ?(?:dollars?|euros?|USD|EUR))?",
    re.DOTALL,
)
_WORD_START = re.compile(r"(?<![A-Za-z\\_^{])[A-Za-z$\u20ac\u00a3\u00a5\u20b9\u00a2\u03bc\u03a9]|\\Omega(?![A-Za-z])")
# What a unit may stand behind: a number, a closing bracket or pi.
_BODY_END = re.compile(r".*(?:[0-9)}]|\\pi)", re.DOTALL)
_NUMERIC = re.compile(r"(?:\\(?:frac|sqrt|pi|cdot|times)(?![A-Za-z])|[^A-Za-z\\])+")
_COUNTED = re.compile(
    r"(?P<body>[0-9.,/ ]*[0-9]) ?(?P<noun>(?:[A-Za-z]+ ){0,2}(?:[A-Za-z]{2,}s|people|men|women|children))"
)
# Words after a number that say more than what is counted.
_NO_NOUN_WORDS = (
    "times plus minus less more fewer over than and or not to of by from at under about between squares cubes roots "
    "halves thirds quarters tenths hundredths thousandths dozens tens hundreds thousands millions billions trillions "
    "pairs is equals divides degrees percents pounds lots as was factors digits"
)
_NO_NOUN = frozenset(_NO_NOUN_WORDS.split())
_MAX_STARTS = 12
_WORDS_AFTER = re.compile(r"(?:[ \t~-]?(?:[A-Za-z]|[\u00b2\u00b3/^]|(?<=\^)(?:[1-4]|\{[1-4]\})){1,20}){1,4}")
_SCALES_AND_SHARES = frozenset({"hundred", "thousand", "million", "billion", "trillion", "dozen", "percent", "pct"})
_NO_UNIT_IN_PROSE = frozenset({"in", "A", "a", "unit", "units"})


@dataclass(frozen=True, slots=True)
class Quantity:
    """A text split into a body without unit and its unit (`noun` is the name of what is counted).

    `sure` is False where the unit is one letter that stands close to its number, as in `5m`, which may be a product.
    """

    body: str
    unit: Unit | None = None
    noun: str = ""
    sure: bool = True

    @property
    def bare(self) -> bool:
        """Whether there is no unit."""
        return self.unit is None and not self.noun


def read_quantity(text: str) -> Quantity:
    """`text` (already `normal`) with its unit set apart, if it has one that is known or counts things."""
    text = text.removesuffix(" old")
    currency = _CURRENCY.fullmatch(text)
    if currency:
        return Quantity(currency["sign"] + currency["body"], read_unit(currency["unit"].rstrip(".").lower()))
    for match in list(_WORD_START.finditer(text))[:_MAX_STARTS]:
        body, tail = text[: match.start()], text[match.start() :]
        unit = read_unit(tail) if _BODY_END.fullmatch(body.rstrip()) else None
        if unit is not None:
            letter = len(tail.rstrip("^0123456789{}.")) == 1 and tail[0].isalpha()
            if letter and not _NUMERIC.fullmatch(body):
                continue
            return Quantity(body.rstrip(), unit, sure=not letter or body.endswith(" "))
    counted = _COUNTED.fullmatch(text)
    if counted and _NO_NOUN.isdisjoint(counted["noun"].lower().split()) and not _ordinal(counted["noun"]):
        return Quantity(counted["body"], noun=folded(counted["noun"]))
    return Quantity(text)


def unit_after(text: str, start: int) -> str:
    """The unit, percent sign or word such as `million` that follows a number which ends at `start`, or "".

    `text` is prose; of `5 square meters of grass` it is `square meters`.
    """
    found = _WORDS_AFTER.match(text, start)
    words = found[0].split() if found else []
    for count in range(len(words), 0, -1):
        phrase = normal(" ".join(words[:count]))
        known = words[count - 1] not in _NO_UNIT_IN_PROSE and read_unit(phrase) is not None
        if known or phrase.lower() in _SCALES_AND_SHARES:
            return phrase
    return ""


def factor_between(gold: Quantity, answer: Quantity) -> Fraction | None:
    """What one of the answer's units is in the gold's, 1 where one of both has none; None if they do not compare.

    Things that are counted compare by their name, mere `units` with everything.
    """
    if gold.bare or answer.bare:
        return Fraction(1)
    if gold.unit is None or answer.unit is None:
        same = gold.unit is answer.unit and gold.noun.split()[-1] == answer.noun.split()[-1]
        return Fraction(1) if same or _mere(gold) or _mere(answer) else None
    if _mere(gold) or _mere(answer):
        return Fraction(1)
    return answer.unit.factor / gold.unit.factor if gold.unit.measures == answer.unit.measures else None


def _mere(quantity: Quantity) -> bool:
    return quantity.unit is not None and not quantity.unit.measures


def _ordinal(noun: str) -> bool:
    return noun.lower().endswith("ths")
