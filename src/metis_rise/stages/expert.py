"""Stage 4: somebody who can solves the absent problems; every solution is verified before it is taught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from metis_rise.engines.server.faults import NotSampled
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import Recipe
from metis_rise.recipe.expert import IMPORTED
from metis_rise.run import Run, write_jsonl
from metis_rise.seeding import derive
from metis_rise.stages.curriculum import foreseen_empty
from metis_rise.stages.diagnose import buckets
from metis_rise.stages.distill import REPLAY
from metis_rise.stages.experts import answers, imported
from metis_rise.stages.experts.acceptance import Examiner
from metis_rise.stages.experts.answers import Answers
from metis_rise.stages.experts.files import ExpertFiles, kept_files, read_files
from metis_rise.stages.experts.plan import Plan, make_plan
from metis_rise.stages.experts.question import Questions
from metis_rise.stages.experts.session import Session
from metis_rise.stages.experts.solving import BUDGET, Outcome
from metis_rise.stages.journals import JOURNAL, by_problem, read_trajectories
from metis_rise.stages.lengths import token_counter
from metis_rise.stages.model_judge import on_call
from metis_rise.stages.so_far import SolvedSoFar
from metis_rise.stages.workshop import Workshop
from metis_rise.terminal import Loop
from metis_rise.types import Bucket, Problem, Trajectory

OUTCOMES = "outcomes.jsonl"
_NOT_ASKED = "not asked: over expert.max_problems"


def run(shop: Workshop) -> dict[str, Any]:
    """Asks the experts about absent problems and keeps what the verifier and the chain checker accept."""
    absent = _absent(shop)
    asked, config = _chosen(shop, absent), shop.recipe.expert
    count_tokens = token_counter(shop.recipe.model.path)
    files, attempts = kept_files(config, shop.run.path), _attempts(shop, asked)
    _foresee(shop, asked)
    outcomes: dict[str, Outcome] = {}
    with (
        on_call(shop.recipe, shop.run) as settle,
        _session(shop, files, attempts) as session,
    ):
        examine = Examiner(count_tokens, shop.max_tokens, settle)
        outcomes |= imported.accepted(shop.run, asked, examine)
        open_ = [problem for problem in asked if problem.id not in outcomes]
        for note in session.check(open_):
            shop.run.log(note)
        with closing(session.solve(open_, examine)) as solved:
            bar, so_far = Loop(solved, desc="expert", total=len(open_), unit="problem"), SolvedSoFar()
            for outcome in bar:
                outcomes[outcome.problem.id] = outcome
                bar.set_postfix(so_far.add(outcome))
    in_order = [outcomes[problem.id] for problem in asked]
    _refuse_unasked(shop, in_order)
    folder = shop.run.stage("expert").path
    kept = [outcome.trajectory for outcome in in_order if outcome.trajectory is not None]
    write_jsonl(folder / OUTCOMES, [_row(problem, outcomes.get(problem.id)) for problem in absent])
    write_jsonl(folder / JOURNAL, (trajectory.to_json() for trajectory in kept))
    _say(shop, in_order, session.answers)
    return {
        "counts": {"problems": len(absent), "asked": len(asked), "kept": len(kept), "used": len(kept)},
        "dropped": dict(Counter(outcome.fault for outcome in in_order if outcome.fault)),
        "experts": _figures(shop, in_order, session.answers),
    }


def _session(shop: Workshop, files: ExpertFiles, attempts: Mapping[str, Sequence[Trajectory]]) -> Session:
    config, journal, later = shop.recipe.expert, _answers_file(shop.run), shop.run.number > 1
    return Session(config, files, attempts, shop.store, journal, shop.run.warn, later=later)


def _foresee(shop: Workshop, asked: Sequence[Problem]) -> None:
    """Warns, before anybody is asked, of curriculum stages that no example can come to, whatever the experts say."""
    rates: Mapping[str, float] = shop.run.stage("diagnose").result()["solve_rates"]
    folder = shop.run.stage("distill").path
    own = {key for file in (JOURNAL, REPLAY) for key in read_trajectories(folder / file)}
    hopeful = own | {problem.id for problem in asked}
    known = {key: (label, rates[key]) for key, label in buckets(shop).items()}
    problems = [problem for problem in shop.sets.train if problem.id in hopeful]
    for config in foreseen_empty(shop.recipe, problems, known):
        shop.run.warn(
            f"sft: curriculum stage {config.name} will have no example, whatever the experts answer: nothing that "
            f"distillation kept or that they are asked fits its data ({', '.join(config.data)}) and selection; "
            "it will be skipped"
        )


def check(recipe: Recipe, run: Run, problems: Sequence[Problem]) -> None:
    """InputError for experts that could not do their work, as far as that is known before a run's first stage.

    Endpoints that cannot be reached yet are only noted.
    """
    config, store = recipe.expert, ImageStore(run.path / "images")
    with Session(config, read_files(config), {}, store, _answers_file(run), run.warn) as session:
        for note in session.check(problems):
            run.log(f"{note}; it must be there when stage 4 begins")


def plan(shop: Workshop) -> Plan:
    """What `run` would ask, and what that would cost; no call is made. Without a diagnosis all problems count."""
    config, diagnosed = shop.recipe.expert, shop.run.is_done("diagnose")
    problems = _chosen(shop, _absent(shop) if diagnosed else shop.sets.train)
    attempts = _attempts(shop, problems) if diagnosed else {}
    questions = Questions(config, read_files(config), attempts, shop.store)
    examine = examiner(shop)
    there = imported.accepted(shop.run, problems, examine)
    problems = [problem for problem in problems if problem.id not in there]
    return make_plan(config, problems, questions, Answers(_answers_file(shop.run)), examine, diagnosed=diagnosed)


def examiner(shop: Workshop) -> Examiner:
    """Verifies without a call: what a model judge would say of an answer that the rules refuse is not known."""
    return Examiner(token_counter(shop.recipe.model.path), shop.max_tokens, lambda _, trajectory: trajectory)


def _absent(shop: Workshop) -> list[Problem]:
    labels = buckets(shop)
    return [problem for problem in shop.sets.train if labels[problem.id] is Bucket.ABSENT]


def _chosen(shop: Workshop, absent: Sequence[Problem]) -> list[Problem]:
    """All of `absent`, or as many as the recipe allows, drawn from them."""
    most = shop.recipe.expert.max_problems
    if most is None or len(absent) <= most:
        return list(absent)
    chosen = Random(derive(shop.seed, "expert")).sample(range(len(absent)), most)
    return [absent[i] for i in sorted(chosen)]


def _attempts(shop: Workshop, problems: Sequence[Problem]) -> Mapping[str, Sequence[Trajectory]]:
    """The policy's own attempts at `problems` by id, where experts are told of them."""
    if "failed_attempts" not in shop.recipe.expert.knowledge:
        return {}
    return dict(by_problem(shop.run.stage("diagnose").path / JOURNAL, {problem.id for problem in problems}))


