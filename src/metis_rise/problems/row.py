"""One row of a problem file: its fields, each read with its type checked and its fault named."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from metis_rise.errors import InputError
from metis_rise.problems.answers import MAX_ANSWER_CHARS, MAX_CHOICES, letter_of, option_letter, read_letters
from metis_rise.problems.paths import PathFault, find_file
from metis_rise.problems.prompt import control_token
from metis_rise.types import AnswerType

FIELDS = ("id", "images", "question", "choices", "answer", "answer_type", "source", "split", "meta", "solution")

ALIASES: Mapping[str, AnswerType] = {
    alias: kind
    for kind, aliases in {
        AnswerType.CHOICE: "choice multiple_choice multi_choice single_choice multichoice mcq mc option letter",
        AnswerType.NUMBER: "number numeric numerical integer int integer_number float decimal decimal_number "
        "fraction percent percentage",
        AnswerType.TEXT: "text string str free_form freeform open open_ended short_answer expression formula "
        "equation latex list tuple interval yes_no",
    }.items()
    for alias in aliases.split()
}
"""Every answer type that a row may name, lower case with `_` for spaces and hyphens."""


class RowFault(InputError):
    """What is wrong with one row. `reason` is the fault without what is the row's own, for counting."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def known_type(name: str) -> AnswerType | None:
    """The answer type of a name or alias, whatever its case, spaces and hyphens; None for an unknown one."""
    return ALIASES.get(_key(name))


