from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from PIL import Image

from metis_rise.errors import InputError
from metis_rise.policy.features import FeatureCache
from metis_rise.policy.model import Policy


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model")))


class Counter:
    """Counts the patches that reach a vision tower."""

    def __init__(self, policy: Policy) -> None:
        self.patches = 0
        self._hook = policy.core.visual.register_forward_pre_hook(self._count)

    def _count(self, module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        self.patches += len(args[0])

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *args: object) -> None:
        self._hook.remove()


def test_each_picture_once_and_cached(policy: Policy) -> None:
    one, two = tiny.picture(11), tiny.picture(12)
    prompts = [
        policy.encode(tiny.message("a", 1), [one]),
        policy.encode(tiny.message("b", 2), [one, two]),
        policy.encode(tiny.message("c")),
    ]
    with Counter(policy) as counter:
        features = policy.image_features(prompts)
        assert counter.patches == 2 * 64
        again = policy.image_features(prompts[:1])
        assert counter.patches == 2 * 64
    assert features[0] is not None and features[1] is not None and features[2] is None
    assert features[0].shape == (1, 16, 128) and features[1].shape == (1, 32, 128)
    assert again[0] is not None and torch.equal(again[0], features[0])
    torch.testing.assert_close(features[1][:, :16], features[0])


def test_an_unfrozen_tower_learns_and_is_not_cached(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "model")
    trained = Policy.load(tmp_path / "model", freeze_vision=False)
    prompt = trained.encode(tiny.message("a", 1), [tiny.picture(1)])
    with Counter(trained) as counter:
        for _ in range(2):
            (features,) = trained.image_features([prompt])
        assert counter.patches == 2 * 64
    assert features is not None
    features.sum().backward()
    names = {name for name, value in trained.named_trainable() if value.grad is not None}
    assert any(".visual." in name for name in names)
    assert not any(".visual." in name for name, _ in policy.named_trainable())


def test_the_cache_is_bounded_and_drops_the_oldest() -> None:
    cache = FeatureCache(limit=3 * 40)
    for key in "abc":
        cache.put(key, torch.zeros(10))
    assert cache.get("a") is not None
    cache.put("d", torch.zeros(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_banned_and_end_ids(policy: Policy) -> None:
    id_of = policy.tokenizer.convert_tokens_to_ids
    assert policy.eos_ids == (id_of("<|im_end|>"),)
    vocabulary = len(policy.tokenizer)
    expected = {id_of(token) for token in tiny.SPECIAL} - {id_of("<|endoftext|>"), id_of("<|im_end|>")}
    assert set(policy.banned_ids) == expected | set(range(vocabulary, vocabulary + tiny.SPARE))


def test_completion_round_trip(policy: Policy) -> None:
    text = "<think> 3 + 14 = 17 </think><answer>\\boxed{17}</answer>"
    ids = policy.completion_ids(text).tolist()
    assert ids[-1] == policy.eos_ids[0]
    assert policy.decode(ids) == text
    assert policy.decode(ids[:-1]) == text


@pytest.mark.parametrize("pictures", [0, 2])
def test_pictures_must_match_the_messages(policy: Policy, pictures: int) -> None:
    with pytest.raises(InputError, match=f"name 1 picture.*{pictures} given"):
        policy.encode(tiny.message("a", 1), [tiny.picture(1)] * pictures)


def test_text_only_messages_may_be_plain_strings(policy: Policy) -> None:
    prompt = policy.encode([{"role": "user", "content": "hello"}])
    assert torch.equal(prompt.position_ids, torch.arange(len(prompt)).expand(3, -1))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_saved_folder_is_whole(tmp_path: Path, family: str) -> None:
    source = tiny.write_folder(tmp_path / "source", family)
    policy = Policy.load(source, max_pixels=84 * 84)
    policy.save(tmp_path / "saved")
    assert {p.name for p in source.iterdir()} <= {p.name for p in (tmp_path / "saved").iterdir()}
    assert not list(tmp_path.glob(".*")), "no temporary folder is left"
    again = Policy.load(tmp_path / "saved")
    for (name, before), (_, after) in zip(
        policy.model.state_dict().items(), again.model.state_dict().items(), strict=True
    ):
        assert torch.equal(before, after), name
    prompt, other = (p.encode(tiny.message("a", 1), [tiny.picture(1, 400, 300)]) for p in (policy, again))
    assert torch.equal(prompt.input_ids, other.input_ids), "the bounds on pixels are saved"
    assert again.eos_ids == policy.eos_ids and again.banned_ids == policy.banned_ids


def test_stored_type_and_loaded_type(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "half", dtype="float16")
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 2.2 * sum(
        p.numel() for p in policy.model.parameters()
    )
    again = Policy.load(tmp_path / "half")
    for (name, before), (_, after) in zip(policy.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert after.dtype == torch.float32
        assert torch.equal(after, before.half().float()), name
    assert policy.model.dtype == torch.float32, "saving does not change the model"


def test_saving_replaces_and_a_failed_save_leaves_the_old(
    policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy.save(tmp_path / "model")
    (tmp_path / "model" / "stale").touch()
    monkeypatch.setattr(policy.tokenizer, "save_pretrained", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        policy.save(tmp_path / "model")
    assert (tmp_path / "model" / "stale").exists() and (tmp_path / "model" / "tokenizer.json").exists()
    monkeypatch.undo()
    policy.save(tmp_path / "model")
    assert not (tmp_path / "model" / "stale").exists()


def test_unknown_type_and_device(policy: Policy, tmp_path: Path) -> None:
    policy.save(tmp_path / "model")
    with pytest.raises(InputError, match="dtype 'int8'"):
        Policy.load(tmp_path / "model", dtype="int8")
    with pytest.raises(InputError, match="device 'abacus'"):
        Policy.load(tmp_path / "model", device="abacus")


def test_grey_and_transparent_pictures(policy: Policy) -> None:
    # Callers hand in what a file holds; the processor turns it into RGB.
    for mode in ("L", "RGBA"):
        prompt = policy.encode(tiny.message("a", 1), [tiny.picture(1).convert(mode)])
        assert prompt.pixel_values is not None and prompt.pixel_values.shape == (64, 1176)
    assert isinstance(tiny.picture(1), Image.Image)
