r"""The RISE answer format: `<think> reasoning </think><answer>\boxed{17}</answer>`."""

from __future__ import annotations

from metis_rise.verifier.boxes import boxes

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def is_well_formed(text: str) -> bool:
    r"""Whether `text` is one non-empty <think> block and one <answer> block with a filled, balanced \boxed{}.

    Each tag occurs once; nothing but whitespace stands before, between and after the blocks.
    """
    body = text.strip()
    if any(body.count(tag) != 1 for tag in TAGS):
        return False
    if not (body.startswith("<think>") and body.endswith("</answer>")):
        return False
    reasoning, _, rest = body.removeprefix("<think>").partition("</think>")
    between, _, answer = rest.removesuffix("</answer>").partition("<answer>")
    return bool(reasoning.strip()) and "<answer>" in rest and not between.strip() and any(map(str.strip, boxes(answer)))


def answer_block(text: str) -> str | None:
    """The content of the last <answer> block (to the end of the text if it is not closed), or None."""
    start = text.rfind("<answer>")
    return None if start < 0 else text[start + len("<answer>") :].partition("</answer>")[0]
