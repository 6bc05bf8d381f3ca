"""A team does what one process does: the updates of a run, and its samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from micro import MICRO
from ranks import Ranks
from replaying import (
    Step,
    everything,
    figures_of_all,
    record,
    replay,
    replies_late,
    requests,
    sample,
    sample_remotely,
)

from metis_rise.opening import open_workshop
from metis_rise.recipe import Recipe, load_recipe
from metis_rise.types import Group

Recorded = tuple[Recipe, Path, list[Step]]
SETTINGS = {
    "full": (),
    "lora": ("model.lora.rank=4",),
    "tower": ("model.freeze_vision=false", "model.vision_lr_factor=0.1"),
}


def micro(*settings: str) -> Recipe:
    return load_recipe("tiny", [*MICRO, "rl.steps=3", *settings])


@pytest.fixture(scope="module", params=SETTINGS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A finished RL run of one process: its recipe, the folder of its run, its updates."""
    recipe, root = micro(*SETTINGS[request.param]), tmp_path_factory.mktemp("runs")
    return recipe, root, record(recipe, root)


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
def test_the_updates_of_a_run_are_those_of_one_process(recorded: Recorded, split: bool, pair: Ranks) -> None:
    recipe, root, steps = recorded
    figures = pair.do(replay, recipe, root, steps, split)[0]
    assert len(figures) == len(steps) == recipe.rl.steps
    if split:
        assert {each["splits"] for each in figures} == {1}
    for each, step in zip(figures, steps, strict=True):
        wanted = step.figures
        assert wanted["grad_norm"] > 0
        for name in ("loss", "grad_norm", "entropy", "ratio"):
            assert each[name] == pytest.approx(wanted[name], rel=1e-4), name
        for name in ("tokens_unique", "tokens_repeated", "tokens_forwarded"):
            assert each[name] == wanted[name], name


def test_all_that_is_done_with_a_model(tmp_path: Path, pair: Ranks) -> None:
    recipe = micro("rl.kl_weight=0.2")
    expected = figures_of_all(open_workshop(recipe, tmp_path, recipe.name), tmp_path / "one")
    found = pair.do(everything, recipe, tmp_path, tmp_path / "several")[0]
    assert found.pop("state") == expected.pop("state") == {"at": 3}
    assert found.pop("counts") == expected.pop("counts")
    assert found.pop("sums") == pytest.approx(expected.pop("sums"), rel=1e-4, abs=1e-6)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(values), rtol=1e-4, atol=1e-5, msg=name)
    assert found["said"] == found["said again"] == found["said at last"] != found["said later"]


def test_with_more_processes_than_groups_too(tmp_path: Path, trio: Ranks) -> None:
    recipe = micro("rl.prompts_per_step=1", "rl.refill_rounds=4", "model.lora.rank=4", "rl.kl_weight=0.2")
    steps = record(recipe, tmp_path)
    figures = trio.do(replay, recipe, tmp_path, steps, False)[0]
    assert {len(step.groups) for step in steps} == {1}
    for each, step in zip(figures, steps, strict=True):
        for name in ("loss", "grad_norm", "kl"):
            assert each[name] == pytest.approx(step.figures[name], rel=1e-4, abs=1e-9), name


def test_a_process_that_does_not_reply_is_not_waited_for_for_ever(pair: Ranks) -> None:
    said, _ = pair.do(replies_late, 1.0)
    assert "gloo" in said and "imed out" in said


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path, dict[int, list[Group]]]:
    """What one process samples: one greedy completion of each problem, and three random ones."""
    recipe, root = micro(), tmp_path_factory.mktemp("runs")
    shop = open_workshop(recipe, root, recipe.name)
    bench = shop.bench(recipe.model.path)
    return recipe, root, {size: list(bench.sample(requests(shop, size))) for size in (1, 3)}


@pytest.mark.parametrize(("size", "team"), [(1, "pair"), (3, "pair"), (3, "trio")])
def test_what_is_sampled_does_not_depend_on_the_number_of_processes(
    alone: tuple[Recipe, Path, dict[int, list[Group]]], size: int, team: str, request: pytest.FixtureRequest
) -> None:
    recipe, root, groups = alone
    assert_same(request.getfixturevalue(team).do(sample, recipe, root, size)[0], groups[size])


def test_requests_beyond_the_room_of_all_come_one_window_after_another(
    alone: tuple[Recipe, Path, dict[int, list[Group]]], pair: Ranks
) -> None:
    _, root, groups = alone
    found = pair.do(sample, micro("sampling.batch_tokens=64"), root, 3)[0]
    assert [group.problem.id for group in found] != [group.problem.id for group in groups[3]]
    assert_same(sorted(found, key=problem_of), sorted(groups[3], key=problem_of))


def test_servers_get_the_weights_that_the_processes_share(
    alone: tuple[Recipe, Path, dict[int, list[Group]]], pair: Ranks, tmp_path: Path
) -> None:
    recipe, root, groups = alone
    assert_same(pair.do(sample_remotely, recipe, root, 3, tmp_path / "pushed")[0], groups[3])


def problem_of(group: Group) -> str:
    return group.problem.id


def assert_same(found: list[Group], wanted: list[Group]) -> None:
    assert [group.problem.id for group in found] == [group.problem.id for group in wanted]
    for group, other in zip(found, wanted, strict=True):
        assert [t.tokens for t in group.trajectories] == [t.tokens for t in other.trajectories]
        for one, two in zip(group.trajectories, other.trajectories, strict=True):
            assert one.logprobs == pytest.approx(two.logprobs, abs=1e-4)
            assert (one.stop, one.text, one.sample) == (two.stop, two.text, two.sample)
