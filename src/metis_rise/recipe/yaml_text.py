"""YAML as people expect it: 1e-4 is a number, a date is text, and a key stands once."""

from __future__ import annotations

import re
from typing import Any

import yaml

from metis_rise.errors import InputError

_NUMBER = r"[-+]?(\d[\d_]*\.[\d_]*|\.\d[\d_]*|\d[\d_]*(?=[eE]))([eE][-+]?\d+)?"
_FLOAT = re.compile(rf"^({_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
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
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: plain values only
    except yaml.MarkedYAMLError as error:
        row = f" row {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{row}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
