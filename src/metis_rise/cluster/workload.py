"""What a recipe's run has to do: how long prompts and completions are, how many groups teach.

Known from the recipe's problems or an earlier run where these are here, assumed otherwise; `notes` says which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from metis_rise.cluster.facts import VisionFacts
from metis_rise.cluster.logged import figure, rl_steps
from metis_rise.cluster.prompts import Prompts, prompts_of
from metis_rise.errors import InputError
from metis_rise.recipe import Recipe

# Assumed where nothing is known: the mean completion as a share of sampling.max_tokens, the standard deviation of
# lengths as a share of their mean, the share of groups that pass RL's filter, what RL leaves absent and inconsistent.
ANSWER_SHARE = 0.4
SPREAD = 0.6
TEACHING = 0.5
ABSENT, INCONSISTENT = 0.3, 0.3
_AUTO_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Workload:
    """max_tokens, mean_tokens: of completions: the longest allowed, and their mean.

    teaching: share of sampled groups that pass RL's filter.
    notes: what was read where, and what is assumed.
    """

    prompts: Prompts
    max_tokens: int
    mean_tokens: float
    teaching: float
    notes: tuple[str, ...]

    @property
    def prompt(self) -> float:
        """Tokens of the mean prompt."""
        return self.prompts.image + self.prompts.text

    def lengths(self, random: np.random.Generator, count: int) -> NDArray[np.float64]:
        """`count` completion lengths in whole tokens: lognormal, cut at `max_tokens`."""
        width = math.sqrt(math.log(1 + SPREAD**2))
        drawn = random.lognormal(math.log(self.mean_tokens) - width**2 / 2, width, count)
        lengths: NDArray[np.float64] = np.clip(np.rint(drawn), 1, self.max_tokens)
        return lengths


def workload_of(
    recipe: Recipe,
    vision: VisionFacts,
    *,
    completion: float | None = None,
    teaching: float | None = None,
    run: Path | None = None,
) -> Workload:
    """The workload of `recipe`.

    Args:
        recipe: what is run.
        vision: of its model.
        completion: mean tokens of a completion, where the user knows them.
        teaching: share of groups that pass the filter, likewise.
        run: a run folder whose RL steps say both.

    Raises:
        InputError: a `run` without RL steps, a problem file that cannot be read, or a mean above sampling.max_tokens.
    """
    limit = recipe.sampling.max_tokens
    longest = _AUTO_TOKENS if limit == "auto" else limit
    prompts = prompts_of(recipe, vision)
    notes = [prompts.note]
    if limit == "auto":
        notes.append(f"sampling.max_tokens=auto is settled by the data when a run begins; {_AUTO_TOKENS} assumed")
    if run is not None:
        seen = _seen(run)
        completion = seen[0] if completion is None else completion
        teaching = seen[1] if teaching is None else teaching
        notes.append(
            f"completions of {completion:.0f} tokens, {teaching:.0%} of the groups pass the filter: as in {run}"
        )
    if completion is None:
        completion = ANSWER_SHARE * longest
        notes.append(f"completions of {completion:.0f} tokens, {ANSWER_SHARE:.0%} of sampling.max_tokens, assumed")
    if teaching is None:
        teaching = TEACHING
        notes.append(f"{TEACHING:.0%} of the groups pass the filter, assumed")
    notes.append(f"lengths lognormal with a standard deviation of {SPREAD:.0%} of their mean, assumed")
    if completion > longest:
        raise InputError(f"completions of {completion:g} tokens are above sampling.max_tokens ({longest}); lower them")
    return Workload(prompts, longest, completion, teaching, tuple(notes))


def _seen(run: Path) -> tuple[float, float]:
    """Mean completion length and share of teaching groups of a run's RL steps."""
    rows = [[figure(run, step, name) for name in ("length", "groups_sampled", "filter_rate")] for step in rl_steps(run)]
    sampled = sum(groups for _, groups, _ in rows)
    taught = sum((1 - dropped) * groups for _, groups, dropped in rows)
    return fmean(length for length, _, _ in rows), max(taught / max(sampled, 1), 0.01)
