"""Replies that betray that their writer knew the answer: nobody may learn to cite notes that are not there."""

from __future__ import annotations

import re

# What a writer is given: reasoning speaks of these only when it speaks of the notes. A word such as "solution" alone
# is everyday language, so it counts together with where it is from.
_NOTES = r"(?:notes?|hints?|attempts?|reference (?:answer|solution|result|response)s?)"
_RESULT = r"(?:answer|solution|result|response)"
_ORIGIN = r"(?:given|provided|supplied|reference|known|expected|correct|target|gold|ground[- ]truth|stated|official)"
_SOURCE = rf"(?:{_ORIGIN} (?:(?:final|correct) )?{_RESULT}|{_NOTES})"
# "the given answer choices" and "the given solution set" are parts of a problem, "the correct answer is" an end.
_NOT_PART = r"(?! (?:choice|option|set|space|of the equation|key(?:word)?s?\b|box))"

PATTERNS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # As the reference says; according to the provided solution; based on the hint.
        rf"\b(?:as|like) (?:the|your|this|that) {_SOURCE}\b{_NOT_PART} "
        r"(?:says?|states?|shows?|suggests?|indicates?|gives?|does|did|has|notes|explains?|tells?)\b",
        r"\bas the reference (?:says|states|shows|suggests|indicates|gives|has it)\b",
        rf"\b(?:according to|based on|per|following|consistent with|in line with|guided by|given by|from|using) "
        rf"(?:the|your|this|that|these|those) {_SOURCE}\b{_NOT_PART}",
        r"\baccording to the reference\b(?! (?:frame|point|line|angle|table|sheet|axis|level))",
        # This matches the given answer; which agrees with the reference.
        rf"\b(?:match(?:es|ing)?|agrees?(?: with)?|agreeing with|confirms?|coincides? with|same as|equals?|fits?|"
        rf"verif(?:y|ies)|support(?:s|ing)?|arrive at|reach|get|obtain|lead(?:s|ing)? to) "
        rf"(?:with )?(?:the|your|this|that) "
        rf"(?:(?:given|provided|supplied|reference|known|expected|target|gold|ground[- ]truth|stated|official) "
        rf"(?:(?:final|correct) )?{_RESULT}|{_NOTES})\b{_NOT_PART}",
        # The reference answer is 7; the provided solution says.
        rf"\b(?:reference|ground[- ]truth|gold|official) (?:(?:final|correct) )?{_RESULT}s?\b{_NOT_PART}",
        rf"\bthe (?:provided|supplied) (?:(?:final|correct) )?{_RESULT}s?\b{_NOT_PART}",
        r"\b(?:the|your) (?:given|known|expected|target|stated) (?:(?:final|correct) )?(?:answer|result) "
        r"(?:is|was|of|must|should)\b",
        rf"\b(?:the|your) (?:given|known|expected|target|stated) (?:(?:final|correct) )?{_RESULT} "
        r"(?:says|states|shows|indicates|suggests|confirms)\b",
        # We are told that the answer is 7; since the answer is known to be 7.
        r"\b(?:i|we) (?:am|are|was|were|have been|already) (?:told|given|informed) (?:that )?the "
        r"(?:(?:final|correct) )?(?:answer|result)\b(?! (?:choice|option))",
        r"\b(?:i|we) already know (?:that )?the (?:(?:final|correct) )?answer\b",
        r"\b(?:i|we) know (?:that )?the (?:final|correct) answer (?:is|must|should|to be)\b",
        r"\bthe (?:(?:final|correct) )?answer is (?:already )?(?:known|given|provided|supplied) (?:to be|as)\b",
        # The hint says; as hinted; from the notes; the failed attempt.
        r"\b(?:the|your|this|that|another|first|second|given|provided) hints? (?:says?|tells?|suggests?|states?|"
        r"mentions?|indicates?|given|provided|is|was|about|that|reminds?|points?|helps?)\b",
        r"\bas (?:hinted|noted in the notes|given in the (?:hints?|notes?))\b",
        r"\b(?:the|your|these|those|given|provided) notes (?:say|state|tell|give|mention|suggest|indicate)\b",
        r"\b(?:failed|previous|earlier|prior|wrong|incorrect|first) attempts?\b",
        r"\bone way to it\b",
        r"\bnotes for (?:me|you) alone\b",
    )
)
"""To add one, add what it must catch and what it must let pass to tests/unit/test_expert_betrayal.py."""


def betrayal(text: str, question: str) -> str:
    """The first words of `text` that betray its writer's notes, "" if there are none.

    A way of speaking that the question has itself ("use the hint below") is the problem's own and betrays nothing.
    """
    for pattern in PATTERNS:
        found = pattern.search(text)
        if found and not pattern.search(question):
            return found[0]
    return ""
