"""The files behind the prompts of experts: shipped ones or the user's, of which a run keeps copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.problems.prompt import RISE, load_system
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.run import write_atomic

TEMPLATES: Mapping[str, str] = {"full": "expert_full.txt.j2", "brief": "expert_brief.txt.j2"}
HINTS: Mapping[str, str] = {"shipped": "expert_hints.yaml"}
# Names of the run's own copies, by the setting.
_COPIES: Mapping[str, str] = {
    "template": "expert-template.txt.j2",
    "hints": "expert-hints.yaml",
    "system": "expert-system.txt",
}


@dataclass(frozen=True, slots=True)
class ExpertFiles:
    """Texts of the template, of the hints, and of the system prompt (None: no system message)."""

    template: str
    hints: str
    system: str | None


def read_files(config: ExpertConfig) -> ExpertFiles:
    """The files that a recipe names.

    Raises:
        InputError: one cannot be read.
    """
    return ExpertFiles(
        _text("template", config.template, TEMPLATES), _text("hints", config.hints, HINTS), load_system(config.system)
    )


def keep_files(config: ExpertConfig, folder: Path) -> None:
    """Copy the user's own files into a run's folder, so that a resumed run asks what it asked before.

    Raises:
        InputError: one cannot be read.
    """
    for key, text in _own(config).items():
        write_atomic(folder / _COPIES[key], text)


def edited_files(config: ExpertConfig, folder: Path) -> list[str]:
    """Settings whose file is another one today than the copy in a run's folder, as dotted keys.

    Raises:
        InputError: one cannot be read.
    """
    copies = {key: folder / _COPIES[key] for key in _own(config)}
    return [
        f"expert.{key}"
        for key, text in _own(config).items()
        if copies[key].exists() and copies[key].read_text(encoding="utf-8") != text
    ]


def kept_files(config: ExpertConfig, folder: Path) -> ExpertFiles:
    """The files of a run: its own copies of the user's.

    Raises:
        InputError: one cannot be read.
    """
    return read_files(config.model_copy(update={key: str(folder / _COPIES[key]) for key in _named(config)}))


def _named(config: ExpertConfig) -> list[str]:
    """The settings that name a file of the user's."""
    shipped = {"template": config.template in TEMPLATES, "hints": config.hints in HINTS}
    return [key for key in _COPIES if not shipped.get(key, config.system in (None, RISE))]


def _own(config: ExpertConfig) -> dict[str, str]:
    """The texts of the user's own files, by setting."""
    files = read_files(config)
    return {key: getattr(files, key) for key in _named(config)}


def _text(key: str, setting: str, shipped: Mapping[str, str]) -> str:
    if setting in shipped:
        return resources.files("metis_rise").joinpath("templates", shipped[setting]).read_text(encoding="utf-8")
    try:
        return Path(setting).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        names = " or ".join(shipped)
        raise InputError(f"expert.{key} = {setting}: cannot be read ({why}); give a text file, or {names}") from error
