"""The verdict on one completion."""

from __future__ import annotations

from metis_rise.types import Problem, Verdict
from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.extract import extract
from metis_rise.verifier.format import is_well_formed


def judge(problem: Problem, text: str, *, strict: bool = True, ended: bool = True) -> Verdict:
    """What the verifier says of the completion `text` of `problem`; it says nothing about the chain.

    `strict` is for models taught the RISE format, `strict=False` also reads answers in other formats.
    `ended=False` marks a completion cut off by its length, which in strict mode is never well formed.
    """
    well_formed = is_well_formed(text) and (ended or not strict)
    found = extract(text, strict=strict)
    if found.answer is None:
        return Verdict(False, well_formed, None, found.rule, reason="no answer")
    correct, reason = equivalent(problem.answer, found.answer, problem.answer_type, problem.choices)
    return Verdict(correct, well_formed, found.answer, found.rule, reason=reason)
