"""Times of day, dates and ratios, which share their colons."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from metis_rise.verifier.kinds.matching import Same, every
from metis_rise.verifier.kinds.splitting import outside, pieces

_TIME = re.compile(
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-5][0-9]))?(?::(?P<second>[0-5][0-9]))?(?: ?(?P<half>[ap])\.? ?m\.?)?",
    re.IGNORECASE,
)
_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_MONTH = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _MONTHS)
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})",
        rf"(?P<month>{_MONTH})\.? (?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>[0-9]{{4}}))?",
        rf"(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)? (?:of )?(?P<month>{_MONTH})\.?(?:,? (?P<year>[0-9]{{4}}))?",
    )
)
_HINT = re.compile(rf":|[0-9] ?[ap]\.? ?m|[0-9]-[0-9]|{_MONTH}", re.IGNORECASE)
_COLON = outside(":")
_TO = re.compile(r"(?<=[0-9}]) to (?=[0-9\\])")
# A leap year: for dates without a year.
_ANY_YEAR = 2000


def same_moment(gold: str, answer: str) -> Same:
    """Whether two texts are the same time or date; None where not both are times or both are dates."""
    if not _HINT.search(gold):
        return None
    dates = read_date(gold), read_date(answer)
    if dates[0] is not None and dates[1] is not None:
        return dates[0] == dates[1]
    times = _read_time(gold), _read_time(answer)
    if times[0] is None or times[1] is None:
        return None
    (first, first_half), (second, second_half) = times[0], times[1]
    if not first_half and not second_half:
        return True if first == second else None
    # 3:45 alone may be in the morning or not: a gold that leaves it open takes both.
    if not first_half and 1 <= first[0] <= 12:
        return (first[0] % 12, *first[1:]) == (second[0] % 12, *second[1:])
    return first == second and (second_half or second[0] > 12)


def read_date(text: str) -> tuple[int | None, int, int] | None:
    """Year, month and day of a text that is a date with its month named, or an ISO date."""
    for pattern in _DATES:
        match = pattern.fullmatch(text.strip())
        if match:
            month = int(match["month"]) if match["month"].isdigit() else _month(match["month"])
            year = None if match["year"] is None else int(match["year"])
            return (year, month, int(match["day"])) if _exists(year, month, int(match["day"])) else None
    return None


def same_ratio(gold: str, answer: str, same: Callable[[str, str], Same]) -> Same:
    r"""Whether two texts are the same ratio (`2:3` is `4:6`, `2 to 3` and `\frac{2}{3}`); None if neither is one.

    Where the gold may be a time of day (1:15), all numbers have to be the same.
    """
    golds, answers = _parts(gold), _parts(answer)
    if len(golds) == len(answers) == 1 or not all(golds) or not all(answers):
        return None
    if len(answers) == 1 and len(golds) == 2:
        answers = _parts(_TO.sub(":", answer))
        if len(answers) == 1:
            return same(f"\\frac{{{golds[0]}}}{{{golds[1]}}}", answer)
    if len(golds) == 1 and len(answers) == 2:
        golds = _parts(_TO.sub(":", gold))
        if len(golds) == 1:
            return same(gold, f"\\frac{{{answers[0]}}}{{{answers[1]}}}")
    if len(golds) != len(answers):
        return False
    if _looks_like_time(gold):
        return every(same(g, a) for g, a in zip(golds, answers, strict=True))
    first_gold, first_answer = golds[0], answers[0]
    return every(
        same(f"({g})({first_answer})", f"({a})({first_gold})") for g, a in zip(golds[1:], answers[1:], strict=True)
    )


def _read_time(text: str) -> tuple[tuple[int, int, int], bool] | None:
    """Hour (of 24 where am or pm is said), minute and second, and whether it is said."""
    match = _TIME.fullmatch(text.strip())
    if match is None or (match["minute"] is None and match["half"] is None):
        return None
    hour = int(match["hour"])
    if match["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (match["half"].lower() == "p")
    return ((hour, int(match["minute"] or 0), int(match["second"] or 0)), bool(match["half"])) if hour <= 24 else None


def _looks_like_time(text: str) -> bool:
    match = _TIME.fullmatch(text.strip())
    return match is not None and match["minute"] is not None and int(match["hour"]) <= 24


def _month(name: str) -> int:
    return next(index for index, month in enumerate(_MONTHS, 1) if month.startswith(name[:3].lower()))


def _exists(year: int | None, month: int, day: int) -> bool:
    try:
        date(year or _ANY_YEAR, month, day)
    except ValueError:
        return False
    return True


def _parts(text: str) -> list[str]:
    return pieces(text, _COLON)[0]
