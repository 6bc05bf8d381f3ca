"""What stages are given to work with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from metis_rise.engines.base import Request
from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.engine import ServerEngine
from metis_rise.engines.server.push import DiskPush
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.problems.dataset import ProblemSets
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import LoraConfig, ModelConfig, Recipe
from metis_rise.run import Run
from metis_rise.stages.serving import Turn, make_engine
from metis_rise.stages.workshop import Bench, Workshop
from metis_rise.types import AnswerType, Group, Problem

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
    ModelConfig(freeze_vision=False, vision_lr_factor=0.5),
)
# Where the model is, and what its optimizer is told.
NOT_LOADED_WITH = {"path", "vision_lr_factor"}


class Stub:
    """A policy that only knows what it was trained with."""

    system: str | None = "noted"
    knows_system = True
    processor = SimpleNamespace(image_processor=None)

    def trained_with(self, system: str | None) -> None:
        self.system = system


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
    settings = {name: value for name, value in model if name not in NOT_LOADED_WITH}
    assert loaded == [("some/folder", {**settings, "parallel": None})]


@pytest.mark.parametrize(("setting", "system"), [(None, None), ("auto", "noted")])
def test_prompts_and_policy_have_the_same_system_prompt(
    setting: str | None, system: str | None, store: ImageStore, loaded: list[Any]
) -> None:
    bench = make_shop(ModelConfig(), store, setting).bench("m")
    assert bench.prompts.system == bench.policy.system == system


def test_the_engine_samples_this_policy_and_these_prompts(store: ImageStore, loaded: list[Any]) -> None:
    bench = make_shop(ModelConfig(), store, batch_tokens=777).bench("m")
    assert isinstance(bench.engine, NativeEngine)
    assert bench.engine.policy is bench.policy and bench.engine.encode is bench.prompts
    assert bench.engine.max_batch_tokens == 777


class Samples:
    """An engine that notes what is done with it."""

    remote = True

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen, self.broken = name, seen, False

    def sample(self, requests: Sequence[Request]) -> Iterator[Group]:
        self.seen.append(f"{self.name} samples")
        return iter(())

    def push(self) -> Mapping[str, float]:
        if self.broken:
            raise InputError("half-way")
        self.seen.append(f"{self.name} pushes")
        return {}


def test_benches_that_share_servers_push_when_another_one_had_its_turn() -> None:
    seen, turn = list[str](), Turn()
    prompts = SimpleNamespace(expect=lambda problems: None)
    first, second = (Bench(None, Samples(name, seen), prompts, turn) for name in "ab")  # type: ignore[arg-type]
    for bench in (first, first, second, first):
        list(bench.sample([]))
    pushed_and_sampled = ["a pushes", "a samples", "a samples", "b pushes", "b samples", "a pushes", "a samples"]
    assert seen == pushed_and_sampled
    first.engine.broken = True  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="half-way"):
        first.push()
    first.engine.broken = False  # type: ignore[attr-defined]
    list(first.sample([]))
    assert seen == [*pushed_and_sampled, "a pushes", "a samples"]


def test_an_engine_over_servers_is_made_as_the_recipe_says(store: ImageStore, png: bytes, tmp_path: Path) -> None:
    engine = {"kind": "server", "urls": ["http://a:1", "http://b:2"], "concurrency": 5, "timeout_s": 6.0}
    recipe = Recipe.model_validate({"name": "r", "problems": {"kind": "world"}, "engine": engine})
    picture = Problem("seen", "q", "1", AnswerType.NUMBER, images=("0" * 64,))
    sets = ProblemSets([Problem("told", "q", "1", AnswerType.NUMBER), picture], [], [])
    run, turn = Run(tmp_path), Turn()
    made = [make_engine(recipe, run, sets, store, Stub(), len, turn) for _ in range(2)]  # type: ignore[arg-type]
    one, other = made
    assert isinstance(one, ServerEngine) and isinstance(other, ServerEngine)
    assert one.probe is picture and one.pusher is other.pusher and isinstance(one.pusher, DiskPush)
    settings = one._fleet.settings
    assert (settings.urls, settings.concurrency, settings.timeout_s) == (("http://a:1", "http://b:2"), 5, 6.0)
    for each in (one, other):
        each.close()
    key = store.put(png)
    assert one.picture(key) == png
    store.path(key).write_bytes(png + b"changed")
    with pytest.raises(InputError, match="the picture was changed or damaged"):
        one.picture(key)


class Lengths:
    """Prompts of known lengths, and how they are asked for."""

    def __init__(self) -> None:
        self.measured: list[str] = []

    def bound(self, problem: Problem) -> int:
        return {"p0": 45, "p1": 60, "p2": 55}[problem.id]

    def length(self, problem: Problem) -> int:
        self.measured.append(problem.id)
        return {"p0": 30, "p1": 50, "p2": 40}[problem.id]


def test_the_longest_prompt_needs_room_beside_the_longest_completion(store: ImageStore) -> None:
    shop = make_shop(ModelConfig(), store)
    lengths = Lengths()
    bench = Bench(None, None, lengths)  # type: ignore[arg-type]
    shop.check_room(bench, "rl", 160)
    assert lengths.measured == [], "that none is too long is clear without"
    shop.check_room(bench, "rl", 150)
    with pytest.raises(InputError, match=r"sft\.micro_tokens = 149: problem 'p1' .* set sft\.micro_tokens=150"):
        shop.check_room(bench, "sft", 149)
    assert lengths.measured == ["p1", "p2"], "once, and none that cannot be the longest"
