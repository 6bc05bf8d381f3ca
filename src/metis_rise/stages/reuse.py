"""What RL sampled with nearly its final weights, as samples of the diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.run import Stage
from metis_rise.stages.journals import stream_trajectories
from metis_rise.types import Trajectory

WEIGHTS_VERSION = "weights_version"


def fresh_rollouts(
    rl: Stage, config: DiagnoseConfig, problems: Collection[str], encode: Callable[[str], Sequence[int]]
) -> list[Trajectory]:
    """RL's trajectories of `problems` by weights at most `reuse_staleness` updates older than the final model's.

    Those of later weights, which did worse on dev, do not count. At most `max_samples` of a problem, by the newest
    weights, numbered from `max_samples` on. Most rows of RL's files have no tokens: those of all come from `encode`.
    Log-probabilities stay empty.

    Raises:
        InputError: RL is not done.
    """
    final: int = rl.result()[WEIGHTS_VERSION]
    found: dict[str, list[Trajectory]] = {}
    for file in sorted(rl.path.glob("trajectories-*.jsonl")):
        for _, trajectory in stream_trajectories(file):
            fresh = 0 <= final - trajectory.weights_version <= config.reuse_staleness
            if fresh and trajectory.problem_id in problems:
                found.setdefault(trajectory.problem_id, []).append(trajectory)
    newest = (
        enumerate(sorted(trajectories, key=lambda t: -t.weights_version)[: config.max_samples], config.max_samples)
        for trajectories in found.values()
    )
    return [replace(t, sample=number, tokens=tuple(encode(t.text))) for kept in newest for number, t in kept]
