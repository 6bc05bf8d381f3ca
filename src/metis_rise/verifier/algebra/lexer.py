"""Text to tokens: LaTeX, unicode signs and plain text come out alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from metis_rise.verifier.algebra.exact import OutOfReachError
from metis_rise.verifier.algebra.words import PIECES, SIGNS, is_product

MAX_CHARACTERS = 400
_SIGNS = str.maketrans(SIGNS)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+")
_DRESS = re.compile(
    r"\\(?:text|textnormal|textbf|textit|textrm|mathrm|mathbf|mathit|mathsf|mbox|operatorname) ?\{([^{}\\]*)\}"
)
_DEGREE = re.compile(r"\^ ?(?:\{ ?\\circ ?\}|\\circ(?![A-Za-z]))")
_PIECE = re.compile(
    r"(?:1|[0-9]+\.[0-9]*|\.[0-9]+)[eE][+-]?[0-9]+|[0-9]+E[+-]?[0-9]+"
    r"|(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+"
    r"|\\[A-Za-z]+|\\.|[A-Za-z]+|\*\*|\s+|.",
    re.DOTALL,
)
_SCIENTIFIC_ALONE = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)e[+-]?[0-9]+\s*")
_NAME = re.compile(r"[A-Za-z0-9+, -]*")
# Functions that are written without a space before their letter: sinx.
_GLUED = re.compile(r"(sin|cos|tan|ln)([A-Za-z])")
# Several, so that the reader may look ahead without counting.
_END = ["end"] * 4


class Tokens(NamedTuple):
    """The pieces of an expression, ended by some of the kind "end".

    `kinds`: "number", "variable", "constant", "function", "frac", "binom", "sqrt", "degree", "repeated", "infinity",
    or the sign itself ("+", "("). `texts`: what they say. `spaced`: the indices of those with space before them.
    """

    kinds: list[str]
    texts: list[str]
    spaced: set[int]


def tokens(text: str) -> Tokens:
    """The tokens of `text`.

    Raises:
        OutOfReachError: for whatever is no part of an expression: words, relations, commas, unknown commands,
            and for texts of more than `MAX_CHARACTERS`.
    """
    if len(text) > MAX_CHARACTERS:
        raise OutOfReachError
    text = _plain(text)
    kinds: list[str] = []
    texts: list[str] = []
    spaced: set[int] = set()
    pieces = iter(_PIECE.findall(text))
    for piece in pieces:
        known = PIECES.get(piece)
        if known is not None:
            kind, name = known
            if kind == "_" and not (kinds and kinds[-1] == "function"):
                texts[-1:] = [_subscripted(kinds, texts, pieces)]
                kinds[-1] = "variable"
            elif kind:
                kinds.append(kind)
                texts.append(name)
            else:
                spaced.add(len(kinds))
        elif piece[0] in "0123456789" or (piece[0] == "." and len(piece) > 1):
            kinds.append("number")
            texts.append(piece.replace(",", ""))
        elif piece.isspace():
            spaced.add(len(kinds))
        else:
            after_number = kinds[-1:] == ["number"]
            for kind, name in _word(piece, text, after_number=after_number, spaced=len(kinds) in spaced):
                kinds.append(kind)
                texts.append(name)
    if len(kinds) > 1 and kinds.count("variable") == len(kinds):
        raise OutOfReachError  # letters alone, as in `a b`, are words sooner than a product
    return Tokens(kinds + _END, texts + _END, spaced)


def _plain(text: str) -> str:
    """`text` without unicode signs, commands for fonts, and degrees as powers."""
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda match: "^{" + match[0].translate(_SUPERSCRIPTS) + "}", text).translate(_SIGNS)
    if "\\" in text:
        text = _DEGREE.sub(r"\\degree ", _DRESS.sub(r" \1 ", text))
    elif _SCIENTIFIC_ALONE.fullmatch(text):
        text = text.replace("e", "E")
    return text.replace("{,}", ",") if "{,}" in text else text


def _word(word: str, text: str, *, after_number: bool, spaced: bool) -> list[tuple[str, str]]:
    """The tokens of a run of letters that is no single name."""
    glued = _GLUED.fullmatch(word)
    if glued and len(text.strip()) > len(word):
        return [PIECES[glued[1]], PIECES[glued[2]]]
    if not (word.isascii() and word.isalpha()) or not is_product(word, text, after_number=after_number, spaced=spaced):
        raise OutOfReachError
    return [PIECES[letter] for letter in word]


def _subscripted(kinds: list[str], texts: list[str], pieces: Iterator[str]) -> str:
    """The name of a variable with the subscript that `pieces` go on with.

    A subscript without braces is one letter or one number.
    """
    if not kinds or kinds[-1] not in ("variable", "constant") or texts[-1] == "pi" or "_" in texts[-1]:
        raise OutOfReachError
    piece = next(pieces, "")
    if piece == "{":
        piece = "".join(iter(lambda: next(pieces, "}"), "}"))
    elif not piece.isdigit() and len(piece) != 1:
        raise OutOfReachError
    if not _NAME.fullmatch(piece):
        raise OutOfReachError
    return f"{texts[-1]}_{piece.replace(' ', '')}"
