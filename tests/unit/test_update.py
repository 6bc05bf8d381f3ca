"""One policy update against the naive batch: its gradients and figures, and what it does to the policy."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
import tiny
import torch
from naive import naive_logprobs, padded_logprobs, relative_error, take_gradients
from torch import Tensor, nn

from metis_rise.engines.native import NativeEngine
from metis_rise.policy.forward import Row
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.planning import Split, Whole, plan
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import LoraConfig, RLConfig
from metis_rise.stages import passes
from metis_rise.stages.collector import KeptGroup
from metis_rise.stages.passes import token_counts
from metis_rise.stages.prompts import Prompts
from metis_rise.stages.update import Start, Updater
from metis_rise.stages.workshop import Bench
from metis_rise.types import AnswerType, Group, Problem, Trajectory, Verdict

TEMPERATURE, MAX_TOKENS, STEP = 0.7, 20, 3
LORA = LoraConfig(rank=4, alpha=8.0)
RIGHT, WRONG = Verdict(True, True, "1", "box"), Verdict(False, True, "2", "box")
LOOSE, JUNK = Verdict(True, False, "1", "box"), Verdict(False, False, None, "none")

# Problem, lengths, verdicts and rewards: 1 for right and well formed, 0.1 for well formed, up to -0.5 over the last 8
# of 20 tokens. Two groups have the same problem.
PICTURE = ("picture", (5, 19, 3, 8), (RIGHT, WRONG, JUNK, LOOSE), (1.1, 0.1 - 0.5 * 7 / 8, 0.0, 0.0))
TEXT = ("text", (12, 1, 7), (RIGHT, RIGHT, WRONG), (1.1, 1.1, 0.1))
LONG = ("long", (4, 16), (WRONG, RIGHT), (0.1, 1.1 - 0.25))
AGAIN = ("text", (2, 6), (JUNK, RIGHT), (0.0, 1.1))
Spec = tuple[str, tuple[int, ...], tuple[Verdict, ...], tuple[float, ...]]
SPECS: tuple[Spec, ...] = (PICTURE, TEXT, LONG, AGAIN)

# Ratio bounds, whether rewards are divided by their deviation, and what the loss is averaged over.
OBJECTIVES: dict[str, tuple[float, float, bool, str]] = {
    "grpo": (0.8, 1.28, True, "token"),
    "dr_grpo": (0.8, 1.2, False, "constant"),
    "gspo": (1 - 3e-4, 1 + 4e-4, True, "sequence"),
    "cispo": (0.0, 5.0, True, "token"),
}


def make_store(folder: Path) -> tuple[ImageStore, dict[str, Problem]]:
    """A store with one picture, and three problems, one of them about it."""
    store, data = ImageStore(folder / "images"), io.BytesIO()
    tiny.picture(1).save(data, "PNG")
    questions = {"picture": "How many red dots?", "text": "What is 3 + 14?", "long": "Step by step, what is 17? " * 4}
    problems = {
        name: Problem(name, text, "1", AnswerType.NUMBER, images=(store.put(data.getvalue()),) * (name == "picture"))
        for name, text in questions.items()
    }
    return store, problems


def make_bench(policy: Policy, store: ImageStore) -> Bench:
    prompts = Prompts(policy, store, None)
    return Bench(policy, NativeEngine(policy, prompts), prompts)


@dataclass
class Place:
    """A model folder with problems, and a policy of it that no test changes."""

    folder: Path
    store: ImageStore
    problems: dict[str, Problem]
    bench: Bench

    def fresh(self, **settings: Any) -> Bench:
        return make_bench(Policy.load(self.folder, **settings), self.store)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tiny.write_folder(tmp_path_factory.mktemp("model"))
    store, problems = make_store(tmp_path_factory.mktemp("data"))
    return Place(folder, store, problems, make_bench(Policy.load(folder), store))


@dataclass
class Stub:
    """An optimizer that changes no weight and keeps the gradients of each step; the n-th norm is n."""

    policy: Policy
    gradients: list[dict[str, Tensor]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    skipped: int = 0
    skipped_in_row: int = 0

    def step(self, lr: float, loss: float) -> float:
        self.gradients.append(take_gradients(self.policy))
        self.rates.append(lr)
        self.policy.version += 1
        return float(len(self.rates))


def rows_of(bench: Bench, groups: Sequence[KeptGroup]) -> list[Row]:
    return [
        (bench.prompt(kept.group.problem), torch.tensor(t.tokens)) for kept in groups for t in kept.group.trajectories
    ]


def make_groups(
    place: Place, bench: Bench, specs: Sequence[Spec] = SPECS, old: float = 0.3, sampler: float = 0.5
) -> list[KeptGroup]:
    """Groups of random completions as if the policy had sampled them.

    `old` and `sampler` are the deviations of theirs from the policy's own scores.
    """
    draw = torch.Generator().manual_seed(5)
    groups = []
    for name, lengths, verdicts, _ in specs:
        trajectories = [
            Trajectory(name, i, "", tuple(torch.randint(8, 300, (n,), generator=draw).tolist()), verdict=verdict)
            for i, (n, verdict) in enumerate(zip(lengths, verdicts, strict=True))
        ]
        group = KeptGroup(Group(place.problems[name], tuple(trajectories)), STEP, ())
        with torch.no_grad():
            scores = naive_logprobs(bench.policy, rows_of(bench, [group]), TEMPERATURE)[0]
        noisy = [
            torch.split(scores + noise * torch.randn(len(scores), generator=draw), lengths) for noise in (old, sampler)
        ]
        olds, samplers = ([tuple(row.tolist()) for row in rows] for rows in noisy)
        version = bench.policy.version
        drawn = tuple(
            replace(t, logprobs=row, weights_version=version) for t, row in zip(trajectories, samplers, strict=True)
        )
        groups.append(KeptGroup(Group(place.problems[name], drawn), STEP, tuple(olds)))
    return groups


def stale(kept: KeptGroup) -> KeptGroup:
    """The group as if weights one update older had sampled it."""
    older = [replace(t, weights_version=t.weights_version - 1) for t in kept.group.trajectories]
    return replace(kept, group=Group(kept.group.problem, tuple(older)))


def make_updater(
    bench: Bench, stub: Stub, reference: Policy | None = None, start: Start = Start.SAMPLER, **config: Any
) -> Updater:
    settings = RLConfig(**{"overlong_buffer": 8, "micro_tokens": 4096, **config})
    return Updater(bench, stub, settings, (TEMPERATURE, MAX_TOKENS), reference, start)  # type: ignore[arg-type]


@dataclass
class Naive:
    """What the padded batch gives: gradients, and figures over its tokens."""

    gradients: dict[str, Tensor]
    figures: dict[str, float]


def naive_update(
    bench: Bench,
    groups: Sequence[KeptGroup],
    specs: Sequence[Spec] = SPECS,
    objective: str = "grpo",
    aggregation: str = "auto",
    kl_weight: float = 0.0,
    reference: Policy | None = None,
    own: Sequence[KeptGroup] = (),
) -> Naive:
    """The loss as it is in the papers, over rectangles; groups in `own` start from this very pass."""
    low, high, scaled, mode = OBJECTIVES[objective]
    mode = mode if aggregation == "auto" else aggregation
    advantages, starts = [], []
    for kept, (_, _, _, rewards) in zip(groups, specs, strict=True):
        deviation = stdev(rewards) + 1e-4 if scaled else 1.0
        advantages += [(reward - mean(rewards)) / deviation for reward in rewards]
        starts += [kept in own] * len(rewards)
    pad = nn.utils.rnn.pad_sequence
    olds = pad([torch.tensor(old) for kept in groups for old in kept.old_logprobs], batch_first=True)
    samplers = pad([torch.tensor(t.logprobs) for kept in groups for t in kept.group.trajectories], batch_first=True)
    rows = rows_of(bench, groups)
    logp, entropy, real = padded_logprobs(bench.policy, rows, TEMPERATURE)
    old = torch.where(torch.tensor(starts)[:, None], logp.detach(), olds)
    advantage, lengths = torch.tensor(advantages)[:, None], real.sum(1)

    ratio = (logp - old).exp()
    if objective == "gspo":
        ratio = (((logp - old) * real).sum(1) / lengths).exp()[:, None].expand_as(logp)
    bounded = ratio.clamp(low, high)
    gain = torch.minimum(ratio * advantage, bounded * advantage)
    if objective == "cispo":
        gain = bounded.detach() * advantage * logp
    loss = -gain * (old - samplers).exp().clamp(max=2.0)
    figures: dict[str, Tensor] = {"entropy": entropy, "ratio": ratio}
    if kl_weight:
        assert reference is not None
        with torch.no_grad():
            apart = padded_logprobs(reference, rows, TEMPERATURE)[0]
        figures["kl"] = (apart - logp).exp() - 1 - (apart - logp)
        loss = loss + kl_weight * figures["kl"]
    figures["loss"] = loss
    loss = loss * real
    total = {
        "token": loss.sum() / real.sum(),
        "sequence": (loss.sum(1) / lengths).mean(),
        "constant": loss.sum() / (len(rows) * MAX_TOKENS),
    }
    total[mode].backward()
    return Naive(
        take_gradients(bench.policy), {name: float(values.detach()[real].mean()) for name, values in figures.items()}
    )


def splitting(bench: Bench, groups: Sequence[KeptGroup]) -> int:
    """The least budget for the prompt with the picture: it takes several passes, the others one each."""
    rows = rows_of(bench, groups)
    return max(len(prompt) + len(completion) for prompt, completion in rows)


def assert_equal(got: dict[str, float], wanted: dict[str, float]) -> None:
    assert {name: got[name] for name in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_the_budget_splits(place: Place) -> None:
    rows = rows_of(place.bench, groups := make_groups(place, place.bench))
    planned = plan(rows, splitting(place.bench, groups))
    assert [type(each) for each in planned] == [Split, Whole, Whole]
    assert isinstance(planned[0], Split) and len(planned[0].pieces) > 1


@pytest.mark.parametrize("split", [False, True], ids=["one_pass", "split"])
@pytest.mark.parametrize(
    ("objective", "aggregation"),
    [("grpo", "auto"), ("grpo", "sequence"), ("dr_grpo", "auto"), ("gspo", "auto"), ("cispo", "auto")],
)
def test_an_update_has_the_gradient_of_the_naive_batch(
    place: Place, objective: str, aggregation: str, split: bool
) -> None:
    bench, stub = place.bench, Stub(place.bench.policy)
    # Of gspo's ratios too, which are means over a completion and clipped at once, some are clipped and some are not.
    groups = make_groups(place, bench, old=2e-3 if objective == "gspo" else 0.3)
    budget = splitting(bench, groups) if split else 4096
    updater = make_updater(bench, stub, objective=objective, loss_aggregation=aggregation, micro_tokens=budget)
    figures = updater.update(groups, 0.25)
    wanted = naive_update(bench, groups, objective=objective, aggregation=aggregation)
    assert stub.rates == [0.25] and figures["grad_norm"] == 1.0
    assert relative_error(stub.gradients[0], wanted.gradients) < 1e-4
    assert_equal(figures, wanted.figures)
    if objective != "cispo":
        assert 0 < figures["clip_low"] + figures["clip_high"] < 1
    assert not bench.policy.model.training


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_right_completions_become_likelier_and_wrong_ones_less(place: Place, objective: str) -> None:
    bench = place.fresh()
    specs: list[Spec] = [
        ("picture", (6, 9), (RIGHT, WRONG), (1.1, 0.1)),
        ("text", (3, 8), (WRONG, RIGHT), (0.1, 1.1)),
    ]
    groups = make_groups(place, bench, specs, old=0.0, sampler=0.0)
    optimizer = Optimizer(bench.policy)
    updater = Updater(bench, optimizer, RLConfig(objective=objective, overlong_buffer=0), (TEMPERATURE, MAX_TOKENS))

    def scores() -> list[float]:
        with torch.no_grad():
            values = naive_logprobs(bench.policy, rows_of(bench, groups), TEMPERATURE)[0]
        return [float(row.sum()) for row in torch.split(values, [6, 9, 3, 8])]

    before = scores()
    for _ in range(3):
        updater.update(groups, 1e-3)
    changes = [after - then for after, then in zip(scores(), before, strict=True)]
    assert optimizer.steps == 3
    assert [change > 0 for change in changes] == [True, False, False, True]


@dataclass
class Seen:
    """Which rows each optimizer step has seen."""

    stub: Stub
    rows: list[list[Row]] = field(default_factory=list)

    def note(self, real: Any) -> Any:
        def scoring(policy: Policy, rows: Sequence[Row], *more: Any) -> Any:
            assert len(self.rows) == len(self.stub.rates), "rows are scored once for each step"
            self.rows.append(list(rows))
            return real(policy, rows, *more)

        return scoring

    def groups(self, step: int, groups: Sequence[KeptGroup]) -> list[int]:
        """Indices of the groups whose completions were scored for that step, each whole."""
        tokens = [tuple(completion.tolist()) for _, completion in self.rows[step]]
        found = [i for i, kept in enumerate(groups) if kept.group.trajectories[0].tokens in tokens]
        assert sorted(t.tokens for i in found for t in groups[i].group.trajectories) == sorted(tokens)
        return found


@pytest.mark.parametrize("start", [Start.SAMPLER, Start.SAMPLING])
def test_minibatches_share_the_groups_out(place: Place, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of the second part were drawn by weights that the first part's step has changed."""
    bench, stub = place.bench, Stub(place.bench.policy)
    seen = Seen(stub)
    monkeypatch.setattr(passes, "score", seen.note(passes.score))
    groups = make_groups(place, bench)
    figures = make_updater(bench, stub, start=start, minibatches=2).update(groups, 0.25)
    parts = [seen.groups(step, groups) for step in range(2)]
    assert sorted(parts[0] + parts[1]) == [0, 1, 2, 3] and [len(part) for part in parts] == [2, 2]
    assert stub.rates == [0.25, 0.25] and len(seen.rows) == 2

    gaps, sizes, means = [], [], []
    for number, part in enumerate(parts):
        chosen, specs = [groups[i] for i in part], [SPECS[i] for i in part]
        wanted = naive_update(bench, chosen, specs, own=chosen if start is Start.SAMPLING and number == 0 else ())
        assert relative_error(stub.gradients[number], wanted.gradients) < 1e-4
        sizes.append(sum(len(t.tokens) for kept in chosen for t in kept.group.trajectories))
        means.append(wanted.figures)
        gaps.append(sampler_gap(bench, chosen))
    assert gaps[0] != pytest.approx(gaps[1], rel=0.01)
    assert figures["sampler_gap"] == pytest.approx(gaps[0], rel=1e-4)

    def over_tokens(first: float, second: float) -> float:
        return (first * sizes[0] + second * sizes[1]) / sum(sizes)

    assert_equal(figures, {name: over_tokens(means[0][name], means[1][name]) for name in means[0]})
    assert figures["grad_norm"] == pytest.approx(over_tokens(1.0, 2.0))


