"""A question, and perhaps a reply, out of a list of chat turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metis_rise.problems.row import Row

_WHO = ("role", "from")
_WHAT = ("content", "value")
_SYSTEM = {"system"}
_USER = {"user", "human"}
_MODEL = {"assistant", "gpt"}
MARKER = "<image>"


@dataclass(frozen=True, slots=True)
class Chat:
    """What was asked, with `<image>` where a picture stands, the pictures given in between, and the reply if any."""

    question: str
    reply: str | None = None
    pictures: list[Any] = field(default_factory=list)


def read_chat(raw: Row, column: str) -> Chat:
    """The chat in a column: turns of role and content, or of from and value. Raises RowFault unless it is one question.

    A system turn is left out: the recipe's prompt.system takes its place.
    """
    turns = raw.record[column]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        raise raw.fault(f"{column} is no list of turns", "write turns with role and content, or from and value")
    spoken = [turn for turn in turns if _first(turn, _WHO) not in _SYSTEM]
    who = [_first(turn, _WHO) for turn in spoken]
    asked = bool(who) and who[0] in _USER
    if not asked or len(who) > 2 or not all(each in _MODEL for each in who[1:]):
        said = ", ".join(str(each)[:20] for each in who[:6]) or "no turns"
        mend = "write one question, and at most one reply"
        raise raw.fault(f"{column} is no single question ({said})", mend, "no single question")
    question, pictures = _flat(raw, column, _first(spoken[0], _WHAT))
    reply, _ = _flat(raw, column, _first(spoken[1], _WHAT)) if len(spoken) == 2 else (None, [])
    return Chat(question, reply, pictures)


def _first(turn: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((turn[name] for name in names if turn.get(name) is not None), None)


def _flat(raw: Row, column: str, content: Any) -> tuple[str, list[Any]]:
    """Content as one text; of parts also the pictures that they hold."""
    if isinstance(content, str):
        return content, []
    pictures: list[Any] = []
    texts: list[str] = []
    for given in content if isinstance(content, list) else [None]:
        part = given if isinstance(given, dict) else {}
        kind = part.get("type")
        if kind == "text":
            texts.append(str(part.get("text") or ""))
        elif kind in ("image", "image_url"):
            texts.append(MARKER)
            pictures += [value for value in (part.get("image"), part.get("image_url")) if value is not None]
        else:
            raise raw.fault(f"{column} holds neither text nor pictures", "write text and pictures")
    return "".join(texts), pictures
