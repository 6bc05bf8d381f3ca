"""Answers that a text announces: `Answer: 7`, `the correct answer is (B) no`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.verifier.extraction import Extraction, Rule, Shape
from metis_rise.verifier.prose.options import leading_option, named_text
from metis_rise.verifier.prose.sentences import FORMULA, SENTENCE_END, formula_of
from metis_rise.verifier.prose.values import only_value

_HEAD = re.compile(
    r"\b(?:answers?|(?:correct|right|best)\s(?:option|choice))\b[*_\"')]{0,4}\s{0,4}"
    r"(?:(?:to|for|of|in|that)\s[^.:\n]{1,80}?\s)?"
    r"(?:(?:is|are|was|were|equals|(?:will|would|should|must)\sbe)\b|[:=\uff1a\n]|(?=\$|\\\(|\\\[))[\s:*_\"'`]{0,8}"
    r"|^#{4}\s{1,4}(?=\S[^\n]{0,60}\Z)"
    r"|(?:\u7b54\u6848|\u6545\u9009)\s{0,4}[\u662f\u4e3a:\uff1a]?\s{0,4}",
    re.IGNORECASE | re.MULTILINE,
)
_MAX_ANNOUNCED = 400
# "If the answer were 5", "it is not true that the answer is 5".
_SUPPOSED = re.compile(
    r"\b(?:if|whether|suppose|assum(?:e|ing)|not\s(?:true|sure|clear|certain))(?:\sthat)?(?:\s(?:the|a|final)){0,2}\s$",
    re.IGNORECASE,
)
# Talk about an answer that was given before.
_COMMENT = re.compile(
    r"(?:correct|right|wrong|incorrect|verified|as\sfollows|found|given|obtained|reasonable|consistent|based)\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r",?\s\(?(?:because|since|as|which|so|where|when|after|given|for|by|due)\b|;|,\s(?!and\b|or\b)(?=[a-z]{2})"
)
_DOUBT = re.compile(
    r"\b(?:or|no|not|actually|rather|maybe|perhaps|possibly|alternatively|either)\b|n't\b", re.IGNORECASE
)
_ALSO = re.compile(r"\s{0,4}(?:,|;|and\b|or\b|\\quad)")
_NUMBER = re.compile(r"[\d$]|\\\(")
_UNIT = re.compile(r"(?:(?:square|cubic)\s)?[^\W\d_]+(?:\sper\s[^\W\d_]+)?")
_SHORT = 4
_SUPPOSED_CHARS = 40


def announced(text: str, shape: Shape, choices: Sequence[str] | None) -> Extraction | None:
    """The last answer that `text` announces, None where it announces none."""
    for head in reversed(list(_HEAD.finditer(text))):
        said = text[head.end() : head.end() + _MAX_ANNOUNCED].lstrip()
        if _SUPPOSED.search(text, max(0, head.start() - _SUPPOSED_CHARS), head.start()) or _is_asked(said):
            continue
        if said and not (shape in (Shape.VALUE, Shape.LIST) and _COMMENT.match(said)):
            return _read(said, shape, choices)
    return None


def _read(said: str, shape: Shape, choices: Sequence[str] | None) -> Extraction:
    formula = FORMULA.match(said)
    content = None if formula is None else formula_of(formula)
    if shape in (Shape.CHOICE, Shape.UNKNOWN) and (option := leading_option(said, choices)):
        return option if option.answer is None else Extraction(option.answer, Rule.ANNOUNCED)
    if formula is not None and content:
        return Extraction(_with_rest(said, formula.end(), content), Rule.ANNOUNCED)
    sentence = _sentence(said)
    if shape is Shape.CHOICE and choices and (option := named_text(sentence, choices)).answer:
        return Extraction(option.answer, Rule.ANNOUNCED)
    return Extraction(_value(sentence) if shape in (Shape.VALUE, Shape.LIST) else _clause(sentence), Rule.ANNOUNCED)


def _with_rest(said: str, end: int, content: str) -> str:
    """The formula that `said` begins with, with what else its sentence says of it: a unit, or further answers."""
    rest = _sentence(said[end:]) if said[end : end + 1] != "\n" else ""
    if not rest:
        return content
    if re.search(r"\bor\b", rest) or (_ALSO.match(rest) and _NUMBER.search(rest)):
        return said[:end] + " " + rest
    return f"{content} {rest}" if _UNIT.fullmatch(rest) else content


def _sentence(said: str) -> str:
    end = SENTENCE_END.search(said)
    return (said if end is None else said[: end.start()]).strip(" \t*_\"'`")


def _is_asked(said: str) -> bool:
    end = SENTENCE_END.search(said)
    return end is not None and end[0] in "?\uff1f"


def _clause(sentence: str) -> str:
    """`sentence` without the reason that it gives; a sentence that takes something back stays whole."""
    cut = _REASON.search(sentence)
    if cut is None or _DOUBT.search(sentence, cut.start()):
        return sentence
    return sentence[: cut.start()].strip(" *_\"'`")


def _value(sentence: str) -> str:
    """The clause, or of a wordy one the only value in it."""
    clause = _clause(sentence)
    return clause if len(clause.split()) <= _SHORT else only_value(clause) or clause
