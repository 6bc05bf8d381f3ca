"""Whole numbers with their base as a subscript: `1011_2`."""

from __future__ import annotations

import re

from metis_rise.verifier.kinds.matching import Same

_WITH_BASE = re.compile(
    r"\(?(?P<digits>(?=[A-F]*[0-9])[0-9A-F]+)\)?"
    r"_(?:\{ ?)?\(?(?P<base>[2-9]|[1-3][0-9]|two|three|four|five|six|seven|eight|nine|ten|twelve|sixteen)\)?(?: ?\})?"
)
_NAMED_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}
_NAMED_BASES |= {"nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}


def same_in_base(gold: str, answer: str) -> Same:
    """Whether two already `normal` texts have the same digits in the same base; None where neither names a base.

    A base may be missing on one side, as a unit may. `101_2` is not 5: the question was for another base.
    """
    if "_" not in gold and "_" not in answer:
        return None
    wanted, given = _WITH_BASE.fullmatch(gold), _WITH_BASE.fullmatch(answer)
    if wanted is None or given is None:
        named, plain = (wanted, answer) if given is None else (given, gold)
        return None if named is None else named["digits"] == plain
    return wanted["digits"] == given["digits"] and _base(wanted) == _base(given)


def _base(match: re.Match[str]) -> str:
    return _NAMED_BASES.get(match["base"], match["base"])
