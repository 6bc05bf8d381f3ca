"""Answers to questions with options: letters, several letters, a letter with its text, or an option's text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from metis_rise.problems.answers import MAX_CHOICES, letter_of, read_letters
from metis_rise.verifier.normal import folded, normal

_OPTION_WORD = re.compile(r"(?:options?|choices?|answers?)\s*:?\s+(?=\(?[A-Za-z]\)?(?![A-Za-z]))", re.IGNORECASE)
# What goes on with another letter, as `(A) or (B)`, is no text of an option.
_LETTER_AND_TEXT = re.compile(
    r"(?:\(([A-Za-z])\)\s*|([A-Za-z])[).:]\s*|([A-Z])\s+-\s+)"
    r"((?![/,;&]|\([A-Z]\)|(?:or|and) )\S.*)",
    re.DOTALL,
)
# Several letters without anything between them.
_RUN = re.compile(r"[A-J]{2,10}")
_LABEL = re.compile(r"(?:\([A-J]\)|[A-J][).:])(?! ?[+*/^=<>]|-| - )|[A-J] - ")

Compare = Callable[[str, str], bool]


def same_choice(gold: str, answer: str, choices: Sequence[str] | None, same: Compare) -> tuple[bool, str]:
    """Whether `answer` names the option `gold`, and the rule that decided.

    Args:
        gold: a letter, or letters joined by ", "; an option's text where no letter.
        answer: as extracted.
        choices: the options' texts, None if they are in the picture.
        same: whether two already `normal` texts mean the same.
    """
    options = {} if choices is None else {letter_of(i): normal(c) for i, c in enumerate(choices[:MAX_CHOICES])}
    wanted = read_letters(normal(gold))
    if wanted is None or (options and not set(wanted) <= set(options)):
        wanted = _options_of(normal(gold), options, same)
        if len(wanted) != 1:
            return False, "gold is no option"
    text = _OPTION_WORD.sub("", normal(answer), count=1)
    run = len(wanted) > 1 and len(set(text)) == len(text) and _RUN.fullmatch(text) is not None
    given = tuple(sorted(text)) if run else read_letters(text)
    if given is not None and (given == wanted or len(given) == 1):
        return given == wanted, "option letter"
    labelled = labelled_text(text)
    if labelled and not options:
        return (labelled[0],) == wanted, "option letter with text"
    if labelled and labelled[0] in options:
        if same(options[labelled[0]], labelled[1]):
            return (labelled[0],) == wanted, "option letter with its text"
        if any(same(option, labelled[1]) for option in options.values()):
            return False, "option letter with another option's text"
    matches = _options_of(text, options, same)
    if len(matches) == 1:
        return matches == wanted, "option text"
    return False, "fits several options" if matches else "no option"


def labelled_text(text: str) -> tuple[str, str] | None:
    """The letter and the text of `(B) 7`, `B. 7`, `B: 7` or `B - seven`, or None."""
    match = _LETTER_AND_TEXT.fullmatch(text)
    return None if match is None else ((match[1] or match[2] or match[3]).upper(), match[4])


def text_with_label(text: str) -> tuple[str, str] | None:
    """Like `labelled_text` where no options are known: capitals up to J only, so that `x: y` stays a ratio."""
    return labelled_text(text) if _LABEL.match(text) else None


def _options_of(text: str, options: dict[str, str], same: Compare) -> tuple[str, ...]:
    return tuple(letter for letter, option in options.items() if folded(option) == folded(text)) or tuple(
        letter for letter, option in options.items() if same(option, text)
    )
