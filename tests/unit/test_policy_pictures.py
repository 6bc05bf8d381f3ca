"""Pictures cut here, ahead of need, or by transformers' own processor: the same tensors."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
import tiny
import torch

from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.pictures import HelpedPictures, OwnPictures
from metis_rise.policy.prompt import Prompt, build_prompt
from metis_rise.problems.images import ImageStore
from metis_rise.stages.prompts import Prompts
from metis_rise.types import AnswerType, Problem

SIZES = ((112, 112), (300, 60), (57, 211), (640, 480))


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    folder = tmp_path_factory.mktemp("model")
    tiny.write_folder(folder, request.param)
    return Policy.load(folder)


@pytest.fixture
def keys(store: ImageStore) -> list[str]:
    found = []
    for number, size in enumerate(SIZES):
        buffer = BytesIO()
        tiny.picture(number, *size).save(buffer, ("PNG", "JPEG")[number % 2])
        found.append(store.put(buffer.getvalue()))
    return found


@pytest.fixture
def helped(policy: Policy, store: ImageStore) -> Iterator[HelpedPictures]:
    made = HelpedPictures(store, policy.processor.image_processor, 2)
    yield made
    made.close()


def equal(one: Prompt, other: Prompt) -> bool:
    names = ("input_ids", "position_ids", "mm_token_type_ids", "pixel_values", "image_grid_thw")
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    same = all(a is b is None or (a.dtype == b.dtype and torch.equal(a, b)) for a, b in pairs)
    return same and one.key == other.key


def settled(helped: HelpedPictures) -> int:
    """Bytes that are ready once that does not change any more."""
    before = -1
    while not helped.ready_bytes or before != helped.ready_bytes:
        before = helped.ready_bytes
        time.sleep(0.7)
    return before


def test_every_way_gives_the_tensors_of_the_processor(
    policy: Policy, store: ImageStore, keys: list[str], helped: HelpedPictures
) -> None:
    own = OwnPictures(store, policy.processor.image_processor)
    for chosen in ([], keys[:1], keys[1:3], keys):
        messages = tiny.message("How many dots, naïve \ufb01?", len(chosen))
        images = [store.open(key) for key in chosen]
        text = policy.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        theirs = build_prompt(policy.core, policy.processor(text=[text], images=images or None, return_tensors="pt"))
        assert equal(policy.encode(messages, images), theirs)
        for pictures in (own, helped):
            pictures.expect(chosen)
            assert equal(policy.prompt(messages, [pictures.take(key) for key in chosen]), theirs)


def test_pictures_are_ready_before_they_are_taken_and_within_bounds(
    policy: Policy, store: ImageStore, keys: list[str]
) -> None:
    own = OwnPictures(store, policy.processor.image_processor)
    sizes = [own.take(key).patches.nbytes for key in keys]
    limit = max(sizes) + 1
    helped = HelpedPictures(store, policy.processor.image_processor, 1, limit)
    try:
        # A larger one than any before comes unforeseen: it is the first.
        helped.expect([*reversed(keys), *keys])
        assert max(sizes) <= settled(helped) <= limit < sum(sizes)
        for key in [keys[2], keys[0], keys[3], keys[1], keys[1]]:
            assert helped.take(key).key == own.take(key).key
            assert helped.ready_bytes <= limit
        assert not helped.crew.replaced
    finally:
        helped.close()


def test_what_nobody_takes_makes_room(policy: Policy, store: ImageStore, keys: list[str]) -> None:
    helped = HelpedPictures(store, policy.processor.image_processor, 1, limit=1)
    try:
        helped.expect(keys[:1])
        for key in [*keys[1:], keys[1]]:
            assert helped.take(key).key
        assert helped.take(keys[0]).key
        assert helped.ready_bytes == 0
    finally:
        helped.close()


def test_a_helper_that_dies_is_replaced_and_a_bad_picture_is_named(
    policy: Policy, store: ImageStore, keys: list[str], helped: HelpedPictures
) -> None:
    first = helped.take(keys[0])
    for pid in helped.crew.pids():
        os.kill(pid, signal.SIGKILL)
    assert helped.take(keys[0]).key == first.key and helped.crew.replaced
    store.path(keys[1]).unlink()
    helped.expect([keys[1]])
    for _ in range(2):
        with pytest.raises(InputError, match="the picture is missing"):
            helped.take(keys[1])


def test_helpers_take_no_torch_and_end_with_the_pictures(
    policy: Policy, store: ImageStore, keys: list[str], helped: HelpedPictures
) -> None:
    helped.take(keys[0])
    (pid,) = helped.crew.pids()
    assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()
    helped.close()
    assert not Path(f"/proc/{pid}").exists()


def test_prompts_are_the_same_with_helpers_and_waiting_is_counted(
    policy: Policy, store: ImageStore, keys: list[str]
) -> None:
    problems = [Problem(f"p{n}", f"How many {n}?", "1", AnswerType.NUMBER, images=(key,)) for n, key in enumerate(keys)]
    plain, helped = (Prompts(policy, store, "Be good.", helpers) for helpers in (0, 2))
    try:
        helped.expect(problems)
        assert helped.waited == plain.waited == 0
        for problem in problems:
            assert equal(helped(problem), plain(problem))
            assert len(helped(problem)) == helped.length(problem)
        assert helped.waited > 0 and plain.waited > 0
        waited = helped.waited
        helped(problems[0])
        assert helped.waited == waited, "a prompt that is kept is not waited for"
    finally:
        helped.close()
