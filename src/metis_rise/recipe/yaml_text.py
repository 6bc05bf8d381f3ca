"""YAML as people expect it: 1e-4 is a number, a date is text, and a key stands once."""

from __future__ import annotations

import re
from typing import Any

import yaml

from metis_rise.errors import InputError

_NUMBER = r"[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))([eE][-+]?\d+)?"
_FLOAT = re.compile(rf"^({_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
MAX_CHARS = 1 << 16
"""A longer text is no recipe, and is refused unread."""

MAX_NODES = 100_000
"""Values with what their aliases stand for written out: nine lists of nine aliases each are a billion."""

# What PyYAML lets through from values that a tag such as !!int or its own patterns promise, and from deep nesting.
_UNREADABLE = (ValueError, LookupError, AttributeError, TypeError, RecursionError)
_REPLACED = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats, without timestamps, refusing a key that stands twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (PyYAML's own attribute)
        first: [(tag, pattern) for tag, pattern in pairs if tag not in _REPLACED]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is no single value", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def parse_yaml(text: str, where: str) -> Any:
    """The value that `text` holds.

    Raises:
        InputError: it is not YAML; the message starts with `where` and names the row.
    """
    if len(text) > MAX_CHARS:
        raise InputError(f"{where}: {len(text)} characters, which no recipe has; give a recipe of at most {MAX_CHARS}")
    try:
        loader = _Loader(text)  # a SafeLoader: plain values only
        node = loader.get_single_node()
        if node is not None and _written_out(node, {}) > MAX_NODES:
            raise InputError(f"{where}: aliases stand for more than {MAX_NODES} values; write the values themselves")
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        row = f" row {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{row}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    except _UNREADABLE as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split()) or type(error).__name__}") from error


def _written_out(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node holds when each alias is what it stands for; one that holds itself has no end."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in sizes:
        # Met again before its size is known, it lies within itself.
        sizes[id(node)] = MAX_NODES + 1
        children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        sizes[id(node)] = 1 + sum(_written_out(child, sizes) for child in children)
    return sizes[id(node)]
