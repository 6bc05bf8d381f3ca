"""One row of another tool's file as a row of our own schema.

What is understood: the columns of verl (`prompt`, `reward_model`, `extra_info`), of EasyR1 (`problem`, `answer`), chats
as LLaMA-Factory and OpenAI write them (`conversations`, `messages`), and our own names without an answer type.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metis_rise.foreign.chat import MARKER, Chat, read_chat
from metis_rise.foreign.pictures import COLUMNS, find_pictures, holds_bytes, is_picture_column
from metis_rise.json_text import parse_json
from metis_rise.problems.answers import MAX_CHOICES, letter_of
from metis_rise.problems.prompt import count_markers
from metis_rise.problems.row import Row, is_plain, known_type
from metis_rise.problems.sources import Spool
from metis_rise.types import AnswerType
from metis_rise.verifier.extract import extract
from metis_rise.verifier.extraction import Rule
from metis_rise.verifier.gold import infer_type

_CHATS = ("prompt", "messages", "conversations")
_QUESTIONS = ("question", "problem")
_OPTIONS = ("choices", "options")
# GSM8K's sign before the final answer.
_FINAL = "####"
# MMMU's marker of its picture N.
_SPACED = re.compile(r"<image (\d{1,2})>")
_MAX_OPTIONS_CHARS = 20_000
_MARKED = {Rule.ANSWER_BOX, Rule.TEXT_BOX, Rule.BOXES, Rule.ANNOUNCED, Rule.ANSWER_BLOCK}
# Not kept in meta: they became something else.
_TAKEN = {*_CHATS, *_QUESTIONS, *_OPTIONS, *COLUMNS}
_TAKEN |= {"answer", "ground_truth", "solution", "answer_type", "id", "source", "data_source", "meta"}
_TAKEN |= {"reward_model", "extra_info", "system", "videos", "audios", "split"}


def is_foreign(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a row of another tool: it has what others call our `question`, `images`, `choices`."""
    asked = "question" not in record and any(name in record for name in (*_CHATS, "problem"))
    pictured = not record.get("images") and any(name != "images" and is_picture_column(name) for name in record)
    return asked or pictured or (not record.get("choices") and "options" in record)


def translate(raw: Row, family: str, spool: Spool) -> Row:
    """The row in our own schema; `raw` holds it as its file does, `family` is what it belongs to if it does not say.

    The answer type, where the row names none, is inferred from the gold answer. A reply at the end of a chat is the
    worked solution, and holds the gold answer where no column does. Raises RowFault.
    """
    record = raw.record
    extra = _mapping(record, "extra_info")
    chat = _chat(raw)
    choices = _choices(raw, extra)
    solution = _solution(record, extra, chat)
    gold = _gold(raw, chat, solution, choices)
    meta = _meta(record, extra)
    meta["family"] = str(meta.get("family") or "").strip() or _text(record.get("data_source")) or family
    files = find_pictures(raw, [] if chat is None else chat.pictures, spool)
    found: dict[str, Any] = {
        "id": record.get("id", extra.get("id")),
        "images": [path.name for path in files],
        "question": _SPACED.sub(r"<image\1>", _question(raw, extra, chat)),
        "choices": choices,
        "answer": gold,
        "answer_type": _answer_type(record, extra, gold, choices),
        "source": _text(record.get("source", extra.get("source", record.get("data_source")))),
        "split": _text(record.get("split")) or _text(extra.get("split")),
        "solution": None if solution == str(gold) else solution,
        "meta": meta,
    }
    return replace(raw, record={name: value for name, value in found.items() if value is not None}, files=files)


def _chat(raw: Row) -> Chat | None:
    name = next((name for name in _CHATS if raw.record.get(name)), None)
    if name is None or isinstance(raw.record[name], str):
        return None
    return read_chat(raw, name)


def _question(raw: Row, extra: Mapping[str, Any], chat: Chat | None) -> str:
    """The question without the instructions that a prompt adds to it, where the row also has it alone."""
    for name in (*_QUESTIONS, "prompt"):
        if isinstance(text := raw.record.get(name), str) and text.strip():
            return text
    if chat is None:
        columns = ", ".join(sorted(raw.record)) or "none"
        mend = f"name its column {_QUESTIONS[0]}, {_QUESTIONS[1]} or {', '.join(_CHATS)}; there are {columns[:200]}"
        raise raw.fault("no question", mend)
    alone = _text(extra.get("question"))
    pictures = count_markers(chat.question)
    # Without markers pictures come first.
    allowed = {pictures, 0 if chat.question.startswith(MARKER * pictures) else pictures}
    return alone if alone and count_markers(alone) in allowed else chat.question