def _key(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Row:
    """A JSON object of a file; every method raises a RowFault that names the file, the row and the mend.

    `files` are the pictures of a row that lay inside of its file; None where the record names them.
    """

    path: Path
    number: int
    record: Mapping[str, Any]
    files: tuple[Path, ...] | None = None

    def fault(self, what: str, mend: str, reason: str = "") -> RowFault:
        """The error to raise: one line with the file, the row, what is wrong and how to mend it.

        `reason` is `what` without what is the row's own; left out where that is the same.
        """
        return RowFault(f"{self.path}, row {self.number}: {what}; {mend}", reason or what)

    def check_fields(self) -> None:
        """Refuse a field that is almost a known one that the row lacks: its content would be lost unseen."""
        for name in self.record:
            if name not in FIELDS:
                near = difflib.get_close_matches(name.lower(), [f for f in FIELDS if f not in self.record], 1, 0.8)
                if near:
                    mend = f"rename it to {near[0]!r}, or move it into meta"
                    raise self.fault(f"unknown field {_shown(name)}", mend, "unknown field")

    def text(self, field: str) -> str:
        """A string field, stripped, "" if it is missing or null."""
        value = self.record.get(field)
        if value is not None and not isinstance(value, str):
            raise self.fault(f"{field} is {_kind(value)}", f"write {field} as a string")
        return (value or "").strip()

    def id(self) -> str:
        """The row's id, or one made from the hash of its content."""
        value = self.record.get("id")
        if value is None:
            content = json.dumps(self.record, sort_keys=True).encode()
            return f"{self.path.stem}-{hashlib.sha256(content).hexdigest()[:12]}"
        if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
            raise self.fault(
                f"id is {_shown(value)}", "write a non-empty string, or leave id out", "id of another type"
            )
        return str(value).strip()

    def question(self) -> str:
        """The question, which must be there."""
        text = self.text("question")
        if not text:
            raise self.fault("question is missing or empty", "write the question as a string")
        return self._without_controls("question", text)

    def _without_controls(self, field: str, text: str) -> str:
        """`text`, refused when it holds a chat or picture token, which the tokenizer would obey."""
        if found := control_token(text):
            what = f"{field} holds the control token {found}"
            raise self.fault(what, "write it in another way", f"{field} holds a control token")
        return text

    def answer_type(self) -> AnswerType:
        """The answer type behind whichever alias the row uses."""
        name = self.text("answer_type")
        kind = known_type(name)
        if kind is not None:
            return kind
        near = difflib.get_close_matches(_key(name), ALIASES, 1)
        mend = f"did you mean {near[0]!r}? " if near else ""
        what = f"unknown answer_type {_shown(name)}" if name else "answer_type is missing"
        reason = "unknown answer_type" if name else what
        raise self.fault(what, f"{mend}known: choice, number, text and their aliases in docs/data.md", reason)

    def choices(self, kind: AnswerType) -> tuple[str, ...] | None:
        """The option texts without their own letters, or None."""
        value = self.record.get("choices")
        if value is None:
            return None
        if not isinstance(value, list) or not all(is_plain(choice) and str(choice).strip() for choice in value):
            raise self.fault("choices is not a list of non-empty texts", "write a list of option texts, or null")
        if kind is not AnswerType.CHOICE:
            raise self.fault(f"choices are given but answer_type is {kind.value!r}", "use 'choice', or null choices")
        if not 2 <= len(value) <= MAX_CHOICES:
            what = f"choices has {len(value)} options"
            raise self.fault(what, f"give 2 to {MAX_CHOICES}, or null", "too few or too many choices")
        texts = without_letters(tuple(str(choice).strip() for choice in value))
        return tuple(self._without_controls("choices", text) for text in texts)

    def answer(self, kind: AnswerType, choices: tuple[str, ...] | None) -> str:
        """The gold answer as text; for a choice its letter, or letters joined by ", "."""
        value = self.record.get("answer")
        if value is None or value == "":
            raise self.fault("answer is missing or empty", "write the gold answer")
        if not is_plain(value):
            raise self.fault(f"answer is {_kind(value)}", "write it as a string or a number")
        if choices is not None and not isinstance(value, str) and value in range(len(choices) + 1):
            # It may be meant as the place of an option, from 0 or from 1, or as an option's text.
            what = f"answer is the number {value} beside choices"
            raise self.fault(what, "write the letter or the text, as a string", "answer is a number beside choices")
        text = str(value).strip()
        if not text:
            raise self.fault("answer is missing or empty", "write the gold answer")
        if len(text) > MAX_ANSWER_CHARS:
            what = f"answer has {len(text)} characters"
            raise self.fault(what, f"write one of at most {MAX_ANSWER_CHARS}", "answer too long")
        return self._choice_answer(text, choices) if kind is AnswerType.CHOICE else text

    def _choice_answer(self, text: str, choices: tuple[str, ...] | None) -> str:
        known = set(ascii_uppercase) if choices is None else {letter_of(index) for index in range(len(choices))}
        upper = read_letters(text, any_case=False)
        by_text = option_letter(text, choices or ())
        if by_text is None and choices is not None:
            # As the row has them, each with its own letter.
            by_text = option_letter(text, [str(choice) for choice in self.record.get("choices") or ()])
        letters = read_letters(text)
        if upper is not None and len(upper) == 1 and known.issuperset(upper):
            return upper[0]
        if by_text is not None:
            return by_text
        if letters is not None and known.issuperset(letters):
            return ", ".join(letters)
        if choices is None:
            what, mend = "no option letter", "write the letter, give choices, or use answer_type text"
        else:
            what, mend = "none of the choices", f"write a letter from A to {letter_of(len(choices) - 1)}, or one text"
        raise self.fault(f"answer {_shown(text)} is {what}", mend, f"answer is {what}")

    def images(self) -> tuple[Path, ...]:
        """The picture files; each is there, in the folder of the row's file or below it."""
        if self.files is not None:
            return self.files
        value = self.record.get("images")
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
            raise self.fault("images is not a list of paths", 'write a list such as ["images/1.png"], or leave it out')
        return tuple(self._image(name) for name in value)

    def _image(self, name: str) -> Path:
        try:
            return find_file(self.path.parent, name)
        except PathFault as error:
            raise self.fault(error.what, error.mend, error.reason) from error

    def meta(self) -> dict[str, Any]:
        """The row's meta with its split and every field that is not of the schema."""
        value = self.record.get("meta")
        if value is not None and not isinstance(value, dict):
            raise self.fault(f"meta is {_kind(value)}", "write an object, or leave meta out")
        extra = {name: content for name, content in self.record.items() if name not in FIELDS}
        split = self.text("split")
        return extra | ({"split": split} if split else {}) | (value or {})

    def solution(self, meta: Mapping[str, Any]) -> str | None:
        """The worked solution from `solution`, else from `meta.solution`."""
        own = self.text("solution")
        inner = meta.get("solution")
        if inner is not None and not isinstance(inner, str):
            raise self.fault(f"meta.solution is {_kind(inner)}", "write the worked solution as a string")
        text = own or (inner or "").strip()
        return self._without_controls("solution", text) if text else None

    def family(self, meta: Mapping[str, Any]) -> str:
        """`meta.family`, else the file's name without its ending."""
        value = meta.get("family")
        if value is not None and not (isinstance(value, str) and value.strip()):
            mend = "write a non-empty string, or leave it out"
            raise self.fault(f"meta.family is {_shown(value)}", mend, "meta.family of another type")
        return value.strip() if value else self.path.stem

    def level(self, meta: Mapping[str, Any]) -> int:
        """`meta.level` where it is a whole number, else 0: some data sets have words there."""
        value = meta.get("level")
        return value if isinstance(value, int) and not isinstance(value, bool) else 0


def is_plain(value: object) -> bool:
    """Whether a JSON value is a string or a number."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def without_letters(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Options such as `A. three`, `(B) four` without the letter, if each one carries its own."""
    bare = []
    for index, text in enumerate(choices):
        head, _, rest = text.partition(" ")
        if len(head) == 1 or read_letters(head) != (letter_of(index),) or not rest.strip():
            return choices
        bare.append(rest.strip())
    return tuple(bare)


def _kind(value: object) -> str:
    names = {bool: "true/false", list: "a list", dict: "an object", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), "null")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