def test_there_are_no_more_minibatches_than_groups(place: Place) -> None:
    stub = Stub(place.bench.policy)
    groups = make_groups(place, place.bench)[:2]
    make_updater(place.bench, stub, minibatches=3).update(groups, 0.25)
    assert len(stub.rates) == 2 and all(stub.gradients)


def sampler_gap(bench: Bench, groups: Sequence[KeptGroup]) -> float:
    with torch.no_grad():
        values = naive_logprobs(bench.policy, rows_of(bench, groups), TEMPERATURE)[0]
    said = [value for kept in groups for t in kept.group.trajectories for value in t.logprobs]
    return mean(abs(value - heard) for value, heard in zip(values.tolist(), said, strict=True))


def moved(policy: Policy, share: str = "") -> Policy:
    """The policy, its trained weights shaken."""
    draw = torch.Generator().manual_seed(3)
    for name, value in policy.named_trainable():
        if share in name:
            value.data += 0.02 * torch.randn(value.shape, generator=draw)
    return policy


@pytest.mark.parametrize("split", [False, True], ids=["one_pass", "split"])
def test_the_kl_penalty_towards_a_second_policy(place: Place, split: bool) -> None:
    bench, stub, reference = place.bench, Stub(place.bench.policy), moved(Policy.load(place.folder))
    groups = make_groups(place, bench)
    budget = splitting(bench, groups) if split else 4096
    updater = make_updater(bench, stub, reference, kl_weight=0.5, micro_tokens=budget)
    figures = updater.update(groups, 0.25)
    wanted = naive_update(bench, groups, kl_weight=0.5, reference=reference)
    assert figures["kl"] > 0.01
    assert_equal(figures, wanted.figures)
    assert relative_error(stub.gradients[0], wanted.gradients) < 1e-4
    assert not any(value.grad is not None for value in reference.model.parameters())
    without = naive_update(bench, groups)
    assert relative_error(stub.gradients[0], without.gradients) > 0.1


