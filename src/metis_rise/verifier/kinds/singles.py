"""Whether two single values, neither a list nor a relation, are the same by rules that cost microseconds."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from metis_rise.verifier import algebra
from metis_rise.verifier.kinds.bases import same_in_base
from metis_rise.verifier.kinds.matching import Same
from metis_rise.verifier.kinds.moments import same_moment, same_ratio
from metis_rise.verifier.kinds.quantities import Quantity, factor_between, read_quantity
from metis_rise.verifier.kinds.words import has_words, named_number, same_words
from metis_rise.verifier.normal import tight
from metis_rise.verifier.numbers import Number, read_number, same_number

_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]{1,2}|-?[0-9]+,[0-9]{4,}")
_PLAIN_DECIMAL = re.compile(r"-?[0-9]+\.[0-9]+")
_TIMES = re.compile(r" |\\(?:cdot|times)(?![A-Za-z])|\*")
_PRODUCT = re.compile(rf"[A-Za-z]{{2,8}}|[A-Za-z](?:(?:{_TIMES.pattern}){{1,3}}[A-Za-z]){{1,7}}")
_OPTIONS = "abcdefghij"
_REMEMBERED = 4096


def same_single(gold: str, answer: str) -> Same:
    """Whether two already `normal` single values are the same; None where these rules do not know."""
    if gold == answer:
        return bool(gold)
    if not gold or not answer:
        return False
    numbers = read_number(gold), read_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return same_number(numbers[0], numbers[1])
    if tight(gold) == tight(answer) or _same_letters(gold, answer):
        return True
    known = same_moment(gold, answer)
    if known is None:
        known = same_in_base(gold, answer)
    if known is not None:
        return known
    gold, answer = named_number(gold) or gold, named_number(answer) or answer
    if has_words(gold) and same_words(gold, answer):
        return True
    wanted, given = read_quantity(gold), read_quantity(answer)
    if not (wanted.bare and given.bare):
        return _same_quantity(wanted, given, gold, answer)
    ratio = same_ratio(gold, answer, _same_expression) if ":" in gold or ":" in answer else None
    return _same_body(gold, answer) if ratio is None else ratio


def same_comma_decimal(gold: str, answer: str) -> bool:
    """Whether `answer` is the decimal number `gold` written with a comma (3,14), all digits the same."""
    if not _PLAIN_DECIMAL.fullmatch(gold) or not _DECIMAL_COMMA.fullmatch(answer):
        return False
    return answer.replace(",", ".") == gold


def _same_quantity(gold: Quantity, answer: Quantity, gold_text: str, answer_text: str) -> Same:
    factor = factor_between(gold, answer)
    if factor is None or gold_text.endswith("%") or answer_text.endswith("%"):
        return False
    # A gold `5m` may be 5 times m, and then is not 5; an answer of 5 m to a gold of 5 is.
    if (not gold.sure and answer.bare) or (not answer.sure and gold.bare and read_number(answer.body) is None):
        return _same_body(gold_text, answer_text)
    if factor == 1:
        return _same_body(gold.body, answer.body)
    wanted, given = read_number(gold.body), read_number(answer.body)
    if wanted is None or given is None:
        return _same_expression(gold.body, f"({answer.body})*({factor})")
    # In other units a whole number is meant exactly: 0.5 m is 50 cm but not 54 cm.
    exact = given.decimals is None and given.value.denominator == 1
    if exact:
        wanted = replace(wanted, decimals=None)
    return same_number(wanted, replace(given, value=given.value * factor, decimals=None))


def _same_body(gold: str, answer: str) -> Same:
    numbers = read_number(gold), read_number(answer)
    if numbers[0] is not None and numbers[1] is not None:
        return same_number(numbers[0], numbers[1])
    if len(gold) == len(answer) == 1 and gold.isalpha():
        # R and r are two things, but a small letter may be meant for an option.
        return gold in _OPTIONS and answer == gold.upper()
    if has_words(gold) or has_words(answer):
        return same_words(gold, answer)
    if not _cases_matter(gold) and same_words(gold, answer):
        return True
    return _same_expression(gold, answer)


def _same_letters(gold: str, answer: str) -> bool:
    r"""Whether both are the same letters, with or without signs of multiplication: `xy`, `x y`, `x \cdot y`."""
    if not _PRODUCT.fullmatch(gold) or not _PRODUCT.fullmatch(answer):
        return False
    return _TIMES.sub("", gold) == _TIMES.sub("", answer)


def _cases_matter(text: str) -> bool:
    """Whether `text` is a formula, in which R and r are two things."""
    return any(not (character.isalpha() or character in " ',-") for character in text)


def _same_expression(gold: str, answer: str) -> Same:
    if tight(gold) == tight(answer):
        return True
    first, second = _read(gold), _read(answer)
    if first is None or second is None:
        return None
    if read_number(gold) is not None or read_number(answer) is not None:
        wanted, given = value_of(gold), value_of(answer)
        if wanted is not None and given is not None:
            return same_number(wanted, given)
    return algebra.same(first, second)


def value_of(text: str) -> Number | None:
    """The number that an already `normal` text is or comes to; a power or a root comes to 40 digits at least."""
    number = read_number(text)
    if number is not None:
        return number
    expression = _read(text.removesuffix("%").strip())
    constant = None if expression is None else algebra.constant(expression)
    return None if constant is None else Number(constant.value, percent=text.endswith("%"))


@lru_cache(maxsize=_REMEMBERED)
def _read(text: str) -> algebra.Expression | None:
    return algebra.read(text)
