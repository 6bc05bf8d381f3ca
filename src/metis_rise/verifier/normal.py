r"""One spelling for an answer: LaTeX dress, unicode look-alikes, units of angle and spacing put aside."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_GREEK_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_LETTERS = dict(zip(_GREEK, _GREEK_NAMES.split(), strict=True))
_SIGNS = {
    "\u00b7": "cdot",
    "\u22c5": "cdot",
    "\u00d7": "times",
    "\u00b1": "pm",
    "\u2264": "le",
    "\u2a7d": "le",
    "\u2265": "ge",
    "\u2a7e": "ge",
    "\u2260": "ne",
    "\u2248": "approx",
    "\u221e": "infty",
    "\u222a": "cup",
    "\u2229": "cap",
    "\u2208": "in",
    "\u2205": "emptyset",
    "\u2220": "angle",
    "\u25b3": "triangle",
    "\u221a": "sqrt",
}
_LOOK_ALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2012\u2013\u2014\u2010\u2011\ufe63\uff0d", "-"),
        **dict.fromkeys("\u00b0\u00ba\u02da", r"^\circ "),
        **dict.fromkeys("\u00f7\u2044\u2215", "/"),
        **dict.fromkeys("\u2032\u2019", "'"),
        **{sign: rf"\{name} " for sign, name in {**_LETTERS, **_SIGNS}.items()},
        "\u27e8": "(",
        "\u27e9": ")",
        "\u3002": ".",
        "\uff05": "%",
    }
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u2079\u207a\u207b\u207f]+")
_LOWERED = re.compile("[\u2080-\u2089]+")
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_ROW = "\x02"
_ROW_IN_TEX = re.compile(r"\\cr(?![A-Za-z])")
# What is left of `\ ` at the end of a box.
_LOOSE_BACKSLASH = re.compile(r"(?<!\\)\\$")
_ESCAPED_TWICE = re.compile(r"\\\\(?=[A-Za-z])")
_TEMPERATURE = re.compile(r"\^ ?(?:\{ ?\\circ ?\}|\\circ) ?(?:\\(?:text|mathrm) ?\{ ?)?([CF])(?![A-Za-z])\}?")
# Behind a trigonometric function degrees count; elsewhere the sign is put aside.
_ANGLE_OF = re.compile(
    r"(?P<function>\\?(?:sin|cos|tan|cot|sec|csc) ?(?:\^ ?\{?-?[0-9]\}? ?)?)(?P<open>\(?) ?(?P<degrees>[0-9.]+) ?"
    r"\^ ?(?:\{ ?\\circ ?\}|\\circ(?![A-Za-z])) ?(?P<close>\)?)"
)
_TEMPERATURE_WORDS = re.compile(r" ?degrees? (C|F)(?:elsius|ahrenheit)?(?![A-Za-z])", re.IGNORECASE)
_THIN_SPACE_BEFORE_WORD = re.compile(r"\\[,;:] ?(?=[A-Za-z]|\\(?:text|mathrm))")
_DROPPED = re.compile(
    r"\\(?:left|right|[Bb]igg?[lrm]?|displaystyle|limits)(?![A-Za-z])|\\[!,;:()\[\]]|(?<!\\)\$|\\(?=[%$#&_])"
    r"|\^ ?(?:\{ ?\\circ ?\}|\\circ(?![A-Za-z]) ?)|\\degrees?(?![A-Za-z])|\\boxed(?= ?[^A-Za-z{ ])"
)
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_LATEX_SIGN = re.compile(r"[\\${~^_]")
_SPACES = re.compile(r"\\ |\\q?quad(?![A-Za-z])|~|\s+")
_DRESS_OR_BRACE = re.compile(
    r"(?P<dress> ?\\(?:text|textnormal|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|boldsymbol|mbox|operatorname"
    r"|number|boxed|fbox)\*? ?\{)|\\[{}]|[{}]"
)
_BRACE_SPACE = re.compile(r" (?=[{}])|(?<=\{) ")
# Braces that only group: not the argument of a command, of another brace pair, of a root's index, of ^ or _.
_GROUP = re.compile(r"(?<![A-Za-z}\]^_\\])(?<![\^_][0-9])\{(?:([^{},]*)\}(?![\^_])|([^{}])\}(?=[\^_]))")
_BARE_FRACTION = re.compile(r"\\[dtc]?frac(?![A-Za-z]) ?")
_SHORT_FRACTION = re.compile(r"\\frac(\d)(?=[\d{])|(\\frac\{[^{}]*\})(\d)")
# 2^{3}5 is 40, 2^35 would be read as 2^{35}.
_SHORT_ARGUMENT = re.compile(r"(\\sqrt) ?(\d)|([\^_])\{([^{}\\])\}(?![0-9{])")
_CHOOSE = re.compile(r"\{([^{}]*?)\\choose(?![A-Za-z])([^{}]*)\}")
# 0.1666... and 0.(3): digits three times, right behind the point twice (but e is 2.718281828...). Not 0.999..., with
# which 1 may have been missed.
_RECURRING = re.compile(
    r"(?<![0-9.])(?P<start>[0-9]{0,30}\.[0-9]{0,30}?)"
    r"(?:(?:(?P<digits>(?!9+\b)[0-9]{1,12}?)(?P=digits){2,}|(?<=\.)(?P<pure>(?!99)[0-9]{2,12}?)(?P=pure)+)"
    r" ?(?:\.{3}|\\[lc]?dots)"
    r"|(?<=\.)\((?P<period>[0-9]{1,12})\))$"
)
_ROOT_IN_BRACKETS = re.compile(r"\\sqrt ?\(([^(){}]*)\)")
_SYNONYMS = re.compile(
    r"\\(?P<command>leq(?:slant)?|geq(?:slant)?|neq|lt|gt|lbrace|rbrace|langle|rangle|mid|[lr]?vert|colon|infin|varnothing"
    r"|land|wedge|lor|vee|prime|ast)(?![A-Za-z]) ?|(?P<sign><=|>=|!=|=<|\*\*)"
    r"|(?<![A-Za-z\\])(?P<word>pi|infinity|inf|oo)(?![A-Za-z])"
)
_SYNONYM = {
    **{"leq": r"\le ", "leqslant": r"\le ", "geq": r"\ge ", "geqslant": r"\ge ", "neq": r"\ne ", "lt": "<", "gt": ">"},
    **{"lbrace": r"\{", "rbrace": r"\}", "langle": "(", "rangle": ")", "mid": "|", "vert": "|", "lvert": "|"},
    **{"rvert": "|", "colon": ":", "infin": r"\infty ", "varnothing": r"\emptyset ", "ast": "*"},
    **{"land": " and ", "wedge": " and ", "lor": " or ", "vee": " or ", "prime": "'"},
    **{"<=": r"\le ", "=<": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "**": "^"},
    **{"pi": r"\pi ", **dict.fromkeys(("infinity", "inf", "oo"), r"\infty ")},
}
_RAISED_PRIME = re.compile(r"\^\{?('+)\}?")
_ANGLE_WORD = re.compile(r"(?<=[\d}]) ?(?:deg|degrees?|textdegree)$", re.IGNORECASE)
_ABOUT = re.compile(r"^(?:approximately|approx\.?|about|roughly|around) (?=[-0-9.\\])", re.IGNORECASE)
_PERCENT_WORD = re.compile(r"(?<=[\d}]) ?(?:percent(?:age)?|per cent|pct)$", re.IGNORECASE)
_LOOSE_SPACE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])|(?<=\d) (?=[A-Za-z])")
_NUMBER_ENDS = tuple("0123456789})")
_MAX_DEPTH = 16


def normal(text: str) -> str:
    r"""`text` in its one spelling, case kept.

    Single spaces are kept where a number (`1 1/2`), a unit (`5 m` is not `5m`) or a word needs them; an escaped dollar
    sign stays as `$`, `\\` as the end of a matrix row. For short texts: the caller bounds the length.
    """
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    text = _LOOSE_BACKSLASH.sub("", _ascii(text).strip().strip("*`"))
    if _LATEX_SIGN.search(text):
        text = _plain_latex(text).strip()
    if text.endswith(("...", "dots", ")")):
        text = _RECURRING.sub(_recurring, text)
    text = _SYNONYMS.sub(lambda match: _SYNONYM[match["command"] or match["sign"] or match["word"]], text)
    text = " ".join(text.split()).rstrip(".,;").rstrip().replace(_ROW, r"\\")
    if text[:1] in "aArR":
        text = _ABOUT.sub(r"\\approx ", text)
    if not text[-1:].isalpha():
        return text
    text = _TEMPERATURE_WORDS.sub(_temperature, text)
    return _PERCENT_WORD.sub("%", _ANGLE_WORD.sub("", text))


def _plain_latex(text: str) -> str:
    if "\\\\" in text:
        text = text if r"\begin" in text else _ESCAPED_TWICE.sub(r"\\", text)
        text = text.replace("\\\\", _ROW)
    text = _ROW_IN_TEX.sub(_ROW, text)
    text = _TEMPERATURE.sub(_temperature, _ANGLE_OF.sub(_angle, text))
    text = _SPACES.sub(" ", _DROPPED.sub("", _THIN_SPACE_BEFORE_WORD.sub(" ", text)))
    text = _undressed(text)
    text = _BRACE_SPACE.sub("", text).replace("{,}", ",").replace("{}", "")
    text = _CHOOSE.sub(_binomial, text) if r"\choose" in text else text
    text = _BARE_FRACTION.sub(_fraction, text)
    text = _SHORT_FRACTION.sub(_braced_fraction, _SHORT_FRACTION.sub(_braced_fraction, text))
    text = _settled(lambda braced: _SHORT_ARGUMENT.sub(_braced_argument, _GROUP.sub(_ungrouped, braced)), text)
    return _RAISED_PRIME.sub(_prime, _ROOT_IN_BRACKETS.sub(_root, text))


def folded(text: str) -> str:
    """An already `normal` text for comparing words and formulas: casefolded, spaces kept only between words."""
    return tight(text.casefold())


def tight(text: str) -> str:
    """An already `normal` text with the spaces between words only, case kept."""
    return _LOOSE_SPACE.sub("", text)


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    text = _RAISED.sub(lambda match: f"^{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = _LOWERED.sub(lambda match: f"_{{{unicodedata.normalize('NFKC', match[0])}}}", text)
    text = _VULGAR.sub(lambda match: " " + unicodedata.normalize("NFKC", match[0]), text)
    return unicodedata.normalize("NFKC", text.translate(_LOOK_ALIKES)).translate(_LOOK_ALIKES)


def _settled(step: Callable[[str], str], text: str) -> str:
    """`text` after `step` until nothing changes, innermost braces first; at most `_MAX_DEPTH` levels."""
    for _ in range(_MAX_DEPTH):
        before, text = text, step(text)
        if text == before:
            break
    return text


def _undressed(text: str) -> str:
    r"""`text` without `\text{}`, `\boxed{}` and the like, of which only the insides stay.

    A space sets them apart from a number before them: `5\text{m}` is five metres, while `5m` may be a product.
    """
    kept: list[str] = []
    opened: list[bool] = []
    start = 0
    for token in _DRESS_OR_BRACE.finditer(text):
        kept.append(text[start : token.start()])
        start = token.end()
        if token["dress"]:
            apart = token["dress"][0] == " " or text[token.start() - 1 : token.start()] in _NUMBER_ENDS
            kept.append(" " if apart and start > len(token[0]) else "")
            opened.append(True)
        elif token[0] == "{":
            opened.append(False)
            kept.append("{")
        elif token[0] != "}" or not opened or not opened.pop():
            kept.append(token[0])
    return "".join((*kept, text[start:]))


# Functions, as `re` takes several times as long over a template.
def _temperature(match: re.Match[str]) -> str:
    return f" deg{match[1].upper()}"


def _angle(match: re.Match[str]) -> str:
    return rf"{match['function']}(\frac{{{match['degrees']}\pi}}{{180}})"


def _ungrouped(match: re.Match[str]) -> str:
    return match[1] or match[2] or ""


def _fraction(match: re.Match[str]) -> str:
    return r"\frac"


def _prime(match: re.Match[str]) -> str:
    return match[1]


def _root(match: re.Match[str]) -> str:
    return rf"\sqrt{{{match[1]}}}"


def _binomial(match: re.Match[str]) -> str:
    return rf"\binom{{{match[1].strip()}}}{{{match[2].strip()}}}"


def _recurring(match: re.Match[str]) -> str:
    return rf"{match['start']}\overline{{{match['digits'] or match['pure'] or match['period']}}}"


def _braced_fraction(match: re.Match[str]) -> str:
    return rf"\frac{{{match[1]}}}" if match[1] else f"{match[2]}{{{match[3]}}}"


def _braced_argument(match: re.Match[str]) -> str:
    return f"{match[1]}{{{match[2]}}}" if match[1] else f"{match[3]}{match[4]}"
