"""Loading a model as a recipe says."""

from __future__ import annotations

from pathlib import Path

from metis_rise.policy.as_recipe import load_as
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.recipe import Recipe
from metis_rise.stages.prompts import system_prompt


def load_policy(recipe: Recipe, model: str | Path, system: str | None, parallel: Parallel | None = None) -> Policy:
    """Loads a model by name or folder; its `system` is the system prompt that it is given.

    Args:
        recipe: says how, in its section `model`.
        model: what to load.
        system: the recipe's prompt.system, a file being the run's own copy.
        parallel: the processes that share it, all of which load it at once; None where there is only this one.
    """
    policy = load_as(recipe.model, model, parallel)
    policy.trained_with(system_prompt(policy, system))
    return policy
