"""One row of another tool's file as a row of our own schema.

What is understood: the columns of verl (`prompt`, `reward_model`, `extra_info`), of EasyR1 (`problem`, `answer`), chats
as LLaMA-Factory and OpenAI write them (`conversations`, `messages`), and our own names without an answer type.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from metis_rise.foreign.chat import MARKER, Chat, read_chat
from metis_rise.foreign.pictures import COLUMNS, find_pictures, holds_bytes
from metis_rise.problems.prompt import count_markers
from metis_rise.problems.row import Row, known_type
from metis_rise.problems.sources import Spool
from metis_rise.types import AnswerType
from metis_rise.verifier.extract import extract
from metis_rise.verifier.extraction import Rule
from metis_rise.verifier.gold import infer_type

_CHATS = ("prompt", "messages", "conversations")
_QUESTIONS = ("question", "problem")
_OPTIONS = ("choices", "options")
_MARKED = {Rule.ANSWER_BOX, Rule.TEXT_BOX, Rule.BOXES, Rule.ANNOUNCED, Rule.ANSWER_BLOCK}
# Not kept in meta: they became something else.
_TAKEN = {*_CHATS, *_QUESTIONS, *_OPTIONS, *COLUMNS}
_TAKEN |= {"answer", "ground_truth", "solution", "answer_type", "id", "source", "data_source", "meta"}
_TAKEN |= {"reward_model", "extra_info", "system", "videos", "audios", "split"}


def is_foreign(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a row of another tool: it has no `question`, but what other tools call it."""
    return "question" not in record and any(name in record for name in (*_CHATS, "problem"))


def translate(raw: Row, family: str, spool: Spool) -> Row:
    """The row in our own schema; `raw` holds it as its file does, `family` is what it belongs to if it does not say.

    The answer type, where the row names none, is inferred from the gold answer. A reply at the end of a chat is the
    worked solution, and holds the gold answer where no column does. Raises RowFault.
    """
    record = raw.record
    extra = _mapping(record, "extra_info")
    chat = _chat(raw)
    choices = _choices(record, extra)
    solution = _solution(record, extra, chat)
    gold = _gold(raw, chat, solution, choices)
    meta = _meta(record, extra)
    meta["family"] = str(meta.get("family") or "").strip() or _text(record.get("data_source")) or family
    files = find_pictures(raw, [] if chat is None else chat.pictures, spool)
    found: dict[str, Any] = {
        "id": record.get("id", extra.get("id")),
        "images": [path.name for path in files],
        "question": _question(raw, extra, chat),
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
    """The gold answer: of a column, else the final answer of the worked solution."""
    record = raw.record
    model = _mapping(record, "reward_model")
    for value in (record.get("answer"), record.get("ground_truth"), model.get("ground_truth")):
        # verl takes a list of answers; one of one is an answer.
        single: Any = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(single, float) and not math.isfinite(single):
            # What pandas writes for a number that is missing.
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
    candidates = (record.get("solution"), extra.get("solution"), chat and chat.reply, extra.get("answer"))
    return next((text.strip() for text in candidates if isinstance(text, str) and text.strip()), None)


def _choices(record: Mapping[str, Any], extra: Mapping[str, Any]) -> list[str] | None:
    lists = [given.get(name) for given in (record, extra) for name in _OPTIONS]
    return next((value for value in lists if isinstance(value, list) and value), None)


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
    rest |= {name: value for name, value in record.items() if name not in _TAKEN}
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
