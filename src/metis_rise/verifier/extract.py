r"""Taking the answer out of a completion, and saying which rule found it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metis_rise.problems.answers import MAX_ANSWER_CHARS
from metis_rise.verifier.boxes import boxes
from metis_rise.verifier.format import answer_block

_ANNOUNCED_MATH = re.compile(
    r"\banswer\s{0,4}(?:is|:)?\s{0,4}(?:\$\$?|\\\(|\\\[)(?P<answer>.{1,400}?)(?:\$|\\\)|\\\])",
    re.IGNORECASE | re.DOTALL,
)
_ANNOUNCED_LINE = re.compile(r"\banswer\s{0,4}(?:is|:)[\s:*]{0,4}(?P<answer>[^\s][^\n]{0,400})", re.IGNORECASE)
_LETTER = re.compile(r"\((?P<bracketed>[A-Z])\)|^(?P<alone>[A-Z])[.):]?$", re.MULTILINE)
_SENTENCE_END = re.compile(r"\.(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Extraction:
    """An answer (None if there is none) and the name of the rule that found it or the reason that none did."""

    answer: str | None
    rule: str


def extract(text: str, *, strict: bool = True) -> Extraction:
    r"""The answer of a completion.

    Strict: the \boxed{} inside <answer>, where two different boxes are no answer; without one there, the last
    \boxed{} of the text. Lenient (outputs of models with another format): the last box, then the <answer> block
    as it stands, then `Answer: …` or `the answer is …`, then a short text as a whole, then the only option letter
    that a longer one names.
    """
    block = answer_block(text)
    inside = boxes(block) if block is not None else []
    if strict and len({box.strip() for box in inside}) > 1:
        return Extraction(None, "different boxes")
    if inside:
        return Extraction(inside[-1].strip(), "answer box")
    anywhere = boxes(text)
    if anywhere:
        return Extraction(anywhere[-1].strip(), "text box")
    if strict:
        return Extraction(None, "no box")
    return _lenient(text if block is None else block, "text" if block is None else "answer block")


def _lenient(text: str, whole: str) -> Extraction:
    announced = [*_ANNOUNCED_MATH.finditer(text), *_ANNOUNCED_LINE.finditer(text)]
    if announced:
        last = max(announced, key=lambda match: match.start())
        return Extraction(_first_sentence(last["answer"]), "announced")
    if text.strip() and len(text) <= MAX_ANSWER_CHARS:
        return Extraction(text.strip(), whole)
    letters = {match["bracketed"] or match["alone"] for match in _LETTER.finditer(text)}
    if len(letters) == 1:
        return Extraction(letters.pop(), "option letter")
    return Extraction(None, "no answer")


def _first_sentence(text: str) -> str:
    end = _SENTENCE_END.search(text)
    return (text if end is None else text[: end.start()]).strip(" *\n")
