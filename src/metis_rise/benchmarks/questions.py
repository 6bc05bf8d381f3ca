"""The bare question: without the hint and the options that a data file has written into it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.problems.answers import letter_of
from metis_rise.problems.prompt import arrange, without_markers

_HINT = re.compile(r"\A\s*Hint: ?Please [^\n]*\n\s*")
_QUESTION = re.compile(r"\A\s*Question: ?")
_HEADING = re.compile(r"\s*(?:Choices|Options) ?:\s*\Z", re.IGNORECASE)
_LABELS = ("({})", "{}.", "{}:", "{})")


def bare(text: str, choices: Sequence[str]) -> tuple[str, tuple[str, ...] | None]:
    """A data file's question without what it holds beside the question, and the options to show below it.

    A hint line, "Question:" and options at the end are cut off where they are found. Options that stand in the
    question in another place stay there: then the options to show are letters only, which a prompt leaves out.

    Args:
        text: the cell.
        choices: the options' texts, none for a free question.

    Returns:
        The question, and the options or None for a free question.
    """
    question = _QUESTION.sub("", _HINT.sub("", text)).strip()
    if not choices:
        return question, None
    shown = tuple(choices)
    packed = _joined(question)
    for label in _LABELS:
        options = _labelled(label, choices)
        if packed.endswith(_joined(*options)):
            return _HEADING.sub("", _without_end(question, len(_joined(*options)))).strip(), shown
        if all(_joined(option) in packed for option in options):
            return question, tuple(letter_of(index) for index in range(len(choices)))
    return question, shown


def placed(question: str, pictures: int) -> str:
    """`question` with its picture markers, or with words for them where they do not fit so many pictures.

    MATH-Vision has one picture for each question, which may show what several markers name.
    """
    try:
        arrange(question, pictures)
    except ValueError:
        return without_markers(question)
    return question


def _labelled(label: str, choices: Sequence[str]) -> list[str]:
    return [label.format(letter_of(index)) + choice for index, choice in enumerate(choices)]


def _joined(*texts: str) -> str:
    """The texts without any space: files break and indent options as they like."""
    return "".join("".join(texts).split())


def _without_end(text: str, characters: int) -> str:
    """`text` without its last so many characters that are no spaces."""
    places = [place for place, character in enumerate(text) if not character.isspace()]
    return text[: places[len(places) - characters]]