def test_with_adapters_the_policy_is_its_own_reference(place: Place) -> None:
    bench = place.fresh(lora=LORA)
    moved(bench.policy, "lora_B")
    groups, stub, base = make_groups(place, bench), Stub(bench.policy), Policy.load(place.folder)
    figures = make_updater(bench, stub, kl_weight=0.5).update(groups, 0.25)
    apart = make_updater(bench, stub, base, kl_weight=0.5).update(groups, 0.25)
    wanted = naive_update(bench, groups, kl_weight=0.5, reference=base)
    assert figures["kl"] > 0.01
    assert figures["kl"] == pytest.approx(apart["kl"], rel=1e-5)
    assert_equal(figures, wanted.figures)
    assert relative_error(stub.gradients[0], stub.gradients[1]) < 1e-5
    assert relative_error(stub.gradients[0], wanted.gradients) < 1e-4


def test_no_penalty_asks_no_reference(place: Place) -> None:
    stub, groups = Stub(place.bench.policy), make_groups(place, place.bench, [TEXT])
    figures = make_updater(place.bench, stub, moved(Policy.load(place.folder))).update(groups, 0.25)
    assert "kl" not in figures


def test_token_counts_by_hand(place: Place) -> None:
    bench = place.bench
    rows = rows_of(bench, make_groups(place, bench, [PICTURE, TEXT, LONG]))
    picture, text, long = (len(bench.prompt(place.problems[name])) for name in ("picture", "text", "long"))
    assert len({picture, text, long}) == 3
    unique = picture + (5 + 19 + 3 + 8) + text + (12 + 1 + 7) + long + (4 + 16)
    repeated = 4 * (picture + 19) + 3 * (text + 12) + 2 * (long + 16)
    assert token_counts(rows) == {"tokens_unique": unique, "tokens_repeated": repeated}


