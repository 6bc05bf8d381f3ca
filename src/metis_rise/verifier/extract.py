r"""Taking the answer out of a completion, and saying which rule found it.

Nothing here compares with the gold answer. The lenient reader knows its shape (a letter, one value, a list, words),
so that a guess that happens to hit the gold is not picked out of several.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from metis_rise.verifier.boxes import Box, find_boxes
from metis_rise.verifier.echo import echoes
from metis_rise.verifier.extraction import Extraction, Rule, Shape, shape_of
from metis_rise.verifier.format import answer_block
from metis_rise.verifier.prose.read import read_prose

# What may stand between boxes that belong together, and between those that are a list in any case.
_MAX_GAP = 60
_LISTED = re.compile(r"(?:[\s$,;&]|\\q?quad(?![a-z])|\\[,;! ]|\\[()\[\]]|\\text\{ ?(?:and|or) ?\}|\band\b|\bor\b)*")
_NAME = re.compile(r"\b[A-Za-z](?:_?\{?\d\}?)? ?=")


def extract(
    text: str,
    *,
    strict: bool = True,
    gold: str | None = None,
    question: str | None = None,
    choices: Sequence[str] | None = None,
) -> Extraction:
    r"""The answer of a completion.

    Strict: the \boxed{} inside <answer>, else the \boxed{} outside the reasoning; different boxes are no answer.

    Lenient (outputs of models with another format): the last box of the same places, then `Answer: …` or `the
    answer is …`, then what `read_prose` finds. Consecutive boxes of the final sentence are the members of a list.

    Args:
        text: the completion; of one with </think> only what follows counts, for lenient reading also its last box.
        strict: see above.
        gold: the gold answer, for its shape; None when it is not known.
        question: where it is given, an answer that repeats a formula of it is refused, unless it is spelled as the
            gold answer.
        choices: the options of a multiple-choice question.
    """
    found = _strict(text) if strict else _lenient(text, shape_of(gold, choices), choices)
    if found.answer is not None and question is not None and not choices and echoes(found.answer, question, gold):
        return Extraction(None, Rule.ECHO)
    return found


def _strict(text: str) -> Extraction:
    reasoning, tag, outside = text.rpartition("</think>")
    block = answer_block(outside)
    for place, rule in ((block, Rule.ANSWER_BOX), (outside, Rule.TEXT_BOX)):
        contents = {place[box.content_start : box.content_end].strip() for box in find_boxes(place)} if place else set()
        if len(contents) > 1:
            return Extraction(None, Rule.DIFFERENT_BOXES)
        if contents:
            return Extraction(contents.pop(), rule)
    return Extraction(None, Rule.ONLY_REASONED if tag and find_boxes(reasoning) else Rule.NO_BOX)


def _lenient(text: str, shape: Shape, choices: Sequence[str] | None) -> Extraction:
    reasoning, _, outside = text.rpartition("</think>")
    if not outside.strip():
        reasoning, outside = "", reasoning
    block = answer_block(outside)
    for place, rule in ((block, Rule.ANSWER_BOX), (outside, Rule.TEXT_BOX)):
        found = find_boxes(place) if place else []
        if found:
            return _last_boxes(place or "", found, shape, rule)
    whole = Rule.TEXT if block is None else Rule.ANSWER_BLOCK
    read = read_prose(outside if block is None else block, shape, choices, whole)
    if read.rule is Rule.NO_ANSWER and (found := find_boxes(reasoning)):
        return _last_boxes(reasoning, found, shape, Rule.REASONING_BOX)
    return read


def _last_boxes(text: str, found: Sequence[Box], shape: Shape, rule: Rule) -> Extraction:
    """The last box, or the boxes that end the text one after the other, which are a list."""
    first = len(found) - 1
    while first > 0 and _belong_together(text[found[first - 1].end : found[first].start], shape):
        first -= 1
    members = dict.fromkeys(text[box.content_start : box.content_end].strip() for box in found[first:])
    return Extraction(", ".join(members), rule if len(members) == 1 else Rule.BOXES)


def _belong_together(between: str, shape: Shape) -> bool:
    """Whether two boxes are members of one list; `x = ` before a member says so only where a list is wanted."""
    if len(between) > _MAX_GAP:
        return False
    if shape is Shape.LIST:
        between = _NAME.sub("", between)
    return _LISTED.fullmatch(between) is not None
