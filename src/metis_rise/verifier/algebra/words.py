r"""The names and signs that stand for something in a formula, and which runs of letters are products of variables."""

from __future__ import annotations

import re
import string


def _names(text: str) -> list[str]:
    return text.split()


_GREEK = _names(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau "
    "upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
# In plain text only the Greek names that could not be a product of two or three letters.
_PLAIN_GREEK = _names("alpha beta gamma delta epsilon theta lambda sigma omega phi rho tau")
_FUNCTIONS = _names("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log lg exp")
_PLAIN_FUNCTIONS = {
    **{name: name for name in (*_FUNCTIONS, "sqrt", "abs")},
    **{"asin": "arcsin", "acos": "arccos", "atan": "arctan"},
}
_SKIPPED = (
    *(r"\,", r"\;", r"\:", r"\!", r"\ ", r"\(", r"\)", r"\[", r"\]", r"\$", "$", "~", r"\quad", r"\qquad"),
    *(r"\left", r"\right", r"\big", r"\bigl", r"\bigr", r"\Big", r"\Bigl", r"\Bigr", r"\displaystyle"),
)

# The kind and the text of a token for every piece of text that always makes the same one; "" is no token.
PIECES: dict[str, tuple[str, str]] = {
    **{sign: (sign, sign) for sign in "+-*/^_()[]{}|!%"},
    **{digit: ("number", digit) for digit in string.digits},
    **{letter: ("variable", letter) for letter in string.ascii_letters},
    **{name: ("variable", name) for name in _PLAIN_GREEK},
    **{f"\\{name}": ("variable", name) for name in _GREEK},
    **{name: ("function", function) for name, function in _PLAIN_FUNCTIONS.items()},
    **{f"\\{name}": ("function", name) for name in _FUNCTIONS},
    **dict.fromkeys(_SKIPPED, ("", "")),
    **dict.fromkeys((r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"), ("frac", "")),
    **dict.fromkeys((r"\binom", r"\dbinom", r"\tbinom"), ("binom", "")),
    **dict.fromkeys((r"\cdot", r"\times", r"\ast"), ("*", "*")),
    **dict.fromkeys((r"\lvert", r"\rvert", r"\vert"), ("|", "|")),
    **dict.fromkeys((r"\overline", r"\bar", r"\dot"), ("repeated", "")),
    **dict.fromkeys((r"\infty", "infty", "infinity", "oo"), ("infinity", "")),
    **dict.fromkeys((r"\pi", "pi"), ("constant", "pi")),
    **dict.fromkeys((r"\imath", "i"), ("constant", "i")),
    "e": ("constant", "e"),
    "**": ("^", "^"),
    r"\lbrack": ("[", "["),
    r"\rbrack": ("]", "]"),
    r"\div": ("/", "/"),
    r"\%": ("%", "%"),
    r"\sqrt": ("sqrt", ""),
    r"\degree": ("degree", ""),
}

_GREEK_LETTERS = dict(
    zip(
        "αβγδεζηθικλμνξρστυφχψω",
        _names(
            "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi "
            "psi omega"
        ),
        strict=True,
    )
)
# LaTeX, or plain text, for signs that are written in unicode.
SIGNS: dict[str, str] = {
    **{letter: rf"\{name} " for letter, name in _GREEK_LETTERS.items()},
    **dict.fromkeys("\u2212\u2012\u2013\u2014\u2010\u2011\ufe63\uff0d", "-"),
    **dict.fromkeys("\u00d7\u00b7\u22c5\u2217", "*"),
    **dict.fromkeys("\u00f7\u2044\u2215", "/"),
    **dict.fromkeys("\u00b0\u00ba\u02da", r"\degree "),
    "π": r"\pi ",
    "∞": r"\infty ",
    "√": " sqrt ",
}

# Runs of letters that are no product: units, differentials and short words that stand beside formulas.
_NO_PRODUCT = frozenset(
    _names(
        "cm mm km dm nm kg ml mL ft yd mi lb oz hr ms Hz kHz Pa kPa kW eV kJ mph kmh min sec deg rad pct rpm ppm "
        "st nd rd th pm dx dy dz dt du dv "
        "and the for but all per day lim max gcd lcm mod div det dim sup inf arg sgn sum ans not has"
    )
)
_NO_PRODUCT_AFTER_NUMBERS = frozenset(_names("mg in pt gm hm pg fm ns ps am"))
_FORMULA = re.compile(r"[\^*+=]|\\(?!degree)[A-Za-z]|/ ?[0-9]")
_ENGLISH_SHAPE = re.compile(r"[^aeiou][aeiou][^aeiou]|[aeiou][^aeiou][aeiou]", re.IGNORECASE)


def is_product(word: str, text: str, *, after_number: bool, spaced: bool) -> bool:
    """Whether a run of letters in `text` is a product of variables, such as `ab` in `2ab`.

    Only two or three letters, only right after a number or inside what is surely a formula, and never a unit, a
    differential or what looks like an English word: a text must not become algebra. `after_number`: the token before
    it is a number; `spaced`: there is space between.
    """
    if len(word) > 3 or word in _NO_PRODUCT or (len(word) == 3 and _ENGLISH_SHAPE.fullmatch(word)):
        return False
    if after_number and word in _NO_PRODUCT_AFTER_NUMBERS:
        return False
    return (after_number and not spaced) or _FORMULA.search(text) is not None


def is_function(letter: str, *, alone: bool) -> bool:
    """Whether a letter before a bracket is an unknown function; `alone`: the bracket holds one thing, as in h(x)."""
    return letter in "fgFG" or (alone and letter in "hHpPqQuv")
