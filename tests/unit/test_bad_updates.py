"""Updates whose loss or gradient is not finite: they change nothing, are written down, and too many are an error."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from test_update import MAX_TOKENS, TEMPERATURE, Place, make_bench, make_groups, make_store

from metis_rise.errors import InputError
from metis_rise.policy.checkpoint import load_training, save_training
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.recipe import RLConfig
from metis_rise.run import read_jsonl
from metis_rise.stages.bad_updates import FILE, BadUpdates
from metis_rise.stages.hands import OwnTraining
from metis_rise.stages.passes import Completion, Sums, Taught
from metis_rise.stages.sft_update import Teacher
from metis_rise.stages.update import Updater
from metis_rise.stages.workshop import Bench


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tiny.write_folder(tmp_path_factory.mktemp("model"))
    store, problems = make_store(tmp_path_factory.mktemp("data"))
    return Place(folder, store, problems, make_bench(Policy.load(folder), store))


def weights(bench: Bench) -> list[torch.Tensor]:
    return [value.detach().clone() for _, value in bench.policy.named_trainable()]


def test_a_problem_whose_loss_is_nan_is_named_and_its_update_is_not_made(place: Place, tmp_path: Path) -> None:
    bench = place.fresh()
    training = OwnTraining(bench.policy, Optimizer(bench.policy))
    bad = BadUpdates(tmp_path, "rl", "rl", 3)
    updater = Updater(bench, training, RLConfig(overlong_buffer=8), (TEMPERATURE, MAX_TOKENS), bad=bad)
    good = make_groups(place, bench)
    broken = [
        replace(kept, old_logprobs=((math.nan, *kept.old_logprobs[0][1:]), *kept.old_logprobs[1:]))
        if kept.group.problem.id == "long"
        else kept
        for kept in good
    ]
    before = weights(bench)
    figures = updater.update(broken, 1e-3, 1)
    assert figures["updates_skipped"] == 1 and all(map(torch.equal, weights(bench), before))
    (row,) = read_jsonl(tmp_path / FILE)
    assert (row["step"], row["odd"], row["problems"]) == (1, ["long"], ["long", "picture", "text"])
    updater.update(broken, 1e-3, 2)
    assert updater.update(good, 1e-3, 3)["updates_skipped"] == 0 and training.skipped_in_row == 0
    assert not all(map(torch.equal, weights(bench), before))
    for step in (4, 5):
        updater.update(broken, 1e-3, step)
    with pytest.raises(InputError, match=r"rl: .* in 3 updates in a row, the last one in step 6.*'long'") as failed:
        updater.update(broken, 1e-3, 6)
    assert str(tmp_path / FILE) in str(failed.value) and "rl.max_bad_updates=6" in str(failed.value)


def test_a_loss_that_is_infinite_is_no_update_even_with_a_finite_gradient(place: Place, tmp_path: Path) -> None:
    bench = place.fresh()
    training, bad = OwnTraining(bench.policy, Optimizer(bench.policy)), BadUpdates(tmp_path, "sft-self", "sft", 2)
    batch = [Completion(problem, bench.policy.completion_ids("17")) for problem in place.problems.values()]
    assert Teacher(bench.work, training, 4096, bad).update(batch, 1e-3, 1)["updates_skipped"] == 0
    before = weights(bench)
    bench.work.teach(batch, 4096)
    assert math.isfinite(training.step(1e-3, math.inf)) and training.skipped == 1
    assert all(map(torch.equal, weights(bench), before)), "neither weights nor, by the next step, old gradients"
    assert all(value.grad is None for _, value in bench.policy.named_trainable())


def test_weights_that_give_nan_are_named_by_every_problem_of_sft(place: Place, tmp_path: Path) -> None:
    bench = place.fresh()
    training, bad = OwnTraining(bench.policy, Optimizer(bench.policy)), BadUpdates(tmp_path, "sft-self", "sft", 2)
    batch = [Completion(problem, bench.policy.completion_ids("17")) for problem in place.problems.values()]
    teacher = Teacher(bench.work, training, 4096, bad)
    with torch.no_grad():
        bench.policy.core.language_model.norm.weight[0] = math.inf
    assert teacher.update(batch, 1e-3, 1)["updates_skipped"] == 1
    with pytest.raises(InputError, match=r"sft-self: .*'long', 'picture', 'text'.*sft\.max_bad_updates=4"):
        teacher.update(batch, 1e-3, 2)


def test_how_many_in_a_row_is_kept_by_a_checkpoint(place: Place, tmp_path: Path) -> None:
    bench = place.fresh()
    optimizer = Optimizer(bench.policy)
    for _ in range(2):
        optimizer.step(1e-3, math.nan)
    save_training(tmp_path / "checkpoint-2", bench.policy, optimizer, {})
    other = Optimizer(bench.policy)
    load_training(tmp_path / "checkpoint-2", bench.policy, other)
    assert (other.skipped, other.skipped_in_row) == (2, 2)
    other.load_state_dict({}, {"steps": 1, "skipped": 4})
    assert (other.skipped, other.skipped_in_row) == (4, 0)


def test_lines_of_steps_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    bad, other = BadUpdates(tmp_path, "rl", "rl", 9), BadUpdates(tmp_path, "round-2/rl", "rl", 9)
    bad.resume(0)
    for step in (1, 2, 3):
        bad.note(step, math.nan, 1.0, ["a"], ["a"], 1)
        bad.note(step, 0.5, 1.0, ["b"], [], 0)
    other.note(3, math.inf, 1.0, ["c"], [], 1)
    bad.resume(2)
    rows = read_jsonl(tmp_path / FILE)
    assert [(row["curve"], row["step"], row["loss"]) for row in rows] == [
        ("rl", 1, "nan"),
        ("rl", 2, "nan"),
        ("round-2/rl", 3, "inf"),
    ]


def test_what_several_processes_say_adds_up() -> None:
    sums = Sums(left_out=["a"], odd=["b"])
    sums.add(Sums.from_json(Sums(left_out=["c"], odd=["d"]).to_json()))
    assert (sums.left_out, sums.odd) == (["a", "c"], ["b", "d"])
    taught = Taught(1.0, ["a"], ["b"])
    taught.add(Taught(0.5, ["c"], []))
    assert taught == Taught(1.5, ["a", "c"], ["b"])
