"""JSON files of a run, which a person or a crash may have changed: what is in them is checked, never guessed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from metis_rise.errors import InputError
from metis_rise.json_text import parse_json
from metis_rise.run import read_jsonl


@contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Says of a file's values that they are not what a run writes, where they are of other kinds."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError(f"{path}: not as a run writes it ({why}); restore the file") from error


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal; none where there is no file."""
    return read_jsonl(path) if path.exists() else []


def read_object(path: Path, types: Mapping[str, Any], needs: Sequence[str] = ()) -> dict[str, Any] | None:
    """The JSON object in a file: the names in `needs` are there, and what is there is of the `types` by name."""
    if not path.exists():
        return None
    try:
        content = parse_json(path.read_bytes())
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, row {error.lineno}: not JSON ({error.msg}); restore the file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not JSON ({error}); restore the file") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object; restore the file")
    if missing := [name for name in needs if name not in content]:
        raise InputError(f"{path}: holds no {missing[0]}; restore the file")
    wrong = next((name for name in types if name in content and not isinstance(content[name], types[name])), None)
    if wrong is not None:
        raise InputError(f"{path}: {wrong} is {repr(content[wrong])[:60]}, not as a run writes it; restore the file")
    return content
