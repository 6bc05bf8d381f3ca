r"""One spelling for an answer: LaTeX dress, unicode look-alikes, units of angle and spacing put aside."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2012\u2013\u2014\u2010\u2011\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00b0\u00ba\u02da", r"^\circ "),
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ",
        "\u00f7": "/",
        "\u2044": "/",
        "\u2215": "/",
        "\u03c0": r"\pi ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u221e": r"\infty ",
        "\u00b2": "^2",
        "\u00b3": "^3",
        "\u3002": ".",
        "\uff05": "%",
    }
)
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_DROPPED = re.compile(
    r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\[!,;:()\[\]]|\\?\$|\\(?=%)"
    r"|\^ ?(?:\{ ?\\circ ?\}|\\circ(?![A-Za-z]) ?)|\\degrees?(?![A-Za-z])"
)
_SPACES = re.compile(r"\\ |\\q?quad(?![A-Za-z])|~|\s+")
_DRESS = re.compile(
    r"\\(?:text|textnormal|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname|number|boxed) ?"
    r"\{([^{}]*)\}"
)
_BRACE_SPACE = re.compile(r" (?=[{}])|(?<=\{) ")
# Braces that only group: not the argument of a command, of another brace pair, of a root's index, of ^ or _.
_GROUP = re.compile(r"(?<![A-Za-z}\]^_\\])\{(?:([^{},]*)\}(?![\^_])|([^{}])\}(?=[\^_]))")
_BARE_FRACTION = re.compile(r"\\[dtc]?frac(?![A-Za-z]) ?")
_SHORT_FRACTION = re.compile(r"\\frac(\d)(?=[\d{])|(\\frac\{[^{}]*\})(\d)")
_SHORT_ARGUMENT = re.compile(r"(\\sqrt) ?(\d)|([\^_])\{([^{}\\])\}")
_RELATIONS = re.compile(r"\\(leq|geq|neq)(?![A-Za-z])|<=|>=|!=")
_RELATION_NAMES = {r"\leq": r"\le ", r"\geq": r"\ge ", r"\neq": r"\ne ", "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne "}
_ANGLE_WORD = re.compile(r"(?<=\d) ?degrees?$", re.IGNORECASE)
_PERCENT_WORD = re.compile(r"(?<=\d) ?(?:percent(?:age)?|pct)$", re.IGNORECASE)
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])|(?<=\d) (?=[A-Za-z])")
_MAX_DEPTH = 16


def normal(text: str) -> str:
    """`text` in its one spelling, case kept; single spaces are kept where numbers need them (`1 1/2`).

    For short texts: the caller bounds the length.
    """
    text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]), text)
    text = unicodedata.normalize("NFKC", text.translate(_LOOK_ALIKES)).translate(_LOOK_ALIKES)
    text = _SPACES.sub(" ", _DROPPED.sub("", text))
    text = _settled(lambda dressed: _DRESS.sub(r"\1", dressed), text)
    text = _BRACE_SPACE.sub("", text).replace("{,}", ",").replace("{}", "")
    text = _BARE_FRACTION.sub(r"\\frac", text)
    text = _SHORT_FRACTION.sub(_braced_fraction, _SHORT_FRACTION.sub(_braced_fraction, text))
    text = _settled(lambda braced: _SHORT_ARGUMENT.sub(_braced_argument, _GROUP.sub(r"\1\2", braced)), text)
    text = _RELATIONS.sub(lambda match: _RELATION_NAMES[match[0]], text)
    text = _SPACES.sub(" ", text).strip().rstrip(".").strip()
    return _PERCENT_WORD.sub("%", _ANGLE_WORD.sub("", text))


def folded(text: str) -> str:
    """An already `normal` text for comparing words and formulas: casefolded, spaces kept only between words."""
    return _LOOSE_SPACE.sub("", text.casefold())


def _settled(step: Callable[[str], str], text: str) -> str:
    """`text` after `step` until nothing changes, innermost braces first; at most `_MAX_DEPTH` levels."""
    for _ in range(_MAX_DEPTH):
        before, text = text, step(text)
        if text == before:
            break
    return text


def _braced_fraction(match: re.Match[str]) -> str:
    return rf"\frac{{{match[1]}}}" if match[1] else f"{match[2]}{{{match[3]}}}"


def _braced_argument(match: re.Match[str]) -> str:
    return f"{match[1]}{{{match[2]}}}" if match[1] else f"{match[3]}{match[4]}"
