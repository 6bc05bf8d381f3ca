"""The journal of paid answers: each is kept when it comes, under the hash of what was asked, and never asked again."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metis_rise.engines.server.chat import Said
from metis_rise.recipe.expert import BudgetConfig
from metis_rise.run import append_jsonl, read_jsonl
from metis_rise.stages.experts.budget import Spending

JOURNAL = "answers.jsonl"
# Beside it: what another run was answered, of which this one is a fork.
TAKEN = "answers-taken.jsonl"


@dataclass(frozen=True, slots=True)
class Paid:
    """A journaled call: what came, and what it cost. `pictures` is the number of pictures that were sent."""

    expert: str
    model: str
    problem: str
    attempt: int
    pictures: int
    answers: tuple[Said, ...]
    prompt_tokens: int
    completion_tokens: int
    cost: float

    @property
    def spending(self) -> Spending:
        """What it counts for in a budget."""
        return Spending(1, self.prompt_tokens + self.completion_tokens, self.cost)


class Answers:
    """All answers of a run, of whatever process, by key. Belongs to one asyncio loop, its journal to one process.

    Answers that were taken over from another run are there as well, and count for nothing that this run spent.
    """

    def __init__(self, path: Path) -> None:
        """Reads what is there."""
        self._path = path
        taken = path.with_name(TAKEN)
        self._taken = {row["key"]: _paid(row) for row in (read_jsonl(taken) if taken.exists() else ())}
        self._held: dict[str, Paid] = {}
        self._ended: list[tuple[str, float]] = []
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        for row in read_jsonl(path) if path.exists() else ():
            if "ended" in row:
                self._ended.append((row["ended"], row["cap"]))
            else:
                self._held[row["key"]] = _paid(row)

    def get(self, key: str) -> Paid | None:
        """The call of this key, None if it was never answered."""
        return self._held.get(key) or self._taken.get(key)

    def all(self) -> list[Paid]:
        """Every answered call that this run paid for."""
        return list(self._held.values())

    def known(self) -> list[Paid]:
        """Every answered call, those that were taken over included."""
        return list((self._taken | self._held).values())

    def asking(self, key: str) -> AbstractAsyncContextManager[None]:
        """Keeps a call to itself, so that two problems that ask the same pay once."""
        return self._asking[key]

    async def put(self, key: str, paid: Paid) -> None:
        """Journal an answered call; it is on disk when this returns."""
        answers = [[said.text, said.whole] for said in paid.answers]
        row = {name: getattr(paid, name) for name in Paid.__slots__} | {"key": key, "answers": answers}
        await asyncio.to_thread(append_jsonl, self._path, [row])
        self._held[key] = paid

    def note_end(self, cap: str, caps: BudgetConfig) -> None:
        """Journal that a cap ended the stage: taken up again with the same one, it ends there as well."""
        append_jsonl(self._path, [{"ended": cap, "cap": getattr(caps, cap)}])
        self._ended.append((cap, getattr(caps, cap)))

    def ended(self, caps: BudgetConfig) -> set[str]:
        """The caps that ended the stage before and are the same today."""
        return {cap for cap, value in self._ended if getattr(caps, cap) == value}

    @property
    def spent(self) -> Spending:
        """What all answered calls cost that this run paid for."""
        return sum((paid.spending for paid in self.all()), Spending())

    @property
    def asked_before(self) -> bool:
        """Whether this run has asked about a problem."""
        return any(paid.problem for paid in self.all())

    def takes_pictures(self, expert: str, model: str) -> bool:
        """Whether this model is known to take pictures: it has answered a call with some."""
        return any(p.pictures and (p.expert, p.model) == (expert, model) for p in self.known())


def key_of(asked: Mapping[str, Any]) -> str:
    """The hash of everything that a call says; pictures are named by theirs."""
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


def _paid(row: Mapping[str, Any]) -> Paid:
    values = {name: row[name] for name in Paid.__slots__}
    return Paid(**values | {"answers": tuple(Said(text, whole) for text, whole in row["answers"])})