@pytest.mark.parametrize("minibatches", [1, 2])
@pytest.mark.parametrize("split", [False, True], ids=["one_pass", "split"])
def test_an_update_counts_its_tokens(
    place: Place, minibatches: int, split: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes through the language model, counted there: each prompt once, even where its completions are split."""
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = make_groups(place, bench, [PICTURE, TEXT, LONG])
    budget = splitting(bench, groups) if split else 4096
    layer, seen = bench.policy.core.language_model.layers[0], []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[0] * inputs[0].shape[1]))
    updater = make_updater(bench, stub, minibatches=minibatches, micro_tokens=budget)
    figures = updater.update(groups, 0.25)
    hook.remove()
    assert len(seen) > minibatches or not split
    counted = token_counts(rows_of(bench, groups))
    assert figures["tokens_forwarded"] == sum(seen) == counted["tokens_unique"]
    assert {name: figures[name] for name in counted} == counted


@pytest.mark.parametrize("split", [False, True], ids=["one_pass", "split"])
def test_the_sampler_gap_is_that_of_what_these_weights_have_sampled(place: Place, split: bool) -> None:
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = make_groups(place, bench)
    carried = [stale(kept) for kept in groups[1::2]]
    mixed = [groups[0], carried[0], groups[2], carried[1]]
    updater = make_updater(bench, stub, micro_tokens=splitting(bench, groups) if split else 4096)
    gap = sampler_gap(bench, groups[::2])
    assert gap > 0.1 and gap != pytest.approx(sampler_gap(bench, groups), rel=0.01)
    assert updater.update(mixed, 0.25)["sampler_gap"] == pytest.approx(gap, rel=1e-4)
    assert "sampler_gap" not in updater.update(carried, 0.25)


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_rescored_ratios_start_at_one_for_what_these_weights_have_sampled(place: Place, objective: str) -> None:
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = make_groups(place, bench)
    updater = make_updater(
        bench, stub, start=Start.SAMPLING, objective=objective, micro_tokens=splitting(bench, groups)
    )
    figures = updater.update(groups, 0.25)
    assert [figures[name] for name in ("kl_old", "clip_low", "clip_high", "ratio")] == [0.0, 0.0, 0.0, 1.0]
    wanted = naive_update(bench, groups, objective=objective, own=groups)
    assert relative_error(stub.gradients[0], wanted.gradients) < 1e-4
    assert_equal(figures, wanted.figures)


def test_carried_groups_keep_the_ratios_that_they_came_with(place: Place) -> None:
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = make_groups(place, bench)
    mixed = [stale(kept) if number % 2 else kept for number, kept in enumerate(groups)]
    figures = make_updater(bench, stub, start=Start.SAMPLING).update(mixed, 0.25)
    wanted = naive_update(bench, mixed, own=mixed[::2])
    assert figures["kl_old"] > 0.001
    assert relative_error(stub.gradients[0], wanted.gradients) < 1e-4
    assert_equal(figures, wanted.figures)


def test_sampled_by_the_policy_itself_there_is_no_divergence(place: Place) -> None:
    """Ratios that start from the sampler's scores are 1 up to rounding."""
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = make_groups(place, bench, old=0.0, sampler=0.0)
    figures = make_updater(bench, stub).update(groups, 0.25)
    assert figures["kl_old"] == pytest.approx(0.0, abs=1e-8)
    assert figures["ratio"] == pytest.approx(1.0, abs=1e-5) and figures["sampler_gap"] < 1e-4


def test_layers_are_recomputed_in_an_update(place: Place) -> None:
    bench = place.fresh(gradient_checkpointing=True)
    groups, stub, reference = make_groups(place, bench, [TEXT]), Stub(bench.policy), Policy.load(place.folder)
    passes: list[nn.Module] = []
    inner = bench.policy.core.language_model.layers[1].mlp
    hook = inner.register_forward_pre_hook(lambda module, inputs: passes.append(module))
    make_updater(bench, stub, reference, kl_weight=0.1).update(groups, 0.25)
    hook.remove()
    assert passes == [inner] * 2


def scores_of(bench: Bench, groups: Sequence[KeptGroup]) -> Tensor:
    """The policy's log-probabilities of all tokens."""
    with torch.no_grad():
        return naive_logprobs(bench.policy, rows_of(bench, groups), TEMPERATURE)[0]


@pytest.mark.parametrize("minibatches", [1, 2])
@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_over_servers_ratios_start_from_the_policy_before_the_update(
    place: Place, objective: str, minibatches: int
) -> None:
    """Whatever weights sampled, and whatever log-probabilities the groups bring; the rest is the importance weight."""
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = [stale(kept) if number % 2 else kept for number, kept in enumerate(make_groups(place, bench))]
    updater = make_updater(bench, stub, start=Start.UPDATE, objective=objective, minibatches=minibatches)
    figures = updater.update(groups, 0.25)
    assert figures["ratio"] == pytest.approx(1.0, abs=1e-5)
    for number, gradients in enumerate(stub.gradients):
        part = groups[number::minibatches]
        wanted = naive_update(bench, part, SPECS[number::minibatches], objective=objective, own=part)
        assert relative_error(gradients, wanted.gradients) < 1e-4


def test_over_servers_every_minibatch_starts_from_the_policy_before_the_first(place: Place) -> None:
    bench = place.fresh()
    groups = make_groups(place, bench)
    later = groups[1::2]
    before, after = scores_of(bench, later), []

    class Shaking(Stub):
        def step(self, lr: float, loss: float) -> float:
            norm = super().step(lr, loss)
            moved(self.policy)
            after.append(scores_of(bench, later))
            return norm

    figures = make_updater(bench, Shaking(bench.policy), start=Start.UPDATE, minibatches=2).update(groups, 0.25)
    apart = after[0] - before
    every = sum(len(t.tokens) for kept in groups for t in kept.group.trajectories)
    assert figures["kl_old"] * every == pytest.approx(float((apart.expm1() - apart).sum()), rel=1e-3)
    assert figures["kl_old"] > 1e-4


def test_sampler_and_trainer_are_compared_on_all_that_servers_sampled(place: Place) -> None:
    bench, stub = place.bench, Stub(place.bench.policy)
    groups = [stale(kept) for kept in make_groups(place, bench)]
    figures = make_updater(bench, stub, start=Start.UPDATE, importance_cap=1.5).update(groups, 0.25)
    said = torch.tensor([value for kept in groups for t in kept.group.trajectories for value in t.logprobs])
    apart = scores_of(bench, groups) - said
    wanted = {
        "sampler_gap": apart.abs().mean(),
        "sampler_gap_max": apart.abs().max(),
        "sampler_kl": (apart.exp() - 1 - apart).mean(),
        "importance_capped": (apart.exp() > 1.5).float().mean(),
    }
    assert_equal(figures, {name: float(value) for name, value in wanted.items()})
    assert 0 < figures["importance_capped"] < 1 and figures["sampler_gap_max"] > 2 * figures["sampler_gap"]
