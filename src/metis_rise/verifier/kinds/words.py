"""Answers in words: articles, case, punctuation and plurals aside, yes and no, numbers by name."""

from __future__ import annotations

import re

from metis_rise.verifier.normal import folded

_ARTICLE = re.compile(r"(?:^|(?<=\s))(?:a|an|the)\s(?=[a-z]{2})")
_LAST_WORD = re.compile(r"[a-z]*$")
_PUNCTUATION = re.compile(r"[\"\u201c\u201d`?]|[.,;:](?=\s|$)|(?<=[a-z]{2})!$")
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_COMMAND = re.compile(r"\\[A-Za-z]+|_\{[^{}]*\}|_\w+")
_RUN = re.compile(r"[A-Za-z]{2,}")
_MATH_NAMES = (
    "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp sqrt pi lim max min gcd lcm mod det abs "
    "deg dx dy dt"
)
_MATH_WORDS = frozenset(_MATH_NAMES.split())
_ONLY_WORDS = re.compile(r"[A-Za-z][A-Za-z '.,!?-]*")
_SINGLE_LETTERS = re.compile(r"[A-Za-z](?: [A-Za-z])+")
_GROUPS = (
    ("yes", "true"),
    ("no", "false"),
    (r"\emptyset", "empty set", "no solution", "no solutions", r"\{\}", "none"),
    ("undefined", "does not exist", "dne"),
)
_SYNONYM = {word: group[0] for group in _GROUPS for word in group}
_SMALL_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL, _TENS = _SMALL_NAMES.split(), _TENS_NAMES.split()
_NAMED = {name: value for value, name in enumerate(_SMALL)} | {
    f"{name}{'-' * bool(rest)}{rest}": 10 * (tens + 2) + value
    for tens, name in enumerate(_TENS)
    for value, rest in enumerate(["", *_SMALL[1:10]])
}
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_ORDINAL = re.compile(r"(?<![0-9a-z])(10|[1-9])(?:st|nd|rd|th)(?![a-z])")
_PARTS = {name: value for value, name in enumerate(_ORDINALS, 1) if value > 2}
_PARTS |= {"half": 2, "halve": 2, "quarter": 4}
_SHARE = re.compile(rf"(an?|{'|'.join(_SMALL[1:11])})[ -]({'|'.join(_PARTS)})s?")
_MIN_PLURAL = 5


def has_words(text: str) -> bool:
    """Whether an already `normal` text says something in words, so that it is no formula."""
    if _ONLY_WORDS.fullmatch(text) and len(text) > 1 and not _SINGLE_LETTERS.fullmatch(text):
        return text.lower() not in _MATH_WORDS
    runs = [run for run in _RUN.findall(_COMMAND.sub(" ", text)) if run.lower() not in _MATH_WORDS]
    return any(len(run) > 3 for run in runs) or (" " in text and any(run.islower() and len(run) > 2 for run in runs))


def same_words(gold: str, answer: str) -> bool:
    """Whether two already `normal` texts say the same; a plural of a word of five letters or more does."""
    first, second = _plain(gold), _plain(answer)
    if not first or not second or (_is_segment(gold) != _is_segment(answer) and first not in _SYNONYM):
        return False
    if first == second or _SYNONYM.get(first, first) == _SYNONYM.get(second, second):
        return True
    short, long = sorted((first, second), key=len)
    word = _LAST_WORD.search(short)
    return long == f"{short}s" and word is not None and len(word[0]) >= _MIN_PLURAL and not word[0].endswith("s")


def named_number(text: str) -> str | None:
    """The digits of a number below a hundred that is written in words (`twenty-one`, `ten percent`, `two thirds`)."""
    share = _SHARE.fullmatch(text.casefold())
    if share:
        return f"{1 if share[1][0] == 'a' else _NAMED[share[1]]}/{_PARTS[share[2]]}"
    number = text.casefold().removesuffix(" percent")
    value = _NAMED.get(number.replace(" ", "-"))
    return None if value is None else f"{value}{'%' * (len(number) < len(text))}"


def _is_segment(text: str) -> bool:
    """Whether `text` is two capitals, such as the segment AB."""
    return len(text) == 2 and text.isalpha() and text.isupper()


def _plain(text: str) -> str:
    text = _PUNCTUATION.sub("", _ARTICLE.sub("", _HYPHEN.sub(" ", text.casefold())))
    text = _ORDINAL.sub(lambda match: _ORDINALS[int(match[1]) - 1], text)
    return folded(" ".join(text.split()))
