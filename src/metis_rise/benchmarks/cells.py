"""What is written in a cell: lists, dicts, numbers and the option columns A, B, ...; never evaluated as code.

Every fault is an InputError that names file, row, index, column, the value and the mend.
"""

from __future__ import annotations

import ast
import io
import tokenize
import warnings
from collections.abc import Mapping
from itertools import pairwise
from string import ascii_uppercase
from typing import Any

from metis_rise.benchmarks.base import Row
from metis_rise.errors import InputError
from metis_rise.json_text import parse_json

MAX_CHARS = 200_000
"""A list or dict that is longer is refused unread."""

SHOWN_CHARS = 80
"""So much of a bad value is shown in an error."""

EMPTY = ("", "nan", "NaN", "-nan", "-NaN", "<NA>")
"""How pandas writes, and others print, a cell without a value."""

EMPTY_FOR_PANDAS = (*EMPTY, "None", "NA", "N/A", "n/a", "NULL", "null", "#N/A", "#NA")
"""What pandas, with which VLMEvalKit reads, takes for no value either; a question or an answer may say so."""

_UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def fault(row: Row, column: str, what: str, mend: str) -> InputError:
    """The error for a cell: `what` is wrong with it and how to `mend` it."""
    value = row[column]
    shown = repr(value if len(value) <= SHOWN_CHARS else value[:SHOWN_CHARS] + "...")
    return InputError(f"{row.place}: column {column!r} is {shown}: {what}; {mend}")


def text(row: Row, column: str) -> str:
    """The cell without the blanks around it. Raises InputError where it is empty."""
    value = row[column].strip()
    if value in EMPTY:
        raise fault(row, column, "the cell is empty", "fill it in, or take the row out")
    return value


def integer(row: Row, column: str) -> int | None:
    """The whole number in a cell ("2" or, as pandas writes it beside empty cells, "2.0"); None where it is empty."""
    value = row[column].strip()
    if value in EMPTY_FOR_PANDAS:
        return None
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise fault(row, column, "not a whole number", "write digits only") from None
    return int(number)


def strings(row: Row, column: str) -> tuple[str, ...]:
    """The list in a cell, a Python or a JSON literal, numbers turned into text; () for an empty cell or None."""
    value = _literal(row, column)
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise fault(row, column, "not a list", "write a list such as ['3', '5']")
    if not all(isinstance(each, str | int | float) for each in value):
        raise fault(row, column, "not a list of texts and numbers", "write a list such as ['3', '5']")
    return tuple(str(each) for each in value)


def mapping(row: Row, column: str) -> Mapping[str, Any]:
    """The dict in a cell, a Python or a JSON literal; {} for an empty cell or None."""
    value = _literal(row, column)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise fault(row, column, "not a dict with texts as keys", "write a dict such as {'split': 'testmini'}")
    return value


def options(row: Row, required: bool = False) -> tuple[str, ...]:
    """The texts in the columns A, B, ... without the blanks around them, as many as are filled in.

    "None" and the like are the text of an option where another one follows, else no option, as pandas has it.

    Args:
        row: the row.
        required: no option, or one alone, is an error.

    Raises:
        InputError: an empty column before a filled one, which would move the letters; too few of `required` ones.
    """
    found = [row[letter].strip() for letter in ascii_uppercase]
    texts = ["" if each in EMPTY else each for each in found]
    count = max((place for place, each in enumerate(texts, 1) if each not in EMPTY_FOR_PANDAS), default=0)
    for letter, each in zip(ascii_uppercase[:count], texts, strict=False):
        if not each:
            raise fault(row, letter, f"empty, but column {ascii_uppercase[count - 1]} holds an option", "fill it in")
    if required and count < 2:
        here = [letter for letter in ascii_uppercase if letter in row.cells]
        where = f"{count} of the option columns {', '.join(here)}" if here else "there are no option columns A, B, ..."
        what = f"{where} is filled in" if here else where
        raise InputError(f"{row.place}: a question with options needs at least two, {what}; fill them in")
    return tuple(texts[:count])


def _literal(row: Row, column: str) -> Any:
    """The value that a cell spells out, as JSON or else as Python; None for an empty cell."""
    value = row[column].strip()
    if value in EMPTY_FOR_PANDAS:
        return None
    if len(value) > MAX_CHARS:
        raise fault(row, column, f"{len(value)} characters, more than {MAX_CHARS}", "shorten it")
    try:
        return parse_json(value)
    except ValueError:  # Python literals, such as lists in single quotes, come next
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes such as '\s', which stand for themselves
            found = ast.literal_eval(value)
    except _UNREADABLE:
        raise fault(row, column, "not a Python or JSON literal", "write it as Python prints it") from None
    if _lacks_comma(value):
        raise fault(row, column, "two texts without a comma between them", "write the list with commas")
    return found


def _lacks_comma(value: str) -> bool:
    """Whether two texts stand side by side: numpy prints lists so, and Python would read them as one text."""
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(value).readline)]
    kinds = [kind for kind in kinds if kind not in (tokenize.NL, tokenize.NEWLINE)]
    return any(kind == after == tokenize.STRING for kind, after in pairwise(kinds))
