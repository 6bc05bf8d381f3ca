"""What the base must be before it is shipped, measured on dev problems through the product's own engine."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from base_builder.forced import FORCED, continued
from base_builder.lessons import DESCRIBE
from base_builder.pictures import patches
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import build_messages
from metis_rise.types import Group, Problem, StopReason
from metis_rise.verifier.judge import judge

_PER_LEVEL = 18
_SAMPLES = 4
_MAX_TOKENS = 80
_CAPTION_LEAST = 0.90
_CHAIN_LEAST = 0.65
_SAMPLED_RANGE = (0.08, 0.40)
_HELD_BACK_MOST = 0.02


@dataclass(frozen=True, slots=True)
class GateReport:
    """Figures by family, 0 to 1; `faults` names what misses the gate."""

    captions: dict[str, float]
    forced_chain_greedy: dict[str, float]
    greedy: dict[str, float]
    sampled: dict[str, float]
    greedy_all: float
    sampled_all: float
    problems: int
    faults: list[str]


def measure(folder: Path) -> GateReport:
    """Loads the model folder and measures it on dev problems (18 per family and level)."""
    policy = Policy.load(folder)
    with tempfile.TemporaryDirectory() as scratch:
        store = ImageStore(Path(scratch))
        problems = world.make_problems("dev", _PER_LEVEL, 0, store)
        _check_patches(policy, problems, store)

        def plain(problem: Problem) -> Prompt:
            images = [store.open(key) for key in problem.images]
            return policy.encode(build_messages(problem, None), images)

        def describe(problem: Problem) -> Prompt:
            images = [store.open(key) for key in problem.images]
            content = [*({"type": "image"} for _ in images), {"type": "text", "text": DESCRIBE}]
            return policy.encode([{"role": "user", "content": content}], images)

        def forced(problem: Problem) -> Prompt:
            return continued(plain(problem), policy.tokenizer.encode(FORCED, add_special_tokens=False))

        greedy = SamplingParams(temperature=0.0, max_tokens=_MAX_TOKENS)
        sampled = SamplingParams(max_tokens=_MAX_TOKENS)
        pictured = [problem for problem in problems if problem.images]
        known = [problem for problem in problems if problem.family in world.KNOWN]

        captions = _run(policy, describe, pictured, greedy, 1)
        figures = {
            "captions": _rates(
                {g.problem.id: (g.problem, [_caption(g.problem) == g.trajectories[0].text]) for g in captions}
            ),
            "forced": _strict(_run(policy, forced, known, greedy, 1), FORCED),
            "greedy": _strict(_run(policy, plain, problems, greedy, 1)),
            "sampled": _strict(_run(policy, plain, problems, sampled, _SAMPLES)),
        }
    return _report(figures, len(problems))


def _run(
    policy: Policy, encode: Callable[[Problem], Prompt], problems: list[Problem], params: SamplingParams, n: int
) -> list[Group]:
    engine = NativeEngine(policy, encode, 32768)
    return list(engine.sample([Request(problem, n, params, seed=i) for i, problem in enumerate(problems)]))


def _caption(problem: Problem) -> str:
    return " ".join(f"{name}={value}" for name, value in problem.meta["readings"])


def _strict(groups: list[Group], written: str = "") -> dict[str, float]:
    verdicts = {}
    for group in groups:
        ended = [t.stop is StopReason.EOS for t in group.trajectories]
        texts = [written + t.text for t in group.trajectories]
        right = [judge(group.problem, text, ended=end).strict for text, end in zip(texts, ended, strict=True)]
        verdicts[group.problem.id] = (group.problem, right)
    return _rates(verdicts)


def _rates(verdicts: dict[str, tuple[Problem, list[bool]]]) -> dict[str, float]:
    by_family: dict[str, list[bool]] = defaultdict(list)
    for problem, right in verdicts.values():
        by_family[problem.family] += right
        by_family["all"] += right
    return {family: sum(right) / len(right) for family, right in by_family.items()}


def _report(figures: dict[str, dict[str, float]], problems: int) -> GateReport:
    faults = [
        f"captions of {family}: {rate:.3f} < {_CAPTION_LEAST}"
        for family, rate in figures["captions"].items()
        if rate < _CAPTION_LEAST
    ]
    faults += [
        f"forced chains of {family}: {rate:.3f} < {_CHAIN_LEAST}"
        for family, rate in figures["forced"].items()
        if rate < _CHAIN_LEAST
    ]
    low, high = _SAMPLED_RANGE
    if not low <= figures["sampled"]["all"] <= high:
        faults.append(f"sampled accuracy {figures['sampled']['all']:.3f} is outside {low} to {high}")
    faults += [
        f"held-back {family} is solved: {figures['sampled'][family]:.3f} > {_HELD_BACK_MOST}"
        for family in world.HELD_BACK
        if figures["sampled"][family] > _HELD_BACK_MOST
    ]
    all_greedy, all_sampled = figures["greedy"].pop("all"), figures["sampled"].pop("all")
    captions = {family: rate for family, rate in figures["captions"].items() if family != "all"}
    forced = {family: rate for family, rate in figures["forced"].items() if family != "all"}
    return GateReport(
        captions, forced, figures["greedy"], figures["sampled"], all_greedy, all_sampled, problems, faults
    )


def _check_patches(policy: Policy, problems: list[Problem], store: ImageStore) -> None:
    """The builder's bulk patches must equal the shipped processor's."""
    image = store.open(next(problem for problem in problems if problem.images).images[0])
    shipped = policy.processor.image_processor([image], return_tensors="pt")["pixel_values"]
    if not torch.allclose(shipped, patches([image]), atol=1e-5):
        raise SystemExit("the builder's patches differ from the image processor's")
