"""Values that stand in a sentence without formula signs: `x = 3`, `2√3`, `1,000.99m²`, `(3, 4)`, `3 or 5`."""

from __future__ import annotations

import re

from metis_rise.verifier.kinds.units import read_unit
from metis_rise.verifier.normal import normal

_TOKEN = re.compile(r"\S+")
_VALUED = re.compile(r"\d|[\u03c0\u221a\u221e]|\\(?:pi|sqrt|frac|infty)")
_WORD = re.compile(r"[^\w\\]*[^\W\d_]{2,}[^\w\\]*")
_FUNCTION = re.compile(r"(?:sin|cos|tan|log|ln|exp|sqrt|pi)\W*")
_OPERATORS = (*"=+-*/<>^\u2264\u2265\u00d7\u00b7\u00f7\u2248\u2212", r"\cdot", r"\times", r"\le", r"\ge")
_JOINTS = ("and", "or", "to", "&")
_SIGN = re.compile(r"[-+\u2212][\d.(\\\u221a\u03c0a-zA-Z]")
_DECIMAL = re.compile(r"\.\d")
_WHOLE = re.compile(r"\d+")
_SHARE = re.compile(r"\d+/\d+\W*")
_OPENING, _CLOSING = "([{", ")]}"
_POWER = re.compile(r"[A-Za-z/]+\^\{?-?[1-4]\}?")
_FACTOR = re.compile(r"[\\\u221a\u03c0]|[a-zA-Z]\^")
_MAX_TOKENS = 40
_LOOSE = " \t\n.,;:!?*\"'`\u3002"


def last_run(sentence: str) -> tuple[int, int] | None:
    """Start and end of the last value in `sentence` with all that belongs to it, or None where there is none.

    Neighbouring tokens belong to it over an operator, inside brackets, in a list, or as the whole part of a mixed
    number; so a part of a formula, or one of several numbers told together, is never taken for the value.
    """
    tokens = list(_TOKEN.finditer(sentence))
    texts = [token[0] for token in tokens]
    last = next(
        (i for i in reversed(range(len(texts))) if _VALUED.search(texts[i]) and not _unit_power(texts, i)), None
    )
    if last is None:
        return None
    first, end = last, last
    while first > 0 and last - first < _MAX_TOKENS and (taken := _joined_before(texts, first, end)):
        first -= taken
    while end + 1 < len(texts) and end - last < _MAX_TOKENS and _goes_on(texts[first : end + 1], texts[end + 1]):
        end += 1
    return _trimmed(sentence, tokens[first].start(), tokens[end].end())


def _unit_power(texts: list[str], index: int) -> bool:
    """Whether a token is a unit such as `mm^2` after a number, whose digit is no value of its own."""
    text = texts[index].strip(_LOOSE)
    follows = index > 0 and texts[index - 1][-1].isdigit()
    return follows and _POWER.fullmatch(text) is not None and read_unit(normal(text)) is not None


def _joined_before(texts: list[str], first: int, end: int) -> int:
    """How many tokens before `first` belong to what begins there."""
    before, here = texts[first - 1], texts[first]
    if _unopened(texts[first : end + 1]) or _open_braces(texts[:first]):
        return 1
    if before in _JOINTS and first > 1 and _is_maths(texts[first - 2]):
        return 2
    if not _is_maths(before) or before[-1] in ".:!?":
        return 0
    binary = here.startswith(_OPERATORS) and not _SIGN.match(here)
    mixed = _WHOLE.fullmatch(before) and _SHARE.fullmatch(here)
    product = before[-1].isdigit() and _FACTOR.match(here)
    return int(bool(before.endswith((*_OPERATORS, ",", ";")) or binary or mixed or product))


def _goes_on(run: list[str], after: str) -> bool:
    here = run[-1]
    if _open_braces(run):
        return True
    if here[-1] in ".,;:!?":
        return False
    if after[0] in "%\u00b0" or after.startswith((r"\pi", r"\%", r"\circ")):
        return True
    return (after.startswith(_OPERATORS) and not after.startswith(("->", "=>"))) or here.endswith(_OPERATORS)


def _is_maths(token: str) -> bool:
    return not _WORD.fullmatch(token) or _FUNCTION.fullmatch(token) is not None


def _open_braces(texts: list[str]) -> bool:
    return sum(text.count("{") - text.count("}") for text in texts) > 0


def _unopened(texts: list[str]) -> bool:
    """Whether more brackets close than open."""
    text = "".join(texts)
    return sum(map(text.count, _CLOSING)) > sum(map(text.count, _OPENING)) and not text.startswith(tuple(_OPENING))


def _trimmed(sentence: str, start: int, end: int) -> tuple[int, int]:
    """The span without punctuation around it, a leading `=` and brackets that only one side has."""
    while start < end:
        text = sentence[start:end]
        open_ = sum(map(text.count, _OPENING)) - sum(map(text.count, _CLOSING))
        if (text[0] in _LOOSE and not _DECIMAL.match(text)) or text[0] == "=" or (open_ > 0 and text[0] in _OPENING):
            start += 1
        elif text[-1] in _LOOSE or (open_ < 0 and text[-1] in _CLOSING):
            end -= 1
        else:
            break
    return start, end
