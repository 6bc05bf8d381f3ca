"""What the tests of this folder share: problems, engines on servers, a model with a tied head."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from metis_rise.engines.server.engine import ServerEngine
from metis_rise.engines.server.push import DiskPush
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import build_messages
from metis_rise.types import Problem

Connect = Callable[..., ServerEngine]


@dataclass(frozen=True)
class World:
    """Problems with pictures, and where these are."""

    problems: Sequence[Problem]
    store: ImageStore

    def encoder(self, policy: Policy) -> Callable[[Problem], Prompt]:
        """Turns a problem into the prompt that `policy` sees."""

        def encode(problem: Problem) -> Prompt:
            pictures = [self.store.open(key) for key in problem.images]
            return policy.encode(build_messages(problem, policy.system), pictures)

        return encode

    def picture(self, key: str) -> bytes:
        """A stored picture."""
        return self.store.path(key).read_bytes()

    def probe(self) -> Problem:
        """A problem with a picture."""
        return next(problem for problem in self.problems if problem.images)


def make_engine(
    world: World, folder: Path, policy: Policy, urls: Sequence[str], warn: Callable[[str], None], concurrency: int
) -> ServerEngine:
    """An engine that pushes through `folder`."""
    settings = ServerSettings(tuple(urls), concurrency=concurrency, timeout_s=120.0, backoff_s=0.05, strikes=2)
    return ServerEngine(policy, world.encoder(policy), world.picture, settings, DiskPush(folder), world.probe(), warn)


def write_tied(folder: Path) -> Path:
    """The shipped base with its embeddings as its output head: folders `tied`, and `twin`, of which no config says so.

    Both compute the same, and take the same weights. They talk nonsense at length.
    """
    policy = Policy.load("tiny", device="cpu")
    with torch.no_grad():
        policy.model.lm_head.weight.copy_(policy.model.get_input_embeddings().weight)
    for name in ("twin", "tied"):
        policy.save(folder / name)
    path = folder / "tied" / "config.json"
    config = json.loads(path.read_text())
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = True
    path.write_text(json.dumps(config))
    return folder
