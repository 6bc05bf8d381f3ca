"""The typed recipe: what to do, read from YAML, checked before any model loads. Imports no torch."""

from __future__ import annotations

from metis_rise.recipe.cluster import ClusterConfig
from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.recipe.distill import DistillConfig
from metis_rise.recipe.engine import EngineConfig
from metis_rise.recipe.evaluate import EvaluateConfig
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.recipe.judge import JudgeConfig
from metis_rise.recipe.load import load_recipe, resolved, shipped_recipe, shipped_recipes
from metis_rise.recipe.model import LoraConfig, ModelConfig
from metis_rise.recipe.problems import ProblemsConfig, WorldConfig
from metis_rise.recipe.prompt import PromptConfig
from metis_rise.recipe.rl import RLConfig
from metis_rise.recipe.root import MAY_CHANGE, Recipe
from metis_rise.recipe.sampling import SamplingConfig
from metis_rise.recipe.sft import SFTConfig, SFTStage

__all__ = [
    "MAY_CHANGE",
    "ClusterConfig",
    "DiagnoseConfig",
    "DistillConfig",
    "EngineConfig",
    "EvaluateConfig",
    "ExpertConfig",
    "JudgeConfig",
    "LoraConfig",
    "ModelConfig",
    "ProblemsConfig",
    "PromptConfig",
    "RLConfig",
    "Recipe",
    "SFTConfig",
    "SFTStage",
    "SamplingConfig",
    "WorldConfig",
    "load_recipe",
    "resolved",
    "shipped_recipe",
    "shipped_recipes",
]