def _gold(raw: Row, chat: Chat | None, solution: str | None, choices: list[str] | None) -> str | int | float:
    """The gold answer: of a column, first of the one that verl scores by, else what the worked solution ends in."""
    record = raw.record
    model = _mapping(record, "reward_model")
    for value in (model.get("ground_truth"), record.get("answer"), record.get("ground_truth")):
        # verl takes a list of answers; one of one is an answer.
        single: Any = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(single, str):
            single = single.rpartition(_FINAL)[2] if _FINAL in single else single
        if _is_missing_number(single):
            continue
        if isinstance(single, str | int | float) and not isinstance(single, bool) and str(single).strip():
            return single
        if value not in (None, "", []):
            raise raw.fault("the answer is not one text or number", "write one answer", "answer of another type")
    found = _concluded(solution, choices) if solution else None
    if found is None:
        what = "no gold answer" + ("" if solution is None else ", and none can be read from the reply")
        mend = "name its column answer or ground_truth, or put it into the reply's \\boxed{}"
        raise raw.fault(what, mend)
    return found


def _concluded(solution: str, choices: list[str] | None) -> str | None:
    """The answer that a worked solution marks as its own; guesses from its words are no gold answer."""
    found = extract(solution, strict=False, choices=choices)
    bare = found.rule is Rule.TEXT and infer_type(found.answer or "") is not AnswerType.TEXT
    return found.answer if found.rule in _MARKED or bare else None


def _solution(record: Mapping[str, Any], extra: Mapping[str, Any], chat: Chat | None) -> str | None:
    # verl's GSM8K keeps the worked solution as extra_info.answer.
    answer = _text(record.get("answer"))
    worked = answer if _FINAL in answer else None
    candidates = (record.get("solution"), extra.get("solution"), chat and chat.reply, worked, extra.get("answer"))
    return next((text.strip() for text in candidates if isinstance(text, str) and text.strip()), None)


def _choices(raw: Row, extra: Mapping[str, Any]) -> list[str] | None:
    """The options, whichever column has them. Raises RowFault for those that are no list: they would be lost."""
    for name, value in ((name, given.get(name)) for given in (raw.record, extra) for name in _OPTIONS):
        options = None if _is_missing_number(value) else _option_list(value)
        if isinstance(options, list) and all(map(is_plain, options)):
            if options:
                return options
        elif options:
            raise raw.fault(f"{name} is no list of texts", f"write {name} as a list of texts, A first")
    return None


def _option_list(value: Any) -> Any:
    """The list that is written as text (MMMU), or beside the letters of its options (ARC); else the value itself."""
    if isinstance(value, str):
        return _parsed(value) if value.strip() else None
    if isinstance(value, dict) and "text" in value:
        texts, labels = value["text"], value.get("label")
        if not texts or not isinstance(texts, list) or labels is None:
            return texts
        # Other labels, such as 1 to 4, are what its gold answers are written in.
        return texts if labels == [letter_of(index) for index in range(min(len(texts), MAX_CHOICES))] else value
    return value


def _parsed(text: str) -> Any:
    """The list in a text of JSON or Python; else the text itself."""
    for read in (parse_json, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes such as '\s', which stand for themselves
                value = read(text) if len(text) <= _MAX_OPTIONS_CHARS else None
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(value, list):
            return value
    return text


def _is_missing_number(value: Any) -> bool:
    """Whether it is what pandas writes for something that is missing."""
    return isinstance(value, float) and not math.isfinite(value)


def _answer_type(
    record: Mapping[str, Any], extra: Mapping[str, Any], gold: str | int | float, choices: list[str] | None
) -> str:
    named = _text(record.get("answer_type")) or _text(extra.get("answer_type"))
    if named and (known_type(named) is not AnswerType.TEXT or not choices):
        return named
    return (AnswerType.CHOICE if choices else infer_type(str(gold))).value


def _meta(record: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """What is left, as plain JSON; bytes, such as those of further pictures, are left out."""
    known = _TAKEN | {"question", "index"}
    rest = {name: value for name, value in extra.items() if name not in known}
    rest |= {name: value for name, value in record.items() if name not in _TAKEN and not is_picture_column(name)}
    rest |= _mapping(record, "meta")
    return {name: _plain(value) for name, value in rest.items() if value is not None and not holds_bytes(value)}


def _plain(value: Any) -> Any:
    """`value` as JSON has it; dates and other kinds of a table become text."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _mapping(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
