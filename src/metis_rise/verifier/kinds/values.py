r"""The shape of an answer: a single value, a list, a relation, a union or a matrix."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metis_rise.verifier.kinds.moments import read_date
from metis_rise.verifier.kinds.splitting import enclosed, outside, pieces
from metis_rise.verifier.numbers import read_number

MAX_ITEMS = 64
_MAX_DEPTH = 6
# What only texts of another shape than `Single` have.
_STRUCTURE = re.compile(
    r"[,;=<>]|\\(?:cup|in|le|ge|ne|approx|equiv|simeq|pm|mp|begin)(?![A-Za-z])|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])"
    r"|^\\?[(\[{]|[)\]] ?U ?[(\[]"
)
_WORDS = r"[,;]? ?(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])"
# A comma in a number separates thousands, except in brackets without spaces after commas.
_LOOSE = outside(rf"{_WORDS}|;|(?<![0-9]),|,(?![0-9]{{3}}(?![0-9]))")
_TIGHT = outside(rf"{_WORDS}|[,;]")
_COMMA_SPACE = outside(", ")
_UNION = outside(r"\\cup(?![A-Za-z])|(?<=[)\]]) ?U ?(?=[(\[])")
_RELATION = outside(r"\\(?:le|ge|ne|approx|equiv|simeq)(?![A-Za-z])|(?<!\\)[<>=]")
_MEMBER = re.compile(r"(?P<name>[A-Za-z](?:_\w)?) ?\\in(?![A-Za-z]) ?(?P<set>.+)", re.DOTALL)
_SET_BUILDER = outside(r"[|:]")
_BUILDER_VARIABLE = re.compile(r"[A-Za-z](?: ?\\in ?\\mathbb\{?R\}?)?")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)(?![A-Za-z]) ?")
_POINT = re.compile(r"(?P<name>[A-Z]'?) ?(?P<place>\(.*,.*\))", re.DOTALL)
_PART = re.compile(r"(?:^|(?<=[ ,;]))\(([a-h]|[1-8]|i{1,3}|iv)\)")
_PART_LABELS = tuple(tuple(labels.split()) for labels in ("a b c d e f g h", "1 2 3 4 5 6 7 8", "i ii iii iv"))
_ENVIRONMENT = r"[pbvBV]?matrix|smallmatrix|array|cases|aligned|align\*?"
_MATRIX = re.compile(
    r"(?:(?P<name>[A-Za-z](?:_\w)?|\\vec\{?[A-Za-z]\}?) ?= ?)?(?P<factor>[^&,;=<>]{0,40}?) ?"
    rf"\\begin\{{(?P<kind>{_ENVIRONMENT})\}}(?:\{{[lcr|]+\}})?"
    r"(?P<body>.*)\\end\{(?P=kind)\}",
    re.DOTALL,
)
_PYTHON_ROWS = outside(",")
_ROW_END = outside(r"\\\\")
_CELL_END = outside("&")
_RELATION_NAMES = {r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\approx": "~", r"\simeq": "~", r"\equiv": "="}


@dataclass(frozen=True, slots=True)
class Single:
    """A number, an expression, a quantity, a word: what is not made of others."""

    text: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Values in brackets (`()`, `[)`, `{}` and so on) or, with `brackets` "", a bare list.

    `words` are the words that joined its members ("and", "or").
    """

    brackets: str
    items: tuple[Value, ...]
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Relation:
    """Texts with signs between them, one sign fewer: `<`, `<=`, `>`, `>=`, `=`, `!=`, `~` (about) and `in`."""

    sides: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """Sets of numbers taken together."""

    parts: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of texts; `bars` marks a determinant."""

    rows: tuple[tuple[str, ...], ...]
    bars: bool = False


Value = Single | Listing | Relation | Union | Matrix


def read_value(text: str, *, bracketed: bool = False, depth: int = 0) -> Value:
    """The shape of an already `normal` text; `bracketed` says that it stood in brackets. Never fails."""
    text = text.strip()
    if not _STRUCTURE.search(text):
        return Single(text)
    if depth > _MAX_DEPTH or (not bracketed and read_number(text) is not None) or read_date(text) is not None:
        return Single(text)
    for reader in (_matrix, _parts, _listing, _relation, _union, _in_brackets):
        value = reader(text, bracketed, depth)
        if value is not None:
            return value
    point = _POINT.fullmatch(text)
    if point and enclosed(point["place"]):
        return Relation((point["name"], point["place"]), ("=",))
    return _plus_minus(text)


def _parts(text: str, bracketed: bool, depth: int) -> Value | None:
    """`(a) 5, (b) 7` as the list `a = 5, b = 7`."""
    labels = tuple(match[1] for match in _PART.finditer(text)) if text[0] == "(" else ()
    names = next((_PART_LABELS[0][: len(labels)] for known in _PART_LABELS if known[: len(labels)] == labels), ())
    said = [part.strip(" ,;").removesuffix(" and").rstrip(" ,;") for part in _PART.split(text)[2::2]]
    if len(names) < 2 or not all(said):
        return None
    return Listing("", tuple(Relation(pair, ("=",)) for pair in zip(names, said, strict=True)))


def _listing(text: str, bracketed: bool, depth: int) -> Value | None:
    tight = bracketed and not pieces(text, _COMMA_SPACE)[1]
    parts, cuts = pieces(text, _TIGHT if tight else _LOOSE)
    if len(parts) == 1 or len(parts) > MAX_ITEMS or not all(parts):
        return None
    words = frozenset(word for cut in cuts for word in ("and", "or") if cut.endswith(word))
    items = tuple(read_value(part, depth=depth + 1) for part in parts)
    return Listing("", items if bracketed else _apart(items), words)


def _apart(items: tuple[Value, ...]) -> tuple[Value, ...]:
    r"""`\pm 1` as the two values that it is in a set or a bare list."""
    pairs = (item.items if isinstance(item, Listing) and not item.brackets else (item,) for item in items)
    return tuple(value for pair in pairs for value in pair)


def _relation(text: str, bracketed: bool, depth: int) -> Value | None:
    member = _MEMBER.fullmatch(text)
    if member:
        return Relation((member["name"], member["set"]), ("in",))
    sides, cuts = pieces(text, _RELATION)
    if not cuts:
        return None
    if len(cuts) >= MAX_ITEMS:
        return None
    signs = [_RELATION_NAMES.get(cut, cut) for cut in cuts]
    # `= 5` and `\approx 5` say 5.
    if not sides[0] and signs[0] in "=~":
        sides, signs = sides[1:], signs[1:]
    if not all(sides):
        return None
    if not signs:
        return read_value(sides[0], depth=depth + 1)
    return (_tuple_equation(sides) if signs == ["="] else None) or Relation(tuple(sides), tuple(signs))


def _tuple_equation(sides: list[str]) -> Listing | None:
    """`(x, y) = (4, 5)` as the tuple `(x = 4, y = 5)`."""
    tuples = [enclosed(side) for side in sides]
    if any(found is None or found[0] != "()" for found in tuples):
        return None
    names, values = (pieces(found[1], _TIGHT)[0] for found in tuples if found is not None)
    if len(names) != len(values) or len(names) == 1 or not all((*names, *values)):
        return None
    return Listing("()", tuple(Relation(pair, ("=",)) for pair in zip(names, values, strict=True)))


def _union(text: str, bracketed: bool, depth: int) -> Value | None:
    parts, cuts = pieces(text, _UNION)
    if not cuts or not all(parts) or len(parts) > MAX_ITEMS:
        return None
    return Union(tuple(read_value(part, depth=depth + 1) for part in parts))


def _in_brackets(text: str, bracketed: bool, depth: int) -> Value | None:
    """A list with its brackets; brackets around one value say nothing."""
    found = enclosed(text)
    if found is None:
        return None
    brackets, inside = found
    if not inside:
        return Single(r"\emptyset" if brackets == "{}" else text)
    rows = _python_matrix(inside) if brackets == "[]" else None
    if rows is not None:
        return rows
    if brackets == "{}":
        condition = _set_builder(inside)
        if condition is not None:
            return read_value(condition, depth=depth + 1)
    signs = _both_signs(text) if brackets == "()" and "," in inside else None
    if signs is not None:
        return Listing("", tuple(read_value(signed, depth=depth + 1) for signed in signs))
    value = read_value(inside, bracketed=True, depth=depth + 1)
    if isinstance(value, Listing) and not value.brackets and "or" not in value.words:
        return Listing(brackets, _apart(value.items) if brackets == "{}" else value.items, value.words)
    return value if brackets in ("()", "[]", "{}") else None


def _set_builder(inside: str) -> str | None:
    parts, cuts = pieces(inside, _SET_BUILDER)
    if len(cuts) != 1 or not _BUILDER_VARIABLE.fullmatch(parts[0]) or parts[0][0] not in parts[1]:
        return None
    return parts[1]


def _plus_minus(text: str) -> Value:
    signs = _both_signs(text)
    return Single(text) if signs is None else Listing("", tuple(map(Single, signs)))


def _both_signs(text: str) -> tuple[str, str] | None:
    """`text` with its only plus-or-minus sign as plus and as minus."""
    if len(_PLUS_MINUS.findall(text)) != 1:
        return None
    before, after = _PLUS_MINUS.split(text)
    plus = before + (after if not before.strip() or before.rstrip()[-1] in "({," else f"+{after}")
    return plus, f"{before}-{after}"


def _matrix(text: str, bracketed: bool, depth: int) -> Value | None:
    match = _MATRIX.fullmatch(text) if text.endswith("}") else None
    if match is None or r"\begin" in match["body"]:
        return None
    rows = [row for row in pieces(match["body"].strip(), _ROW_END)[0] if row]
    if not rows or len(rows) > MAX_ITEMS:
        return None
    factor = match["factor"].strip()
    if match["name"]:
        return Relation((match["name"], text.partition("=")[2].strip()), ("=",))
    if match["kind"][0] in "ca" and match["kind"] != "array":
        lines = [read_value(row.replace("&", " ").strip(" ,;"), depth=depth + 1) for row in rows]
        return None if factor else lines[0] if len(lines) == 1 else Listing("", tuple(lines))
    cells = tuple(tuple(_times(factor, cell) for cell in pieces(row, _CELL_END)[0]) for row in rows)
    return Matrix(cells, match["kind"] in ("vmatrix", "Vmatrix")) if len({len(row) for row in cells}) == 1 else None


def _times(factor: str, cell: str) -> str:
    factor = factor.removesuffix(r"\cdot").removesuffix(r"\times").strip()
    return cell if not factor else f"-({cell})" if factor == "-" else f"({factor})({cell})"


def _python_matrix(inside: str) -> Matrix | None:
    """`[[1,2],[3,4]]`, given what is in its outer brackets."""
    found = [enclosed(row) for row in pieces(inside, _PYTHON_ROWS)[0]]
    if len(found) < 2 or not all(row is not None and row[0] == "[]" for row in found):
        return None
    rows = tuple(tuple(pieces(row[1], _PYTHON_ROWS)[0]) for row in found if row is not None)
    return Matrix(rows) if len({len(row) for row in rows}) == 1 else None
