"""The verdict on one completion."""

from __future__ import annotations

from dataclasses import replace

from metis_rise.types import Problem, Reason, Verdict
from metis_rise.verifier.equivalence import MAX_CHARS, equivalent
from metis_rise.verifier.extract import extract
from metis_rise.verifier.extraction import Rule
from metis_rise.verifier.format import Fault, format_fault, repeats_example
from metis_rise.verifier.rewards import accuracy_reward, format_reward

_CODES = {
    Rule.DIFFERENT_BOXES: Reason.SEVERAL,
    Rule.SEVERAL_OPTIONS: Reason.SEVERAL,
    Rule.OTHER_OPTION_TEXT: Reason.SEVERAL,
    Rule.ECHO: Reason.ECHO,
}


def judge(problem: Problem, text: str, *, strict: bool = True, ended: bool = True) -> Verdict:
    """What the verifier says of the completion `text` of `problem`; it says nothing about the chain.

    `strict` is for models taught the RISE format, `strict=False` also reads answers in other formats.
    `ended=False` marks a completion cut off by its length, which in strict mode is never well formed.
    """
    fault = _fault(text, cut=strict and not ended)
    found = extract(text, strict=strict, gold=problem.answer, question=problem.question, choices=problem.choices)
    if found.answer is None:
        correct, reason, code = False, str(found.rule), _CODES.get(found.rule, Reason.NO_ANSWER)
    else:
        correct, reason = equivalent(problem.answer, found.answer, problem.answer_type, problem.choices)
        too_long = len(found.answer) > MAX_CHARS
        code = Reason.RIGHT if correct else Reason.TOO_LONG if too_long else Reason.DIFFERENT
    verdict = Verdict(correct, fault is None, found.answer, found.rule, None, reason, code, fault or "")
    return replace(verdict, parts={"accuracy": accuracy_reward(verdict), "format": format_reward(verdict)})


def _fault(text: str, cut: bool) -> Fault | None:
    fault = format_fault(text)
    if fault is None and cut:
        return Fault.CUT
    return Fault.EXAMPLE if fault is None and repeats_example(text) else fault
