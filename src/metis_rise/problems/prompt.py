"""From a problem to chat messages, the same for training, sampling and evaluation."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.problems.answers import letter_of
from metis_rise.types import Problem

PROMPT_FILE = "metis_rise.json"
"""File beside a model's weights that says which system prompt it was trained with."""

RISE = "rise"
"""The setting that names the shipped system prompt."""

_CONTROL = re.compile(r"<\|[a-z_]{1,40}\|>")
_MARKER = re.compile(r"<image([0-9]{0,3})>")


def control_token(text: str) -> str:
    """The first chat or picture token of the Qwen families in `text`, "" if there is none."""
    found = _CONTROL.search(text)
    return found[0] if found else ""


def build_messages(problem: Problem, system: str | None) -> list[dict[str, Any]]:
    """Chat messages of `problem`; their image parts follow the order of `problem.images`.

    A picture stands where the question has its `<image>` or `<imageN>` marker, otherwise before the question.
    Options follow as lines `A. …`, unless each is only its own letter (then they are drawn in the picture).
    Raises ValueError if the markers do not name the pictures in order; `arrange` puts them in order.
    """
    question, order = arrange(problem.question, len(problem.images))
    if order != tuple(range(len(problem.images))):
        raise ValueError(f"problem {problem.id}: its question names the pictures out of order; use prompt.arrange")
    parts = _interleave(question, len(problem.images))
    options = option_lines(problem.choices)
    if options:
        parts = _with_text(parts, "\n" + options)
    messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
    return messages


def arrange(question: str, images: int) -> tuple[str, tuple[int, ...]]:
    """Renumber the markers of `question` so that pictures appear in order.

    Returns the question with every picture's first marker written `<imageN>` (later mentions become `image N`)
    and the order: entry k is the old index of the picture that comes k-th. Pictures without a marker come first.
    Raises ValueError if a marker names a picture that is not there.
    """
    mentions: list[int] = []
    for match in _MARKER.finditer(question):
        mentions.append(_mentioned(match, mentions, images))
    named = list(dict.fromkeys(mentions))
    order = [index for index in range(images) if index not in named] + named
    pieces: list[str] = []
    position = 0
    for count, (match, index) in enumerate(zip(_MARKER.finditer(question), mentions, strict=True)):
        number = order.index(index) + 1
        repeated = index in mentions[:count]
        pieces += [question[position : match.start()], f"image {number}" if repeated else f"<image{number}>"]
        position = match.end()
    return "".join([*pieces, question[position:]]), tuple(order)


def count_markers(text: str) -> int:
    """How many picture markers `text` holds."""
    return len(_MARKER.findall(text))


def without_markers(text: str) -> str:
    """`text` with its picture markers as words (`image 2`), for text that is only cited in a prompt."""
    return _MARKER.sub(lambda match: f"image {match[1]}".rstrip(), text)


def load_system(setting: str | None) -> str | None:
    """The system prompt that a recipe's `prompt.system` asks for.

    None for no system message, `rise` for the shipped one, else the text of that file. Raises InputError if the
    file cannot be read or is empty.
    """
    if setting is None:
        return None
    if setting == RISE:
        return resources.files("metis_rise").joinpath("templates/system.txt").read_text(encoding="utf-8").strip()
    path = Path(setting)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InputError(
            f"{path}: the system prompt cannot be read ({why}); "
            f"set prompt.system to a text file, to {RISE!r}, or to null for none"
        ) from error
    if not text:
        raise InputError(f"{path}: the system prompt is empty; write one, or set prompt.system to null for none")
    return text


def _mentioned(match: re.Match[str], earlier: list[int], images: int) -> int:
    """The index of the picture that a marker names; a bare `<image>` is the next one not named yet."""
    free = (index for index in range(images) if index not in earlier)
    index = int(match[1]) - 1 if match[1] else next(free, images)
    if not 0 <= index < images:
        raise ValueError(f"the question has the marker {match[0]} but there are {images} pictures")
    return index


def _interleave(question: str, images: int) -> list[dict[str, Any]]:
    """Content parts for a question whose markers are already in order."""
    markers = list(_MARKER.finditer(question))
    parts: list[dict[str, Any]] = [{"type": "image"} for _ in range(images - len(markers))]
    position = 0
    for marker in markers:
        parts = _with_text(parts, question[position : marker.start()])
        parts.append({"type": "image"})
        position = marker.end()
    return _with_text(parts, question[position:])


def _with_text(parts: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """`parts` and `text`, joined to a text part that ends them; blank text next to a picture is left out."""
    if parts and parts[-1]["type"] == "text":
        return [*parts[:-1], {"type": "text", "text": parts[-1]["text"] + text}]
    return [*parts, {"type": "text", "text": text.lstrip()}] if text.strip() else parts


def option_lines(choices: tuple[str, ...] | None) -> str:
    """The options as lines `A. …`; "" without options, or where each is only its own letter (drawn in the picture)."""
    if not choices or all(text == letter_of(index) for index, text in enumerate(choices)):
        return ""
    return "\n".join(f"{letter_of(index)}. {text}" for index, text in enumerate(choices))
