"""The pages of the documentation, and the commands on them."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LAPTOP = "<!-- laptop -->"

_FENCE = re.compile(rf"^(?P<laptop>{LAPTOP}\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:(?<=\n\n)|\A)(?P<text>(?:(?: {4}.*)?\n)+)")
_INLINE = re.compile(r"(?<!`)`(?P<text>rise [^`]+)`")
_SHELL = ("", "bash", "sh")
# What ends a command inside a line of a shell.
_STOPS = {"|", "||", "&&", ";", "&", ">", ">>", "<", "2>", "2>&1"}


@dataclass(frozen=True, slots=True)
class Command:
    """A `rise` command of a page: its words after `rise`. One that stands in a sentence may be cut short."""

    page: str
    words: tuple[str, ...]
    in_sentence: bool

    def __str__(self) -> str:
        return f"{self.page}: rise {shlex.join(self.words)}"


def scripts(text: str) -> Iterator[tuple[str, bool]]:
    """The shell blocks of a page, and whether each is to be run."""
    for match in _FENCE.finditer(text):
        if match["language"] in _SHELL:
            yield match["text"], match["laptop"] is not None
    for match in _INDENTED.finditer(_FENCE.sub("", text)):
        yield re.sub(r"^ {4}", "", match["text"], flags=re.MULTILINE), False


def commands(page: Path) -> Iterator[Command]:
    """Every `rise` command of a page; one with alternatives (`rl|sft`) several times."""
    text = page.read_text(encoding="utf-8")
    for script, _ in scripts(text):
        for line in script.replace("\\\n", " ").splitlines():
            yield from (Command(page.name, words, False) for words in _of_line(line))
    for match in _INLINE.finditer(_FENCE.sub("", text)):
        for words in _of_line(" ".join(match["text"].split())):
            yield Command(page.name, words, True)


def _of_line(line: str) -> Iterator[tuple[str, ...]]:
    """The words behind `rise`, wherever in the line it is called, in all alternatives."""
    if not re.search(r"(?:^|[\s/])(?:rise|-m metis_rise) ", line):
        return
    words = shlex.split(line, comments=True)
    for start, word in enumerate(words):
        called = word == "rise" or word.endswith("/bin/rise")
        if not called and words[start - 1 : start + 1] != ["-m", "metis_rise"]:
            continue
        if start and not called and words[start - 2].endswith("torchrun"):
            continue
        own = itertools.takewhile(lambda each: each not in _STOPS, words[start + 1 :])
        choices = [_alternatives(each.rstrip(";")) for each in own if each not in ("...", "…")]
        yield from itertools.product(*([kept for kept in each if kept] for each in choices if any(each)))
        return


def _alternatives(word: str) -> list[str]:
    """A word of a synopsis without the brackets of what may be left out, once for each of its alternatives."""
    if "=[" not in word:
        word = word.replace("[", "").replace("]", "")
    return word.split("|") if word not in ("...",) else []
