r"""The RISE answer format: `<think> reasoning </think><answer>\boxed{17}</answer>`."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from metis_rise.problems.prompt import RISE, load_system
from metis_rise.verifier.boxes import boxes

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
# A letter or digit; four letters of Hangul are blank.
_VISIBLE = re.compile(r"[^\W_\u115f\u1160\u3164\uffa0]")


class Fault(StrEnum):
    """What is not as the RISE format wants it."""

    TAGS = "not one think and one answer block"
    OUTSIDE = "text outside the blocks"
    NO_REASONING = "no reasoning"
    NO_BOX = "no filled box in the answer"
    BOXES = "several boxes in the answer"
    CUT = "cut off"
    EXAMPLE = "the prompt's own example"


def format_fault(text: str) -> Fault | None:
    r"""The first thing in `text` that is against the format, or None.

    The format: one <think> block with at least one letter or digit in it and one <answer> block with one balanced,
    filled \boxed{}. Each tag occurs once; nothing but whitespace stands before, between and after the blocks.
    """
    body = text.strip()
    if any(body.count(tag) != 1 for tag in TAGS):
        return Fault.TAGS
    if not (body.startswith("<think>") and body.endswith("</answer>")):
        return Fault.OUTSIDE
    reasoning, _, rest = body.removeprefix("<think>").partition("</think>")
    between, tag, answer = rest.removesuffix("</answer>").partition("<answer>")
    if not tag:
        return Fault.TAGS
    if between.strip():
        return Fault.OUTSIDE
    if not _VISIBLE.search(reasoning):
        return Fault.NO_REASONING
    found = boxes(answer)
    if not any(_filled(box) for box in found):
        return Fault.NO_BOX
    return Fault.BOXES if len(found) > 1 else None


def repeats_example(text: str) -> bool:
    """Whether a well-formed `text` has the reasoning or the result of the shipped system prompt's example."""
    reasoning, result = _parts(text)
    example_reasoning, example_result = _example()
    return reasoning == example_reasoning or result == example_result


def answer_block(text: str) -> str | None:
    """The content of the last <answer> block (to the end of the text if it is not closed), or None."""
    start = text.rfind("<answer>")
    return None if start < 0 else text[start + len("<answer>") :].partition("</answer>")[0]


def _filled(box: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in box)


@lru_cache(maxsize=1)
def _example() -> tuple[str, str]:
    system = load_system(RISE)
    assert system is not None
    return _parts(system[system.rindex("<think>") :])


def _parts(text: str) -> tuple[str, str]:
    """Reasoning and result of a well-formed text, spacing and case aside."""
    reasoning, _, answer = text.strip().removeprefix("<think>").partition("</think>")
    return " ".join(reasoning.split()).casefold(), " ".join(boxes(answer)[-1].split()).casefold()
