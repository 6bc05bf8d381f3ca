"""The procedural world: small visual reasoning problems with exact answers, an expert and a chain checker.

Five families are drawn and one is told in words; each has three levels of composition. `HELD_BACK` families
are those in which the shipped base model never learnt to reason (docs/tiny-world.md).
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.world import angle, bars, dial, path, shop, story
from metis_rise.problems.world.chain import Draft, chain_fault, completion
from metis_rise.types import AnswerType, Problem

if TYPE_CHECKING:
    from metis_rise.problems.images import ImageStore

SOURCE: Final = "metis_rise.world"
LEVELS: Final = (1, 2, 3)
"""What the shipped base model has seen; drafts know levels up to `HARDEST`, each one step longer."""
HARDEST: Final = 5
HELD_BACK: Final = ("path", "angle")
_DRAFTS: Final[Mapping[str, Callable[[Random, int], Draft]]] = {
    "bars": bars.draft,
    "dial": dial.draft,
    "shop": shop.draft,
    "story": story.draft,
    "path": path.draft,
    "angle": angle.draft,
}
_DRAWERS: Final[Mapping[str, Callable[[Mapping[str, Any], Random], Image.Image]]] = {
    "bars": bars.draw,
    "dial": dial.draw,
    "shop": shop.draw,
    "path": path.draw,
    "angle": angle.draw,
}
FAMILIES: Final = tuple(_DRAFTS)
KNOWN: Final = tuple(family for family in FAMILIES if family not in HELD_BACK)
# Shares of the hash space; "base" is what the shipped model is pre-trained on and no recipe can ask for.
_SPLITS: Final = {"base": range(0, 50), "train": range(50, 70), "dev": range(70, 80), "test": range(80, 100)}
_TRIES_PER_PROBLEM: Final = 200


def split_of(family: str, draft: Draft) -> str:
    """The split that owns this latent state: a hash of (family, question, picture state), never of a seed."""
    bucket = zlib.crc32(_key(family, draft).encode()) % 100
    return next(name for name, share in _SPLITS.items() if bucket in share)


def _key(family: str, draft: Draft) -> str:
    return f"{family}|{draft.question}|{draft.caption}"


def drafts(family: str, level: int, split: str, rng: Random) -> Iterator[Draft]:
    """Endless drafts of one family and level that belong to `split` (repeats included)."""
    while True:
        draft = _DRAFTS[family](rng, level)
        if split_of(family, draft) == split:
            yield draft


def picture(family: str, draft: Draft, rng: Random) -> Image.Image | None:
    """The 112x112 RGB picture of a draft; None for the family without pictures. `rng` moves nothing that counts."""
    drawer = _DRAWERS.get(family)
    return None if drawer is None else drawer(draft.state, rng)


def make_problems(
    split: str, per_level: int, seed: int, store: ImageStore, *, levels: Sequence[int] = LEVELS, told: float = 0.0
) -> list[Problem]:
    """`per_level` different problems of every family and level in `split` ("train", "dev" or "test").

    The same arguments give the same problems and the same picture bytes. Families and levels take turns, so that
    any first part of the list is a fair sample. Of the drawn families a share of `told` has no picture: what it would
    show stands before the question. Raises InputError when a family has fewer different problems.
    """
    kinds = [(level, family) for level in levels for family in FAMILIES]
    found = {
        (level, family): _distinct(family, level, split, per_level, Random(f"{split}/{family}/{level}/{seed}"))
        for level, family in kinds
    }
    return [
        make_problem(
            f"{family}-{level}-{split}-{seed}-{n:04d}",
            family,
            level,
            found[level, family][n],
            store,
            told=int((n + 1) * told) > int(n * told),
        )
        for n in range(per_level)
        for level, family in kinds
    ]


def _distinct(family: str, level: int, split: str, count: int, rng: Random) -> list[Draft]:
    found: dict[str, Draft] = {}
    source = drafts(family, level, split, rng)
    for _ in range(count * _TRIES_PER_PROBLEM):
        if len(found) == count:
            break
        draft = next(source)
        found.setdefault(_key(family, draft), draft)
    if len(found) < count:
        raise InputError(
            f"recipe: problems.world asks for {count} {split} problems of {family} level {level}, "
            f"but there are only about {len(found)}; lower {split}_per_level"
        )
    return list(found.values())


def make_problem(
    problem_id: str, family: str, level: int, draft: Draft, store: ImageStore, *, told: bool = False
) -> Problem:
    """The problem of a draft, its picture drawn (the same one every time) and put into `store`, or told in words."""
    image = picture(family, draft, Random(f"jitter/{_key(family, draft)}"))
    drawn = image is not None and not told
    return Problem(
        id=problem_id,
        question=draft.question if drawn or not draft.caption else f"{draft.caption}. {draft.question}",
        answer=draft.answer,
        answer_type=AnswerType.TEXT if family == "path" else AnswerType.NUMBER,
        images=(store.put(encoded(image)),) if image is not None and drawn else (),
        solution=None,
        source=SOURCE,
        family=family,
        level=level,
        meta=draft.meta(),
    )


def encoded(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file, always the same ones."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def is_world(problem: Problem) -> bool:
    """Whether the problem comes from this world, so that its chains can be checked and its expert asked."""
    return problem.source == SOURCE and "plan" in problem.meta


def expert(problem: Problem) -> str:
    """The programmatic expert: a correct chain and the gold answer, in the RISE format."""
    return completion(problem.meta["chain"], problem.answer)


def check_chain(problem: Problem, text: str) -> str | None:
    """Why the chain in `text` does not hold; "" when it holds; None for problems that nothing here can check."""
    return chain_fault(problem.meta, text) if is_world(problem) else None