def _answers_file(run: Run) -> Path:
    """The journal of paid answers, one for all rounds: what was asked in an earlier round is not paid for again."""
    return run.path / "4-expert" / answers.JOURNAL


def _refuse_unasked(shop: Workshop, outcomes: Sequence[Outcome]) -> None:
    """InputError where endpoints gave too little for the stage to be done: a later attempt may get more."""
    unsolved = [outcome for outcome in outcomes if outcome.trajectory is None]
    failed = [(outcome.problem.id, outcome.failure) for outcome in unsolved if outcome.failure]
    gone = [(outcome.problem.id, outcome.failure) for outcome in unsolved if outcome.gone]
    free = {IMPORTED, *(entry.name for entry in shop.recipe.expert.experts if entry.free)}
    replied = any(outcome.expert not in free for outcome in outcomes if outcome.trajectory) or any(
        outcome.refused.keys() - free and any(map(len, outcome.refused.values())) for outcome in outcomes
    )
    if gone or (failed and not replied):
        raise NotSampled(gone or failed, len(outcomes))
    if failed:
        shop.run.warn(f"expert: {NotSampled(failed, len(outcomes))}")


def _row(problem: Problem, outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"problem": problem.id, "kept": False, "reason": _NOT_ASKED, "expert": "", "attempt": 0, "refused": {}}
    return {
        "problem": problem.id,
        "kept": outcome.trajectory is not None,
        "reason": outcome.fault,
        "expert": outcome.expert,
        "attempt": outcome.attempt,
        "refused": {name: dict(reasons) for name, reasons in outcome.refused.items() if reasons},
    }


def _say(shop: Workshop, outcomes: Sequence[Outcome], held: Answers) -> None:
    """Warnings for a budget that ended the stage, and for a stage that got nothing."""
    left = sum(outcome.fault == BUDGET for outcome in outcomes)
    caps = shop.recipe.expert.budget
    if left:
        spent = ", ".join(f"{cap} {held.spent.said(cap)} of {getattr(caps, cap):g}" for cap in sorted(held.ended(caps)))
        shop.run.warn(
            f"expert: THE BUDGET IS SPENT ({spent}): {left} of {len(outcomes)} absent problems were left unsolved; the "
            "stage ends with what is there"
        )
    if outcomes and not any(outcome.trajectory for outcome in outcomes):
        shop.run.warn(f"expert: none of {len(outcomes)} absent problems got a usable solution")


def _figures(shop: Workshop, outcomes: Sequence[Outcome], held: Answers) -> dict[str, dict[str, Any]]:
    """What each expert was asked, gave and cost. Calls are the whole run's, of all processes and rounds."""
    brought = sum(outcome.expert == IMPORTED for outcome in outcomes)
    found: dict[str, dict[str, Any]] = {IMPORTED: {"kept": brought, "refused": {}}} if brought else {}
    for entry in shop.recipe.expert.experts:
        refused: Counter[str] = sum((o.refused.get(entry.name, Counter()) for o in outcomes), Counter())
        kept = sum(outcome.expert == entry.name for outcome in outcomes)
        found[entry.name] = {"kept": kept, "refused": dict(refused)}
        if not entry.free:
            paid = [call for call in held.all() if call.expert == entry.name]
            found[entry.name] |= {
                "calls": len(paid),
                "prompt_tokens": sum(call.prompt_tokens for call in paid),
                "completion_tokens": sum(call.completion_tokens for call in paid),
                "cost": sum(call.cost for call in paid),
            }
    return found
