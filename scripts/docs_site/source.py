"""Links of the documentation to source files, by the name of what is meant, and the pages that they lead to.

A page writes `[text](../src/metis_rise/stages/beta.py#beta_cdf)`: on GitHub that opens the file, and on the site its
page at the line where `beta_cdf` is defined today. `#beta_cdf.front` is where that function first assigns `front`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_LINK = re.compile(r"\]\(\.\./(?P<path>[^)#\s]+)(?:#(?P<symbol>[\w.]+))?\)")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
# Longer than any fence inside a source file.
_FENCE = "~" * 8

_PAGE = """---
search:
  exclude: true
hide: [toc]
---
# `{path}`

{fence}{{.{language} linenums="1"}}
{text}
{fence}
"""


class BrokenLink(ValueError):
    """A link leads to a file or to a name in it that is not there."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a file of the repository; `symbol` is a dotted name in it, or None."""

    path: str
    symbol: str | None


def links(markdown: str) -> Iterator[Link]:
    """The links of a page in docs/ to files that are not."""
    for match in _LINK.finditer(markdown):
        yield Link(match["path"], match["symbol"])


def resolved(markdown: str, repository: Path) -> str:
    """The page with these links leading to pages of the site.

    Raises:
        BrokenLink: a file or a name is not there.
    """

    def target(match: re.Match[str]) -> str:
        line = "" if match["symbol"] is None else f"#{anchor(_line(repository / match['path'], match['symbol']))}"
        return f"]({page_of(match['path'])}{line})"

    return _LINK.sub(target, markdown)


def anchor(line: int) -> str:
    """What pymdownx.highlight calls line `line` (from 1) of the first listing of a page."""
    return f"__codelineno-0-{line}"


def anchors(html: str) -> list[str]:
    """The lines of listings in a page that can be linked to."""
    return re.findall(r'id="(__codelineno-[\d-]+)"', html)


def page_of(path: str) -> str:
    """Where the page of a source file is, below docs/."""
    return f"source/{path}.md"


def page(repository: Path, path: str) -> str:
    """The page that shows a source file.

    Raises:
        BrokenLink: there is no such file.
    """
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return _PAGE.format(path=path, fence=_FENCE, language=language, text=_read(repository / path).rstrip("\n"))


def line_of(text: str, symbol: str) -> int:
    """The line, from 1, where Python source defines or first assigns a dotted name; of several the outermost.

    Raises:
        BrokenLink: it does not.
    """
    scope: ast.AST = ast.parse(text)
    for name in symbol.split("."):
        # In the order of ast.walk those further out come first.
        found = next((node for node in ast.walk(scope) if node is not scope and name in _names(node)), None)
        if found is None:
            raise BrokenLink(f"there is no {symbol}")
        scope = found
    return int(scope.lineno)  # type: ignore[attr-defined]


def _names(node: ast.AST) -> list[str]:
    """What a statement defines or assigns."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    known = targets if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) else []
    return [
        each.id for target in known if target is not None for each in ast.walk(target) if isinstance(each, ast.Name)
    ]


@lru_cache
def _read(file: Path) -> str:
    if not file.is_file():
        raise BrokenLink(f"there is no file {file.name}")
    return file.read_text(encoding="utf-8")


def _line(file: Path, symbol: str) -> int:
    try:
        return line_of(_read(file), symbol)
    except BrokenLink as error:
        raise BrokenLink(f"{file.name}: {error}") from None
