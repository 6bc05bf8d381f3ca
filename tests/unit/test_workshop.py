"""What stages are given to work with."""

from __future__ import annotations

from typing import Any

import pytest

from metis_rise.engines.native import NativeEngine
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import LoraConfig, ModelConfig, Recipe
from metis_rise.stages.workshop import Bench, Workshop
from metis_rise.types import AnswerType, Problem

# Some fields exclude each other. A field that is new belongs into one of them, with a value that is not its default.
MODELS = (
    ModelConfig(
        path="other",
        dtype="float32",
        device="cpu",
        min_pixels=1234,
        max_pixels=5678,
        lora=LoraConfig(rank=3),
        gradient_checkpointing=True,
        autocast=True,
        attention="cascade",
    ),
    ModelConfig(freeze_vision=False),
)


class Stub:
    """A policy that only knows what it was trained with."""

    system = "noted"
    knows_system = True

    def trained_with(self, system: str | None) -> None:
        self.noted = system


def make_shop(model: ModelConfig, store: ImageStore, system: str | None = None, **sampling: Any) -> Workshop:
    problems = {"kind": "world"}
    recipe = Recipe.model_validate({"name": "r", "model": model, "problems": problems, "sampling": sampling})
    train = [Problem(f"p{i}", "q", "1", AnswerType.NUMBER) for i in range(3)]
    return Workshop(recipe, None, store, ProblemSets(train, [], []), 100, system)  # type: ignore[arg-type]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, dict[str, Any]]]:
    """What Policy.load is called with."""
    calls: list[tuple[Any, dict[str, Any]]] = []

    def load(cls: type[Policy], spec: Any, **settings: Any) -> Stub:
        calls.append((spec, settings))
        return Stub()

    monkeypatch.setattr(Policy, "load", classmethod(load))
    return calls


def test_the_models_say_something_else_than_the_defaults_in_every_field() -> None:
    default = ModelConfig()
    for name in ModelConfig.model_fields:
        assert any(getattr(model, name) != getattr(default, name) for model in MODELS), name


@pytest.mark.parametrize("model", MODELS, ids=["adapters", "tower"])
def test_every_setting_of_the_model_is_loaded_with(model: ModelConfig, store: ImageStore, loaded: list[Any]) -> None:
    make_shop(model, store).bench("some/folder")
    assert loaded == [("some/folder", {name: value for name, value in model if name != "path"})]


@pytest.mark.parametrize(("setting", "system"), [(None, None), ("auto", "noted")])
def test_prompts_and_policy_have_the_same_system_prompt(
    setting: str | None, system: str | None, store: ImageStore, loaded: list[Any]
) -> None:
    bench = make_shop(ModelConfig(), store, setting).bench("m")
    assert bench.prompts.system == bench.policy.noted == system  # type: ignore[attr-defined]


def test_the_engine_samples_this_policy_and_these_prompts(store: ImageStore, loaded: list[Any]) -> None:
    bench = make_shop(ModelConfig(), store, batch_tokens=777).bench("m")
    assert isinstance(bench.engine, NativeEngine)
    assert bench.engine.policy is bench.policy and bench.engine.encode is bench.prompts
    assert bench.engine.max_batch_tokens == 777


class Lengths:
    """Prompts of known lengths."""

    def length(self, problem: Problem) -> int:
        return {"p0": 30, "p1": 50, "p2": 40}[problem.id]


def test_the_longest_prompt_needs_room_beside_the_longest_completion(store: ImageStore) -> None:
    shop = make_shop(ModelConfig(), store)
    bench = Bench(None, None, Lengths())  # type: ignore[arg-type]
    shop.check_room(bench, "rl", 150)
    with pytest.raises(InputError, match=r"sft\.micro_tokens = 149: problem 'p1' .* set sft\.micro_tokens=150"):
        shop.check_room(bench, "sft", 149)
