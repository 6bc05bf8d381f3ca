"""The text of a new recipe: a shipped one with its model and problems, each setting with its meaning."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from metis_rise.recipe import shipped_recipe
from metis_rise.recipe.faults import described_keys

_KEY = re.compile(r"( *)([a-z_]+):")
_WIDTH = 110
_LEGEND = "# ["

_PROBLEMS = """\
problems:
  # JSONL, parquet, or what else docs/data.md lists; a path is looked for from where `rise run` is started.
  train: {train}
  test: {test}
  # dev: dev.jsonl  # without it a tenth of the training problems is set aside
  # skip_bad: true  # leave out rows that cannot be used; `rise data check` lists them
"""

_MORE = """
# Take the signs # away for what you want.

# A model behind an OpenAI-compatible API for the problems that are never solved (docs/data-engine.md):
#expert:
#  experts:
#    - name: strong
#      url: https://HOST/v1
#      model: MODEL
#      api_key_env: EXPERT_KEY  # the variable that holds the key; the key itself belongs in no file
#  budget: {calls: 1000}

# Public benchmarks at the end of the run (docs/evaluation.md):
#evaluate:
#  benchmarks: [mathvista, mathvision, mathverse, dynamath, wemath, logicvista]
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a recipe is to be for: its name, its model, and files of problems."""

    name: str
    model: str
    train: str
    test: str


def recipe_text(wish: Wish, base: str) -> str:
    """A recipe like the shipped one called `base`, commented, for what is wished."""
    lines = shipped_recipe(base).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("name:"))
    legend = [line for line in lines[:start] if line.startswith(_LEGEND)]
    body = _commented(_adapted(lines[start:], wish), described_keys())
    return "\n".join([*_head(wish, base, legend), *body]).rstrip() + "\n" + _MORE


def _head(wish: Wish, base: str, legend: list[str]) -> Iterator[str]:
    yield f"# A recipe for {_word(wish.model)}, written by `rise init`; its numbers are those of the recipe {base}."
    yield "# What a line does not set has its default: see the reference of recipes in the documentation."
    if legend:
        yield "# Where the numbers are from; those without a letter are our choice:"
        yield from legend


def _adapted(lines: list[str], wish: Wish) -> Iterator[str]:
    """The lines with the wished name, model and problems."""
    section = ""
    for line in lines:
        found = _KEY.match(line)
        if found and not found[1]:
            section = found[2]
        if section == "problems":
            if found and not found[1]:
                yield from _PROBLEMS.format(train=_word(wish.train), test=_word(wish.test)).splitlines()
            elif not line.strip():
                yield line
        elif line.startswith("name:"):
            yield f"name: {_word(wish.name)}"
        elif section == "model" and line.startswith("  path:"):
            yield f"  path: {_word(wish.model)}"
        else:
            yield line


def _commented(lines: Iterator[str], meanings: Mapping[str, str]) -> Iterator[str]:
    """The lines, above each that sets something its meaning in a sentence."""
    section = ""
    for line in lines:
        if found := _KEY.match(line):
            key = found[2] if not found[1] else f"{section}.{found[2]}"
            section = section if found[1] else found[2]
            yield from _comment(found[1], meanings.get(key, ""))
        yield line


def _comment(indent: str, meaning: str) -> list[str]:
    sentence = re.split(r"(?<=\.)\s", meaning, maxsplit=1)[0].removesuffix(".")
    return textwrap.wrap(sentence, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


def _word(value: str) -> str:
    """A text as YAML reads it back: bare where that is safe, else quoted as in JSON."""
    bare = re.fullmatch(r"[A-Za-z/][\w./-]*", value, re.ASCII) and value.casefold() not in _WORDS
    return value if bare else json.dumps(value, ensure_ascii=False)


_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
"""What YAML takes for something else than text."""
