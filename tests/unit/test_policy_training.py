from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
import tiny
import torch

from metis_rise.policy.checkpoint import load_training, save_training
from metis_rise.policy.checkpoint_folders import fault, newest, prune
from metis_rise.policy.forward import completion_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer, lr_at


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"))


def trainable(policy: Policy) -> list[torch.nn.Parameter]:
    return [value for _, value in policy.named_trainable()]


def start(base: Path) -> tuple[Policy, Optimizer]:
    policy = Policy.load(base)
    return policy, Optimizer(policy, weight_decay=0.01)


def train(policy: Policy, optimizer: Optimizer, steps: int) -> list[float]:
    """Steps on completions drawn from torch's generator: they go on exactly only if its state does."""
    prompt = policy.encode(tiny.message("How many?", 1), [tiny.picture(1)])
    norms = []
    for _ in range(steps):
        rows = [(prompt, torch.randint(8, 300, (6,))) for _ in range(2)]
        (-completion_logprobs(policy, rows).values.mean()).backward()
        norms.append(optimizer.step(1e-3))
    return norms


def test_resume_is_bit_identical(base: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    policy, optimizer = start(base)
    whole = train(policy, optimizer, 6)

    torch.manual_seed(5)
    first, first_optimizer = start(base)
    head = train(first, first_optimizer, 3)
    save_training(tmp_path / "checkpoint-3", first, first_optimizer, {"cursor": 7})
    torch.manual_seed(99)

    second, second_optimizer = start(base)
    assert load_training(tmp_path / "checkpoint-3", second, second_optimizer) == {"cursor": 7}
    tail = train(second, second_optimizer, 3)

    assert head + tail == whole
    for (name, expected), (_, got) in zip(
        policy.model.named_parameters(), second.model.named_parameters(), strict=True
    ):
        assert torch.equal(got, expected), name
    assert (second.version, second_optimizer.steps) == (6, 6)


def test_a_checkpoint_holds_a_model_folder(base: Path, tmp_path: Path) -> None:
    policy, optimizer = start(base)
    train(policy, optimizer, 1)
    save_training(tmp_path / "checkpoint-1", policy, optimizer, {})
    loaded = Policy.load(tmp_path / "checkpoint-1" / "model")
    assert all(map(torch.equal, loaded.model.parameters(), policy.model.parameters()))


def test_newest_ignores_torn_checkpoints(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert newest(tmp_path) is None
    policy, optimizer = start(base)
    for step in (2, 10):
        save_training(tmp_path / f"checkpoint-{step}", policy, optimizer, {})
    assert newest(tmp_path) == tmp_path / "checkpoint-10"

    # A kill while writing: nothing under the final name.
    monkeypatch.setattr(policy.tokenizer, "save_pretrained", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_training(tmp_path / "checkpoint-11", policy, optimizer, {})
    assert not (tmp_path / "checkpoint-11").exists()
    # A copy that was cut short.
    shutil.copytree(tmp_path / "checkpoint-10", tmp_path / "checkpoint-12")
    (tmp_path / "checkpoint-12" / "COMPLETE").unlink()
    assert newest(tmp_path) == tmp_path / "checkpoint-10"

    monkeypatch.undo()
    save_training(tmp_path / "checkpoint-11", policy, optimizer, {})
    assert newest(tmp_path) == tmp_path / "checkpoint-11"


def test_a_checkpoint_of_which_any_file_is_cut_short_is_not_taken(base: Path, tmp_path: Path) -> None:
    policy, optimizer = start(base)
    train(policy, optimizer, 1)
    for step in (2, 10):
        save_training(tmp_path / f"checkpoint-{step}", policy, optimizer, {})
    files = [path for path in (tmp_path / "checkpoint-10").rglob("*") if path.is_file() and path.stat().st_size]
    assert len(files) > 8
    for path in files:
        content = path.read_bytes()
        for length in (len(content) - 1, len(content) // 2):
            path.write_bytes(content[:length])
            # The marker's last byte is its newline, which nobody needs.
            if path.name != "COMPLETE" or length < len(content) - 1:
                assert fault(tmp_path / "checkpoint-10"), path
                assert newest(tmp_path) == tmp_path / "checkpoint-2"
        path.write_bytes(content)
    assert newest(tmp_path) == tmp_path / "checkpoint-10"


def test_prune_keeps_the_newest_and_the_protected(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "COMPLETE").touch()
    prune(tmp_path, keep=2, protect=[tmp_path / "checkpoint-1"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-10", "checkpoint-3"]


def test_state_is_plain_json(base: Path, tmp_path: Path) -> None:
    policy, optimizer = start(base)
    save_training(tmp_path / "checkpoint-0", policy, optimizer, {"best": 0.5, "order": [3, 1]})
    record = json.loads((tmp_path / "checkpoint-0" / "state.json").read_text())
    assert record["state"] == {"best": 0.5, "order": [3, 1]}
    assert bytes.fromhex(record["rng"]["cpu"])


def test_a_gradient_that_is_not_finite_changes_nothing(base: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy, optimizer = start(base)
    before = [value.clone() for value in trainable(policy)]
    trainable(policy)[0].grad = torch.full_like(before[0], math.inf)
    assert not math.isfinite(optimizer.step(1e-3))
    assert all(map(torch.equal, before, trainable(policy)))
    assert (optimizer.steps, optimizer.skipped, policy.version) == (0, 1, 0)
    assert "skipped" in caplog.text
    train(policy, optimizer, 1)
    assert (optimizer.steps, policy.version) == (1, 1)


def test_the_norm_is_clipped(base: Path) -> None:
    policy, _ = start(base)
    optimizer = Optimizer(policy, max_grad_norm=0.5)
    seen: list[float] = []
    for value in trainable(policy):
        value.grad = torch.ones_like(value)
    hook = optimizer._adamw.register_step_pre_hook(
        lambda *args: seen.append(math.sqrt(sum(float(p.grad.norm()) ** 2 for p in trainable(policy))))
    )
    norm = optimizer.step(0.0)
    hook.remove()
    assert norm == pytest.approx(math.sqrt(sum(p.numel() for p in trainable(policy))), rel=1e-4)
    assert seen == [pytest.approx(0.5, rel=1e-4)]


def test_only_matrices_decay(base: Path) -> None:
    policy, _ = start(base)
    optimizer = Optimizer(policy, weight_decay=0.5)
    before = {name: value.clone() for name, value in policy.named_trainable()}
    for value in trainable(policy):
        value.grad = torch.zeros_like(value)
    optimizer.step(0.1)
    for name, value in policy.named_trainable():
        expected = before[name] * 0.95 if value.ndim > 1 else before[name]
        torch.testing.assert_close(value, expected, msg=name)


def test_the_vision_tower_has_a_learning_rate_of_its_own(base: Path, tmp_path: Path) -> None:
    """AdamW's first step is the learning rate, whatever the gradient; the factor holds after a resume as well."""
    policy = Policy.load(base, freeze_vision=False)
    optimizer = Optimizer(policy, vision_lr_factor=0.25, max_grad_norm=math.inf)
    for resumed in (False, True):
        if resumed:
            save_training(tmp_path / "checkpoint-1", policy, optimizer, {})
            policy = Policy.load(base, freeze_vision=False)
            optimizer = Optimizer(policy, vision_lr_factor=0.25, max_grad_norm=math.inf)
            load_training(tmp_path / "checkpoint-1", policy, optimizer)
        before = {name: value.clone() for name, value in policy.named_trainable()}
        for value in trainable(policy):
            value.grad = torch.ones_like(value)
        optimizer.step(1e-2)
        tower = {name for name in before if "visual" in name}
        assert {before[name].ndim > 1 for name in tower} == {True, False}
        for name, value in policy.named_trainable():
            step = 2.5e-3 if name in tower else 1e-2
            torch.testing.assert_close(before[name] - value, torch.full_like(value, step), atol=2e-6, rtol=0)


def test_learning_rate() -> None:
    assert [lr_at(step, 1.0, warmup=4) for step in (0, 1, 3, 4, 100)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert [lr_at(step, 2.0, warmup=2, total=6) for step in range(7)] == [1.0, 2.0, 2.0, 1.5, 1.0, 0.5, 0.0]
    assert lr_at(0, 3.0) == 3.0


def test_a_small_step_is_not_lost_in_bfloat16(base: Path, tmp_path: Path) -> None:
    """Twenty steps of 1e-6 must add up although each is below half a unit in the last place of most weights."""
    policy = Policy.load(base, dtype="bfloat16")
    optimizer = Optimizer(policy)
    before = [value.detach().clone() for value in trainable(policy)]
    for step in range(400):
        for value in trainable(policy):
            value.grad = torch.ones_like(value)
        optimizer.step(1e-5)
        if step == 199:
            save_training(tmp_path / "checkpoint-1", policy, optimizer, {})
    moved = sum(int((value != old).sum()) for value, old in zip(trainable(policy), before, strict=True))
    assert moved / sum(value.numel() for value in before) > 0.9
    resumed = Policy.load(base, dtype="bfloat16")
    other = Optimizer(resumed)
    load_training(tmp_path / "checkpoint-1", resumed, other)
    for _ in range(200):
        for value in trainable(resumed):
            value.grad = torch.ones_like(value)
        other.step(1e-5)
    assert all(map(torch.equal, trainable(policy), trainable(resumed)))
