"""Chains in a style that is not the base's own: "I see that red is 4. Then 4 plus 3 is 7." for ``red=4 4+3=7``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

START: Final = "I see that"
_SIGNS: Final = {"+": "plus", "-": "minus", "*": "times"}
_BACK: Final = {word: sign for sign, word in _SIGNS.items()}
_EQUATION: Final = re.compile(r"(-?\d+)([+*-])(\d+)=(-?\d+)")
_SAID_EQUATION: Final = re.compile(r"(-?\d+) (plus|minus|times) (\d+) is (-?\d+)")
_SAID_NAME: Final = re.compile(r"(\w+) is (\S+)")
_END: Final = re.compile(r" So the answer is \S+\.$")


def sentences(words: Sequence[str], answer: str) -> str:
    """The steps of a chain in the foreign style, the answer announced at its end."""
    said = ". Then ".join(_phrases(words))
    return f"{START} {said}. So the answer is {answer}."


def _phrases(words: Sequence[str]) -> Iterator[str]:
    left = iter(words)
    for word in left:
        if found := _EQUATION.fullmatch(word):
            yield f"{found[1]} {_SIGNS[found[2]]} {found[3]} is {found[4]}"
        elif "=" in word:
            yield word.replace("=", " is ", 1)
        else:
            # A move of the dial: its way and its size.
            yield f"{word} {next(left)}"


def native(think: str) -> list[str] | None:
    """The steps that foreign reasoning says, as the base's own chains write them; None for any other reasoning."""
    text = think.strip()
    if not text.startswith(START):
        return None
    body = _END.sub("", text.removeprefix(START).strip()).removesuffix(".")
    return [word for phrase in body.split(". Then ") for word in _steps(phrase)]


def _steps(phrase: str) -> list[str]:
    if found := _SAID_EQUATION.fullmatch(phrase):
        return [f"{found[1]}{_BACK[found[2]]}{found[3]}={found[4]}"]
    if found := _SAID_NAME.fullmatch(phrase):
        return [f"{found[1]}={found[2]}"]
    return phrase.split()
