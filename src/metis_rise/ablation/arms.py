"""Arm files: what an arm does, as settings of a recipe in one or more legs, and what is expected of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from metis_rise.errors import InputError
from metis_rise.recipe.base import Part
from metis_rise.recipe.yaml_text import parse_yaml

ENDING = ".yaml"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(@[A-Za-z0-9_.-]+)?")
Last = Literal["rl", "sft"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$")]


class Leg(Part):
    """A run whose model the next leg begins with."""

    last: Last = "sft"
    """The stage whose model the leg ends with."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of the recipe, with their values."""


class Sweep(Part):
    """One arm for each value of a setting, called NAME@VALUE."""

    key: Annotated[str, Field(min_length=1)]
    """Dotted key of the recipe; it is set in every leg."""

    values: Annotated[tuple[Any, ...], Field(strict=False, min_length=1)]
    """Its values."""


class ArmFile(Part):
    """What an arm file holds."""

    title: Annotated[str, Field(min_length=1)]
    """What tables call it."""

    group: Name
    """Arms that belong together: `main`, or what they take apart."""

    place: int = 99
    """Arms are listed in the order of these numbers, those of one number as they are named."""

    hypothesis: Annotated[str, Field(min_length=1)]
    """What is expected, written before the runs."""

    against: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Arms that it is compared with on the same problems; of a sweep those of the same value."""

    line: str | None = None
    """The line of the plot over the number of expert traces that it is a point of."""

    recipe: Annotated[str, Field(min_length=1)] = "evidence"
    """The recipe that its settings change."""

    settings: dict[str, Any] = Field(default_factory=dict)
    """Dotted keys of the recipe, with their values, in every leg."""

    legs: Annotated[tuple[Leg, ...], Field(strict=False, min_length=1)] = (Leg(),)
    """What is done, one after the other."""

    sweep: Sweep | None = None
    """Several arms that differ in one setting."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm, with what its file says of it; `legs` have all settings that are set for them."""

    name: str
    title: str
    group: str
    hypothesis: str
    against: tuple[str, ...]
    line: str | None
    recipe: str
    legs: tuple[Leg, ...]


def shipped_arms() -> dict[str, str]:
    """The arm files inside the package: name -> YAML text, sorted by name."""
    folder = resources.files("metis_rise") / "recipes" / "ablations"
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {Path(e.name).stem: e.read_text(encoding="utf-8") for e in entries if e.name.endswith(ENDING)}


def load_arms(named: Sequence[str], more: Mapping[str, Any] | None = None) -> list[Arm]:
    """The arms of shipped names and of files, all shipped ones where none is named.

    `more` are settings for every leg that does not set them itself.

    Raises:
        InputError: no such arm, an unreadable file, a wrong value, or two arms of one name.
    """
    shipped = shipped_arms()
    parsed: list[tuple[str, ArmFile]] = []
    for each in named or shipped:
        name, text = (each, shipped[each]) if each in shipped else (Path(each).stem, _read(each, shipped))
        if name in dict(parsed):
            raise InputError(f"{each}: there is another arm of the name {name}; rename one of the files")
        parsed.append((name, _parse(text, each)))
    in_order = sorted(parsed, key=lambda pair: pair[1].place)
    arms = [arm for name, file in in_order for arm in _expanded(name, file, more or {})]
    for arm in arms:
        if not _NAME.fullmatch(arm.name):
            said = "its file's name, and values of a sweep, may have letters, digits, '_', '-' and '.' only"
            raise InputError(f"arm {arm.name}: {said}; runs are called by them")
    return arms


def _read(path: str, shipped: Mapping[str, str]) -> str:
    if not path.endswith(ENDING):
        raise InputError(f"{path}: no such arm; shipped: {', '.join(shipped)}; a file of yours must end in {ENDING}")
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InputError(f"{path}: cannot read the arm: {why}") from error


def _parse(text: str, where: str) -> ArmFile:
    try:
        return ArmFile.model_validate(parse_yaml(text, where))
    except ValidationError as error:
        lines = (f"{where}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InputError("\n".join(lines)) from error


def _expanded(name: str, file: ArmFile, more: Mapping[str, Any]) -> list[Arm]:
    values = file.sweep.values if file.sweep else (None,)
    return [_arm(name, file, {file.sweep.key: value} if file.sweep else {}, more, value) for value in values]


def _arm(name: str, file: ArmFile, swept: Mapping[str, Any], more: Mapping[str, Any], value: Any) -> Arm:
    legs = []
    for leg in file.legs:
        own = {**file.settings, **leg.settings, **swept}
        # What makes an arm what it is stays.
        settings = own | {key: given for key, given in more.items() if key not in own}
        legs.append(Leg(last=leg.last, settings=settings))
    ending = f"@{'all' if value is None else value}" if swept else ""
    said = "" if not swept else f", {'all' if value is None else value}"
    return Arm(
        name=name + ending,
        title=file.title + said,
        group=file.group,
        hypothesis=" ".join(file.hypothesis.split()),
        against=tuple(each + ending for each in file.against),
        line=file.line,
        recipe=file.recipe,
        legs=tuple(legs),
    )


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Settings as a command line gives them."""
    return [f"{key}={json.dumps(value)}" for key, value in settings.items()]
