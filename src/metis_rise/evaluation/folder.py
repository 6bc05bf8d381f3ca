"""An evaluation's folder belongs to one model and one way of asking: answers of others are never mixed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from metis_rise.benchmarks.evaluation_folder import ANSWERS, FILE, IMAGES
from metis_rise.errors import InputError
from metis_rise.journal import parse_object, write_atomic
from metis_rise.recipe.secrets import check_no_secret
from metis_rise.run_format import FILE as FORMAT_FILE
from metis_rise.run_format import read_format, write_format


def claim(out: Path, model: str, settings: Mapping[str, Any]) -> None:
    """Makes the folder `out` for answers under `settings` (plain JSON values), or takes it up again.

    `model` says for people where the model was; what tells it from others is for `settings` to say. Where nothing is
    answered yet, other settings replace those that are there.

    Raises:
        InputError: the folder holds something else, answers under other settings, which are named, or is of a newer
            version; or the settings hold a key.
    """
    record = {"model": model, "settings": settings}
    check_no_secret(record, "the settings of the evaluation")
    if said := _taken(out, settings):
        raise InputError(f"{out}: {said}; choose another --out, or delete it")
    file = out / FILE
    if not (file.is_file() and _answered(out)):
        write_format(out)
        write_atomic(file, json.dumps(record, ensure_ascii=False, indent=1) + "\n")


def free(out: Path, settings: Mapping[str, Any], say: Callable[[str], None]) -> Path:
    """`out`, or out-2, out-3, ... where those before hold something else; `say` is told what."""
    for number in count(2):
        said = _taken(out, settings)
        if said is None:
            return out
        base = out.name if number == 2 else out.name.rpartition("-")[0]
        following = out.with_name(f"{base}-{number}")
        say(f"{out}: {said}; going on in {following}")
        out = following
    raise AssertionError


def _taken(out: Path, settings: Mapping[str, Any]) -> str | None:
    """Why `out` cannot take answers under `settings`, None where it can."""
    file = out / FILE
    if not file.is_file():
        return f"exists and is no evaluation folder (no {FILE})" if out.exists() and _has_content(out) else None
    read_format(out)
    return _others(_read(file)["settings"], settings) if _answered(out) else None


def _answered(out: Path) -> bool:
    return any(out.glob(f"*/{ANSWERS}"))


def _has_content(out: Path) -> bool:
    """Whether anything but pictures, or what a crash of ours may leave, is there."""
    ours = (IMAGES, FORMAT_FILE)
    return not out.is_dir() or any(not (each.name in ours or each.name.endswith(".tmp")) for each in out.iterdir())


def _others(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    here = json.loads(json.dumps(here))
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    said = ", ".join(f"{name} ({_short(there.get(name))} there, {_short(here.get(name))} here)" for name in names)
    return f"holds answers under other settings: {said}" if said else None


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(file: Path) -> dict[str, Any]:
    content = parse_object(file.read_bytes())
    if content is None or not isinstance(content.get("settings"), dict):
        raise InputError(f"{file}: not the record of an evaluation; choose another --out, or delete the folder")
    return content
