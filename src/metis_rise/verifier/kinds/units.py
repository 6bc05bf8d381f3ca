"""Units of measurement and currencies: what they measure and their exact factors."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

# Names of a unit, what it measures and how many of the base units it is (cm, g, s, J and so on); factors are exact
# by definition (SI brochure; international yard and pound agreement of 1959).
_TABLE: tuple[tuple[str, str, str], ...] = (
    ("m meter meters metre metres", "length", "1"),
    ("km kilometer kilometers kilometre kilometres kms", "length", "1000"),
    ("dm decimeter decimeters decimetre decimetres", "length", "1/10"),
    ("cm centimeter centimeters centimetre centimetres cms", "length", "1/100"),
    ("mm millimeter millimeters millimetre millimetres", "length", "1/1000"),
    ("\u03bcm um micrometer micrometers micrometre micrometres micron microns", "length", "1/1000000"),
    ("nm nanometer nanometers nanometre nanometres", "length", "1/1000000000"),
    ("in inch inches", "length", "127/5000"),
    ("ft foot feet", "length", "381/1250"),
    ("yd yds yard yards", "length", "1143/1250"),
    ("mi mile miles", "length", "201168/125"),
    ("g gram grams gramme grammes", "mass", "1"),
    ("kg kgs kilogram kilograms kilo kilos", "mass", "1000"),
    ("mg milligram milligrams", "mass", "1/1000"),
    ("tonne tonnes", "mass", "1000000"),
    ("lb lbs pound pounds", "mass", "45359237/100000"),
    ("oz ounce ounces", "mass", "45359237/1600000"),
    ("s sec secs second seconds", "time", "1"),
    ("ms millisecond milliseconds", "time", "1/1000"),
    ("min mins minute minutes", "time", "60"),
    ("h hr hrs hour hours", "time", "3600"),
    ("day days", "time", "86400"),
    ("week weeks", "time", "604800"),
    ("month months", "months", "1"),
    ("year years yr yrs", "months", "12"),
    ("l L liter liters litre litres", "volume", "1"),
    ("ml mL milliliter milliliters millilitre millilitres", "volume", "1/1000"),
    ("cup cups", "cups", "1"),
    ("pint pints pt", "cups", "2"),
    ("quart quarts qt", "cups", "4"),
    ("gallon gallons gal", "cups", "16"),
    ("acre acres", "acre", "1"),
    ("hectare hectares ha", "hectare", "1"),
    ("N newton newtons", "force", "1"),
    ("kN kilonewton kilonewtons", "force", "1000"),
    ("J joule joules", "energy", "1"),
    ("kJ kilojoule kilojoules", "energy", "1000"),
    ("kWh", "energy", "3600000"),
    ("eV", "electronvolt", "1"),
    ("W watt watts", "power", "1"),
    ("kW kilowatt kilowatts", "power", "1000"),
    ("V volt volts", "voltage", "1"),
    ("A amp amps ampere amperes", "current", "1"),
    ("mA milliamp milliamps", "current", "1/1000"),
    ("\u03a9 ohm ohms \\Omega", "resistance", "1"),
    ("Hz hertz", "frequency", "1"),
    ("kHz kilohertz", "frequency", "1000"),
    ("MHz megahertz", "frequency", "1000000"),
    ("Pa pascal pascals", "pressure", "1"),
    ("kPa kilopascal kilopascals", "pressure", "1000"),
    ("atm atmosphere atmospheres", "atmosphere", "1"),
    ("mol mole moles", "amount", "1"),
    ("K kelvin kelvins", "kelvin", "1"),
    ("degC celsius", "celsius", "1"),
    ("degF fahrenheit", "fahrenheit", "1"),
    ("rad rads radian radians", "radian", "1"),
    ("$ dollar dollars usd bucks", "dollar", "1"),
    ("cent cents \u00a2", "dollar", "1/100"),
    ("\u20ac euro euros eur", "euro", "1"),
    ("\u00a3 gbp quid", "sterling", "1"),
    ("pence penny", "sterling", "1/100"),
    ("\u00a5 yen yuan rmb", "yen", "1"),
    ("\u20b9 rupee rupees rs inr", "rupee", "1"),
    ("unit units", "", "1"),
)
_UNITS = {name: (measure, Fraction(factor)) for names, measure, factor in _TABLE for name in names.split()}
_DERIVED = {
    "mph": "mi/h",
    "kph": "km/h",
    "kmph": "km/h",
    "kmh": "km/h",
    "mps": "m/s",
    "cc": "cm^3",
    "sqft": "ft^2",
    "sqm": "m^2",
}
_WORD_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "squared": 2, "cubed": 3}
_POWER_OF_NAME = re.compile(
    r" ?(?:(?P<before>square|sq|cubic|cu)\.? )?"
    r"(?P<name>\\Omega|[A-Za-z\u03bc\u03a9]+\.?|[$\u20ac\u00a3\u00a5\u20b9\u00a2])"
    r"(?: ?\^ ?\{?(?P<power>-?[1-4])\}?| (?P<after>squared|cubed)(?![A-Za-z]))?"
)
_BETWEEN = re.compile(r"(?P<over> ?/ ?| (?:per|a|an) )| ?(?:\*|\\cdot) ?| ")
_MAX_CHARS = 60


@dataclass(frozen=True, slots=True)
class Unit:
    """`measures` holds what is measured with its powers, sorted, empty for mere `units`; `factor` is in base units."""

    measures: tuple[tuple[str, int], ...]
    factor: Fraction


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit | None:
    """The unit that the whole of an already `normal` text is: `cm`, `km/h`, `m^2`, `square feet`, `miles per hour`."""
    if len(text) > _MAX_CHARS:
        return None
    powers: Counter[str] = Counter()
    factor, position, direction = Fraction(1), 0, 1
    while True:
        part = _POWER_OF_NAME.match(text, position)
        found = None if part is None else _named(part["name"].rstrip("."))
        if part is None or found is None:
            return None
        power = direction * int(part["power"] or _WORD_POWERS.get(part["before"] or part["after"], 1))
        factor *= found.factor**power
        for measure, own in found.measures:
            powers[measure] += power * own
        if part.end() == len(text):
            return Unit(tuple(sorted((measure, own) for measure, own in powers.items() if own)), factor)
        between = _BETWEEN.match(text, part.end())
        if between is None:
            return None
        # What follows a `per` is all below: m/s s is m/s^2.
        direction = -1 if between["over"] else direction
        position = between.end()


def _named(name: str) -> Unit | None:
    """Symbols of up to two letters mind their case (mm and Mm, g and G), words do not."""
    found = _UNITS.get(name) or (_UNITS.get(name.lower()) if len(name) > 2 else None)
    if found is not None:
        measure, factor = found
        return Unit(((measure, 1),) if measure else (), factor)
    derived = _DERIVED.get(name.lower())
    return None if derived is None else read_unit(derived)
