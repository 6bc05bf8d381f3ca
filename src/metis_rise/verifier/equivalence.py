"""Whether an answer means the same as the gold answer.

Exact rules first (see `kinds`), then our own algebra; what neither proves nor refutes goes to a symbolic checker, one
single value at a time. So the checker never sees lists, intervals, relations, words or units, where it errs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from metis_rise.problems.answers import read_letters
from metis_rise.types import AnswerType
from metis_rise.verifier.kinds.choices import same_choice, text_with_label
from metis_rise.verifier.kinds.compare import same_value
from metis_rise.verifier.kinds.matching import Same
from metis_rise.verifier.kinds.quantities import read_quantity
from metis_rise.verifier.kinds.singles import same_comma_decimal, same_single
from metis_rise.verifier.kinds.values import Listing, Matrix, Relation, Union, Value, read_value
from metis_rise.verifier.kinds.words import has_words, same_words
from metis_rise.verifier.normal import normal
from metis_rise.verifier.numbers import read_number, same_number
from metis_rise.verifier.symbolic import symbolic_same

MAX_CHARS = 1000
"""Longer texts are never the same."""

Symbolic = Callable[[str, str], bool | None]
"""Whether an answer means a gold, None where it does not say."""

# What one verdict may ask of the symbolic checker, each time up to its deadline.
_MAX_QUESTIONS = 4
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_OTHER_SIGNS = re.compile(r"[^A-Za-z0-9\\{}()\[\]|+\-*/^_.,=!' ]")
# What math-verify is known to read; of what it does not know it may drop a part.
_SYMBOLIC_COMMANDS = (
    "frac sqrt binom cdot times div pi infty sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp "
    "int sum prod lim to left right alpha beta gamma delta epsilon theta lambda mu phi omega sigma rho tau rightarrow "
    "min max gcd lcm lfloor rfloor lceil rceil overline det"
)

_KNOWN = frozenset(_SYMBOLIC_COMMANDS.split())
_INDEX = re.compile(r"_\{[^{}]*\}")
# What math-verify reads as something else: 3 5 as 8, (a) 5 as 5a, 101_2 as 101, f' as f.
_MISREAD = re.compile(r"(?<![\^_])[0-9] +[0-9]|\) ?[0-9]|'|[^A-Za-z\\]_|!!")
_OF_SEVERAL = re.compile(r"\\(?:gcd|lcm|min|max) ?\([^()]*\)")


def equivalent(
    gold: str,
    answer: str,
    answer_type: AnswerType,
    choices: Sequence[str] | None = None,
    symbolic: Symbolic | None = symbolic_same,
) -> tuple[bool, str]:
    """Whether `answer` means `gold`, and the rule that decided.

    Args:
        gold: of a choice a letter, or letters joined by ", ".
        answer: as extracted; over 1,000 characters it is never the same.
        answer_type: the comparison of options applies to choices only.
        choices: the options' texts where there are any.
        symbolic: asked of single values that the rules cannot tell apart; None asks nobody.
    """
    if len(answer) > MAX_CHARS or len(gold) > MAX_CHARS:
        return False, f"longer than {MAX_CHARS} characters"
    if answer_type is AnswerType.CHOICE:
        return same_choice(gold, answer, choices, lambda g, a: _same_unlabelled(g, a, None)[0])
    return _same_text(normal(gold), normal(answer), symbolic)


def _same_text(gold: str, answer: str, symbolic: Symbolic | None) -> tuple[bool, str]:
    """Like `_same_unlabelled`, with option letters before a text."""
    if gold != answer and gold and answer:
        labels = text_with_label(gold), text_with_label(answer)
        if any(labels):
            return _same_labelled(gold, answer, labels, symbolic)
    return _same_unlabelled(gold, answer, symbolic)


def _same_unlabelled(gold: str, answer: str, symbolic: Symbolic | None) -> tuple[bool, str]:
    if not gold or not answer:
        return False, "empty"
    if gold == answer:
        return True, "identical"
    wanted, given = read_number(gold), read_number(answer)
    if wanted is not None and given is not None:
        return same_number(wanted, given), "number"
    if same_comma_decimal(gold, answer):
        return True, "decimal comma"
    if has_words(gold) and same_words(gold, answer):
        return True, "words"
    return _same_values(gold, answer, symbolic)


def _same_values(gold: str, answer: str, symbolic: Symbolic | None) -> tuple[bool, str]:
    wanted, given = read_value(gold), read_value(answer)
    kind = _kind(wanted)
    same = same_value(wanted, given, same_single)
    if same is not None or symbolic is None:
        return same is True, kind if same is not None else f"{kind}, undecided"
    asked = _Asked(symbolic)
    same = same_value(wanted, given, asked)
    return same is True, f"{kind}, symbolic" if same is not None else f"{kind}, undecided"


def _same_labelled(
    gold: str, answer: str, labels: tuple[tuple[str, str] | None, tuple[str, str] | None], symbolic: Symbolic | None
) -> tuple[bool, str]:
    r"""`A: 40` for a gold of `40`, and back; `A` for a gold of `A: 40`, never another letter."""
    whole, _ = _same_unlabelled(gold, answer, None)
    if whole:
        return True, "option letter with text"
    wanted, given = labels
    letters = [label[0] if label else None for label in labels]
    if wanted and not given and read_letters(answer) is not None:
        return read_letters(answer) == (letters[0],), "option letter"
    if wanted and given and letters[0] != letters[1]:
        return False, "another option letter"
    same, why = _same_unlabelled(wanted[1] if wanted else gold, given[1] if given else answer, symbolic)
    return same, f"option letter with text, {why}"


class _Asked:
    """The rules for single values, with a symbolic checker behind them that is asked a few times at most."""

    def __init__(self, symbolic: Symbolic) -> None:
        self._symbolic = symbolic
        self._left = _MAX_QUESTIONS

    def __call__(self, gold: str, answer: str) -> Same:
        same = same_single(gold, answer)
        if same is not None or self._left == 0 or not (_is_formula(gold) and _is_formula(answer)):
            return same
        self._left -= 1
        return self._symbolic(gold, answer)


def _is_formula(text: str) -> bool:
    """Whether `text` is mathematics without a unit that math-verify reads as a whole."""
    if has_words(text) or not read_quantity(text).bare or _MISREAD.search(text):
        return False
    if _OTHER_SIGNS.search(_COMMAND.sub(" ", text)):
        return False
    if "=" in _INDEX.sub("", text) or ("," in text and not _OF_SEVERAL.search(text)):
        return False
    balanced = all(text.count(opening) == text.count(closing) for opening, closing in ("{}", "()", "[]"))
    return balanced and _KNOWN.issuperset(_COMMAND.findall(text))


def _kind(value: Value) -> str:
    kinds = ((Listing, "list"), (Union, "union"), (Matrix, "matrix"), (Relation, "relation"))
    return next((name for shape, name in kinds if isinstance(value, shape)), "value")
