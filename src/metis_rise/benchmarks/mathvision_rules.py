r"""MATH-V's own rules: taking an answer out of a response, and comparing it.

The same verdicts as its evaluate.py and utils.py, of which each step is named here, without evaluating anything as
code. They are loose on purpose of their authors: numbers that round to the same two decimals are equal, so 1/60 is
1/55. Never a reward.
"""

from __future__ import annotations

import re

from metis_rise.verifier import algebra
from metis_rise.verifier.equivalence import MAX_CHARS

_LETTERS = "ABCDE"
_ANNOUNCED = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_BOX = "oxed{"
# In this order. Spaces go first, so later ones are written without.
_DRESS = (
    *((" ", ""), ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""), ("\\text", "")),
    *(("\\mbox", ""), ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", "")),
    *(("{m}^3", ""), ("m^3", ""), ("{units}", ""), ("units", ""), ("{km}", ""), ("km", ""), ("\\!", "")),
    *(("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\$", ""), ("$", ""), ("\\%", ""), ("{.", "{0.")),
)
_BARE_ROOT = re.compile(r"\\sqrt([^{])")
_BARE_FRACTION = re.compile(r"\\frac([^{])(\{|[^{])")
_RATIO = re.compile(r"(-?(?:0|[1-9]\d*))/(-?(?:0|[1-9]\d*))")
_BRACKETED, _BRACED = re.compile(r"\(([a-e])\)"), re.compile(r"\{([a-e])\}")
# A command that latex2sympy reads into something that has a value; any other letter is a name without one.
_COMMAND = re.compile(r"\\(?:t?frac|sqrt|pi|cdot|times|div|left|right|sin|cos|tan|log|binom)(?![a-z])")
_NO_VALUE = re.compile(r"[^\W\d_]|°|(?<!\\)%|\||\\[ ,;:!$]")
_UNBRACED = re.compile(r"\\(?:t?frac|binom)(?!\{)|\\sqrt(?![{\[])")
# A mixed number is a product there.
_BEFORE_FRACTION = re.compile(r"(?<=\d)\s*(?=\\t?frac)")


def extract(response: str) -> str:
    """The answer that MATH-V's rules find in a response, tidied up; the whole response where they find none."""
    text = response.strip()
    for letter in _LETTERS:
        ends = (f" {letter}.", f" ({letter}).")
        starts = (f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")
        if text.endswith(ends) or text.startswith(starts):
            text = letter
    said = text.split("is ")[-1].rstrip(".")
    if _is_float(said):
        text = said
    if _BOX not in text:
        for phrase in _ANNOUNCED:
            for spelled in (phrase, phrase.replace("the", "The")):
                text = _after(text, spelled)
    elif text.count(_BOX) > 1:
        text = "\\b" + _BOX + text.split(_BOX)[-1]
    return tidy(_unboxed(text))


def tidy(answer: str) -> str:
    """An answer as MATH-V writes it down: lower case, behind the last equals sign, without dress; once is enough."""
    text = _unboxed(answer) if _BOX in answer else answer.lower()
    text = text.split("=")[-1].split("\\approx")[-1]
    for dress, plain in _DRESS:
        text = text.replace(dress, plain)
    if text.startswith("."):
        text = "0" + text
    if "sqrt" in text:
        text = _BARE_FRACTION.sub(_braced, _BARE_ROOT.sub(r"\\sqrt{\1}", text))
    if text == "0.5":
        text = "\\frac{1}{2}"
    text = _RATIO.sub(r"\\frac{\1}{\2}", text) if _RATIO.fullmatch(text) else text
    text = _BRACED.sub(r"\1", _BRACKETED.sub(r"\1", text))
    return text.rstrip(".").lstrip(":").strip()


def same(gold: str, answer: str) -> bool:
    """Whether MATH-V counts `answer` for `gold`: the same text, or numbers that are so rounded to two decimals."""
    gold, answer = gold.lower(), answer.lower()
    if len(answer) > MAX_CHARS or not gold.strip() or not answer.strip():
        return False
    if gold.strip() == answer.strip() or _rounded(gold) == _rounded(answer):
        return True
    wanted, given = number(gold), number(answer)
    return wanted is not None and given is not None and round(wanted, 2) == round(given, 2)


def same_exactly(gold: str, answer: str) -> bool:
    """Whether VLMEvalKit counts `answer` for `gold`: the same text, or less than 1e-6 apart (mathvision is_equal)."""
    if len(answer) > MAX_CHARS:
        return False
    gold, answer = gold.lower().strip(), answer.lower().strip()
    wanted, given = number(gold), number(answer)
    return gold == answer or (wanted is not None and given is not None and abs(wanted - given) < 1e-6)


def number(text: str) -> float | None:
    """The value of a formula of numbers, roots, pi and functions; None for whatever latex2sympy gives no value."""
    plain = text.lower().replace("$", " ")
    if _UNBRACED.search(plain) or _NO_VALUE.search(_COMMAND.sub(" ", plain)):
        return None
    expression = algebra.read(_BEFORE_FRACTION.sub(r"\\cdot ", plain).replace(":", "/").strip())
    constant = None if expression is None else algebra.constant(expression)
    try:
        return None if constant is None else float(constant.value)
    except OverflowError:
        return None


def _after(text: str, phrase: str) -> str:
    """What follows the last `phrase`, up to the end of its line and sentence; all of a text without it."""
    if phrase not in text:
        return text.strip()
    return text.split(phrase)[-1].strip().split("\n")[0].split(". ")[0]


def _unboxed(text: str) -> str:
    """What is between the first box's brace and the last one, in lower case, cut at a brace that nothing opens."""
    text = text.lower().replace("{}", "")
    start, end = text.find(_BOX), text.rfind("}")
    if 0 <= start < end:
        text = text[start + len(_BOX) : end]
    closing, opening = text.find("}"), text.find("{")
    return text[:closing] if closing >= 0 and (opening < 0 or closing < opening) else text


def _braced(match: re.Match[str]) -> str:
    below = "{" if match[2] == "{" else f"{{{match[2]}}}"
    return f"\\frac{{{match[1]}}}{below}"


def _rounded(text: str) -> str:
    """A tuple or list of several numbers with each rounded to two decimals; any other text as it is."""
    members = text[1:-1].split(",")
    if len(members) < 2 or (text[0], text[-1]) not in (("(", ")"), ("[", "]")):
        return text
    found = []
    for member in members:
        kept = "infty" in member or member in ("a", "-a")
        value = None if kept else number(member)
        if value is None and not kept:
            return text
        found.append(member if value is None else str(round(value, 2)))
    return f"{text[0]}{','.join(found)}{text[-1]}"


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
