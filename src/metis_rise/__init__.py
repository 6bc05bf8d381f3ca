"""Metis-RISE: reinforcement learning first, then targeted supervised fine-tuning, for vision-language models.

Everything in `__all__` is imported when it is first asked for, so `import metis_rise` loads no torch (docs/api.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metis_rise.api import judge, read_problems, read_run, run_recipe, sample, world_problems
    from metis_rise.errors import InputError
    from metis_rise.recipe import Recipe, load_recipe
    from metis_rise.report.data import RunData
    from metis_rise.types import AnswerType, Group, Problem, Trajectory, Verdict

__version__ = "0.1.0"

_HOMES = {
    "api": ("judge", "read_problems", "read_run", "run_recipe", "sample", "world_problems"),
    "errors": ("InputError",),
    "recipe": ("Recipe", "load_recipe"),
    "report.data": ("RunData",),
    "types": ("AnswerType", "Group", "Problem", "Trajectory", "Verdict"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerType",
    "Group",
    "InputError",
    "Problem",
    "Recipe",
    "RunData",
    "Trajectory",
    "Verdict",
    "__version__",
    "judge",
    "load_recipe",
    "read_problems",
    "read_run",
    "run_recipe",
    "sample",
    "world_problems",
]


def __getattr__(name: str) -> Any:
    """Imports what `__all__` names from where it lives."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """The offered names beside the module's own."""
    return sorted({*globals(), *__all__})
