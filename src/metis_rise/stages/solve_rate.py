"""What some samples of a problem say of its solve rate: an interval, a bucket, and whether more would change it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.stages.beta import beta_cdf, beta_quantile
from metis_rise.types import Bucket

# Jeffreys' prior, Beta(1/2, 1/2): solve rates pile up near 0 and 1, as it does, and its intervals keep their coverage
# there (Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 16, 2001).
PRIOR = 0.5
# Of the interval, as of every other interval of a run.
_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Tally:
    """Samples of one problem: how many there are, how many are right and well formed, and how many could be taught."""

    samples: int = 0
    right: int = 0
    usable: int = 0

    @property
    def rate(self) -> float:
        """The solve rate c: share of samples that are right and well formed; 0.0 without any."""
        return self.right / self.samples if self.samples else 0.0


def interval(tally: Tally) -> tuple[float, float]:
    """The 95 % interval of the solve rate, equal-tailed; up to 0 where nothing was right, up to 1 where all was.

    It holds whenever the sampling was stopped: unlike a frequentist one, it does not depend on the reason to stop.
    """
    a, b = _posterior(tally)
    tail = (1 - _LEVEL) / 2
    low = beta_quantile(tail, a, b) if tally.right else 0.0
    high = beta_quantile(1 - tail, a, b) if tally.right < tally.samples else 1.0
    return low, high


def bucket_of(solve_rate: float, config: DiagnoseConfig) -> Bucket:
    """mastered, inconsistent or absent by the recipe's thresholds."""
    if solve_rate >= config.mastered_at:
        return Bucket.MASTERED
    return Bucket.ABSENT if solve_rate <= config.absent_at else Bucket.INCONSISTENT


@lru_cache(maxsize=4096)
def is_settled(tally: Tally, config: DiagnoseConfig, wanted: int) -> bool:
    """Whether a problem needs no more samples: the bucket is believed, and enough of them can be taught.

    - Never absent before `max_samples`: one success more is worth more than the samples it costs.
    - Inconsistent: the rate lies between the thresholds with probability `confidence`, and `wanted` samples can be
      taught. With the paper's thresholds, 0 and 1, one success and one failure are proof.
    - Mastered: the rate is above `mastered_at - mastered_slack` with probability `confidence` (no number of successes
      makes a rate of exactly 1 likely), and one sample, for replay, can be taught.
    """
    if tally.samples >= config.max_samples:
        return True
    bucket, (a, b) = bucket_of(tally.rate, config), _posterior(tally)
    if not tally.samples or bucket is Bucket.ABSENT:
        return False
    if bucket is Bucket.MASTERED:
        believed = 1 - beta_cdf(config.mastered_at - config.mastered_slack, a, b)
        return tally.usable >= 1 and believed >= config.confidence
    believed = beta_cdf(config.mastered_at, a, b) - beta_cdf(config.absent_at, a, b)
    return tally.usable >= wanted and believed >= config.confidence


def _posterior(tally: Tally) -> tuple[float, float]:
    return tally.right + PRIOR, tally.samples - tally.right + PRIOR
