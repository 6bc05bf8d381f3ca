"""What each stage of the SFT curriculum teaches, and in which order (paper, stage 2: curriculum-driven SFT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from metis_rise.errors import InputError
from metis_rise.recipe import Recipe
from metis_rise.recipe.sft import SFTStage
from metis_rise.types import Bucket, Problem

# Values of a filter that an error names.
MOST_NAMED = 8
# Which problems the examples of a source are of.
SOURCE_OF = {Bucket.INCONSISTENT: "self", Bucket.ABSENT: "expert", Bucket.MASTERED: "mastered"}


@dataclass(frozen=True, slots=True)
class Example:
    """A problem and the completion that is taught for it; `solve_rate` is what diagnosis found before."""

    problem: Problem
    text: str
    source: str = ""
    solve_rate: float = 0.0


def select(config: SFTStage, pools: Mapping[str, Sequence[Example]], seed: int) -> tuple[list[Example], list[Example]]:
    """What a stage teaches, and its replay, drawn from what it does not teach.

    Replay is the model's own right trajectories (mastered and self) of all problems, whatever the stage selects: it
    keeps what the model can do, everywhere.
    """
    taught = [e for name in config.data for e in pools[name] if wants(config, e.problem, e.solve_rate)]
    own = [e for name in ("mastered", "self") for e in pools[name]]
    known = {id(e) for e in taught}
    rest = [e for e in own if id(e) not in known]
    count = min(len(rest), round(config.replay * len(taught)))
    return taught, Random(seed).sample(rest, count)


def wants(config: SFTStage, problem: Problem, solve_rate: float | None = None) -> bool:
    """Whether a stage selects a problem; its solve rate is not asked about when it is None."""
    low, high = config.solve_rates
    return (
        (solve_rate is None or low <= solve_rate <= high)
        and config.modality in ("mixed", "image" if problem.images else "text")
        and (not config.families or problem.family in config.families)
        and (not config.subjects or problem.meta.get("subject") in config.subjects)
        and (not config.levels or problem.level in config.levels)
    )


def check_selections(recipe: Recipe, problems: Sequence[Problem]) -> None:
    """Refuses a stage whose selection no training problem can ever pass, before anything is computed or paid for.

    Raises:
        InputError: names the stage, the settings that leave nothing, and what there is.
    """
    for index, config in enumerate(recipe.sft.stages):
        if not any(wants(config, problem) for problem in problems):
            asked = [(key, value, there) for key, value, there in _filters(config, problems) if value]
            said = " and ".join(f"{key} = {_shown(value)}" for key, value, _ in asked)
            known = "; ".join(f"{key}: {_shown(there)}" for key, _, there in asked)
            raise InputError(f"sft.stages.{index} ({config.name}): no training problem has {said}; there are {known}")


def _filters(config: SFTStage, problems: Sequence[Problem]) -> list[tuple[str, Sequence[object], Sequence[object]]]:
    """Each filter of a stage: its key, what it asks for (empty for everything), and what the problems have."""
    modality = () if config.modality == "mixed" else (config.modality,)
    subjects = {str(p.meta["subject"]) for p in problems if "subject" in p.meta}
    return [
        ("modality", modality, sorted({"image" if p.images else "text" for p in problems})),
        ("families", config.families, sorted({p.family for p in problems})),
        ("subjects", config.subjects, sorted(subjects)),
        ("levels", config.levels, sorted({p.level for p in problems})),
    ]


def foreseen_empty(
    recipe: Recipe, problems: Sequence[Problem], rates: Mapping[str, tuple[Bucket, float]]
) -> list[SFTStage]:
    """The stages that will find no example, whatever the experts answer: known once distillation is done.

    Args:
        recipe: its curriculum.
        problems: those that distillation has an example of, and those that experts are asked about.
        rates: bucket and solve rate of each, by id.
    """

    def may_come(config: SFTStage, problem: Problem) -> bool:
        bucket, rate = rates[problem.id]
        return SOURCE_OF[bucket] in config.data and wants(config, problem, rate)

    return [config for config in recipe.sft.stages if not any(may_come(config, p) for p in problems)]


def ordered(config: SFTStage, taught: Sequence[Example], replay: Sequence[Example], seed: int) -> list[Example]:
    """One epoch's examples in the stage's order, those of one problem together so that they share its prompt.

    Problems that the order does not tell apart come at random, and replay is spread at random among them.
    """
    random = Random(seed)
    groups = _by_problem(taught)
    random.shuffle(groups)
    key = _ORDERS.get(config.order)
    if key is not None:
        groups.sort(key=key)
    for group in groups:
        random.shuffle(group)
    return [example for group in _spread(groups, _by_problem(replay), random) for example in group]


def _spread(groups: list[list[Example]], extra: list[list[Example]], random: Random) -> Iterator[list[Example]]:
    """`groups` in their order with `extra` at random places between them; a problem in both stays in one place."""
    homes = {group[0].problem.id: group for group in groups}
    loose = []
    for group in extra:
        home = homes.get(group[0].problem.id)
        if home is None:
            loose.append(group)
        else:
            home.extend(group)
    random.shuffle(loose)
    places = set(random.sample(range(len(groups) + len(loose)), len(loose)))
    left, right = iter(groups), iter(loose)
    return (next(right) if place in places else next(left) for place in range(len(groups) + len(loose)))


def _by_problem(examples: Sequence[Example]) -> list[list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in examples:
        found.setdefault(example.problem.id, []).append(example)
    return list(found.values())


_ORDERS: Mapping[str, Callable[[list[Example]], float]] = {
    "easy_to_hard": lambda group: -group[0].solve_rate,
    "expert_last": lambda group: float(group[0].source == "expert"),
}


def _shown(values: Sequence[object]) -> str:
    more = f" and {len(values) - MOST_NAMED} more" if len(values) > MOST_NAMED else ""
    return (", ".join(map(str, values[:MOST_NAMED])) or "none") + more
