"""Footnotes of a table."""

from __future__ import annotations

from string import ascii_lowercase


class Notes:
    """Texts in the order of their first use, each with a mark: a, b, ... z, aa, ab. Equal texts share one."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """The mark of `text`."""
        return self._marks.setdefault(text, _letters(len(self._marks)))

    def listed(self) -> tuple[tuple[str, str], ...]:
        """(mark, text), in the order of the marks."""
        return tuple((mark, text) for text, mark in self._marks.items())


def _letters(number: int) -> str:
    """Letters that count like the columns of a spreadsheet, from 0."""
    before, last = divmod(number, len(ascii_lowercase))
    return (_letters(before - 1) if before else "") + ascii_lowercase[last]
