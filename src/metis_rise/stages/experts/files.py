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
# Names of the run's own copies.
_TEMPLATE, _HINTS, _SYSTEM = "expert-template.txt.j2", "expert-hints.yaml", "expert-system.txt"


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
    files = read_files(config)
    if config.template not in TEMPLATES:
        write_atomic(folder / _TEMPLATE, files.template)
    if config.hints not in HINTS:
        write_atomic(folder / _HINTS, files.hints)
    if config.system not in (None, RISE):
        write_atomic(folder / _SYSTEM, files.system or "")


def kept_files(config: ExpertConfig, folder: Path) -> ExpertFiles:
    """The files of a run: its own copies of the user's.

    Raises:
        InputError: one cannot be read.
    """
    system = config.system if config.system in (None, RISE) else str(folder / _SYSTEM)
    template = config.template if config.template in TEMPLATES else str(folder / _TEMPLATE)
    hints = config.hints if config.hints in HINTS else str(folder / _HINTS)
    return read_files(config.model_copy(update={"template": template, "hints": hints, "system": system}))


def _text(key: str, setting: str, shipped: Mapping[str, str]) -> str:
    if setting in shipped:
        return resources.files("metis_rise").joinpath("templates", shipped[setting]).read_text(encoding="utf-8")
    try:
        return Path(setting).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        names = " or ".join(shipped)
        raise InputError(f"expert.{key} = {setting}: cannot be read ({why}); give a text file, or {names}") from error
