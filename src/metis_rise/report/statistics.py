"""The one interval that every score of a run carries."""

from __future__ import annotations

from math import sqrt


def wilson(successes: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share, as (low, high) within 0..1.

    Solves |p - successes / n| = z * sqrt(p (1 - p) / n) for p, so unlike the textbook interval it keeps its
    coverage near 0 and 1 and for small n. z = 1.96 gives 95 %. Without any trial nothing is known: (0, 1).
    ValueError where successes is not within 0..n.

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927).
    """
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)
