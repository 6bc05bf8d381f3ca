"""What MODEL names, what tells weights apart, and answers of a real (small) model in process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluating import asking, data
from fake_run import make_run
from safetensors.torch import load_file, save_file
from tiny import write_folder

from metis_rise.benchmarks.base import Style
from metis_rise.benchmarks.evaluation_folder import Answer
from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.errors import InputError
from metis_rise.evaluation import samplers
from metis_rise.evaluation.asking import Asking
from metis_rise.evaluation.options import Options
from metis_rise.evaluation.samplers import NativeSampler
from metis_rise.evaluation.targets import targets
from metis_rise.evaluation.weights import fingerprint
from metis_rise.policy.model import Policy
from metis_rise.policy.pictures import HelpedPictures
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import load_recipe, resolved
from metis_rise.run import Run
from metis_rise.stages import helpers
from metis_rise.types import Group, StopReason, Trajectory


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model."""
    return write_folder(tmp_path_factory.mktemp("model") / "random")


def answers(
    model: Path, folder: Path, how: Asking, items: slice = slice(None), batch_tokens: int = 4096
) -> list[Answer]:
    sampler = NativeSampler(model, how, ImageStore(folder / "images"), "float32", batch_tokens)
    wanted = [(item, tuple(range(how.samples))) for item in data(folder).items[items]]
    return sorted((a for some in sampler.answers("fake", wanted) for a in some), key=lambda a: (a.index, a.sample))


@pytest.mark.parametrize("style", list(Style))
def test_answers_are_those_of_the_model_to_what_is_shown(model: Path, tmp_path: Path, style: Style):
    how = replace(asking(style), params=SamplingParams(0.0, max_tokens=6))
    policy = Policy.load(model)
    (item, *_) = data(tmp_path).items
    question = {Style.RISE: item.problem.question, Style.VLMEVALKIT: item.prompt}[style]
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Think."}]},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]},
    ]
    picture = ImageStore(tmp_path / "images").open(item.problem.images[0])
    text = policy.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    inputs = policy.processor(text=[text], images=[picture], return_tensors="pt")
    with torch.no_grad():
        banned = [[token] for token in policy.banned_ids]
        generated = policy.model.generate(**inputs, max_new_tokens=6, do_sample=False, bad_words_ids=banned)
    first = answers(model, tmp_path, how)[0]
    tokens = generated[0, inputs["input_ids"].shape[1] :].tolist()
    assert first == Answer("0", 0, policy.decode(tokens), ended=tokens[-1] in policy.eos_ids)


def test_pictures_that_were_cut_up_ahead_make_no_difference(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    how = replace(asking(), params=SamplingParams(0.0, max_tokens=6))
    alone = answers(model, tmp_path, how)
    asked: list[str] = []
    made: list[HelpedPictures] = []

    def helped(store: ImageStore, processor: object, helpers: int) -> HelpedPictures:
        made.append(HelpedPictures(store, processor, helpers))
        return made[0]

    monkeypatch.setattr(samplers, "worth", lambda keys, *_: asked.extend(keys) or (1, "said so"))
    monkeypatch.setattr(samplers, "HelpedPictures", helped)
    monkeypatch.setattr(samplers, "OwnPictures", None)
    assert answers(model, tmp_path, how) == alone
    assert asked == [key for item in data(tmp_path).items for key in item.problem.images] != []
    assert made[0].crew.pids() == []


def test_helpers_are_started_where_they_are_worth_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, key = ImageStore(tmp_path), "0" * 64
    monkeypatch.setattr(helpers, "_seconds", lambda keys, *_: 0.1)

    def worth(count: int, device: str, cores: int) -> tuple[int, str]:
        return helpers.worth([key] * count, store, lambda: None, device, cores)

    assert worth(0, "cuda", 8) == (0, "no problem has one")
    assert worth(1000, "cpu", 8)[0] == worth(1000, "cuda", 1)[0] == 0
    assert worth(199, "cuda", 8) == (0, "all take 20 s")
    assert worth(201, "cuda", 4) == (3, "all take one process 20 s")
    assert worth(1000, "cuda", 64)[0] == 8


def test_answers_do_not_depend_on_what_is_asked_beside_them(model: Path, tmp_path: Path):
    """Hence a resumed evaluation gives what an uninterrupted one gives."""
    how = Asking(Style.RISE, None, SamplingParams(1.0, max_tokens=8), samples=2)
    whole = answers(model, tmp_path, how)
    assert len(whole) == 8 and len({a.text for a in whole}) > 4
    assert answers(model, tmp_path, how, slice(2, None)) == whole[4:]
    assert answers(model, tmp_path, how, batch_tokens=1) == whole
    assert answers(model, tmp_path, replace(how, seed=1)) != whole


def test_the_record_has_the_pixel_bounds_that_hold(model: Path, tmp_path: Path):
    store = ImageStore(tmp_path)
    record = NativeSampler(model, asking(), store, "bfloat16", 1).record()
    assert (record.engine, record.dtype, record.max_tokens) == ("native", "bfloat16", 16)
    assert (record.min_pixels, record.max_pixels) == (56 * 56, 28 * 28 * 256)
    own = NativeSampler(model, replace(asking(), max_pixels=28 * 28 * 9), store, "float32", 1).record()
    assert (own.min_pixels, own.max_pixels) == (56 * 56, 28 * 28 * 9)
    with pytest.raises(InputError, match="dtype 'int8'"):
        NativeSampler(model, asking(), store, "int8", 1)


def test_weights_are_told_apart_and_their_place_is_not(model: Path, tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    weights = load_file(model / "model.safetensors")
    for folder in (here, there):
        folder.mkdir()
        save_file(weights, folder / "model.safetensors")
    assert fingerprint(here) == fingerprint(there)
    save_file({name: value * 1.001 for name, value in weights.items()}, there / "model.safetensors")
    assert fingerprint(here) != fingerprint(there)


def test_one_model_goes_by_the_part_of_its_name_that_says_something(tmp_path: Path):
    folder = tmp_path / "mine" / "5-sft" / "model"
    folder.mkdir(parents=True)
    for spec, name in ((str(folder), "mine-5-sft"), ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2.5-VL-7B-Instruct")):
        (target,) = targets(spec, Options())
        assert (target.name, target.model, target.out) == (name, spec, Path("evals") / name)
    (target,) = targets("tiny", Options(out=tmp_path / "x"))
    assert (target.out, target.images) == (tmp_path / "x", tmp_path / "x" / "images")


def run_of(folder: Path, *overrides: str) -> Path:
    recipe = load_recipe("tiny", list(overrides))
    run = Run.open(folder, "mine", resolved(recipe))
    run.event("start", max_tokens=77)
    return run.path


def test_a_run_is_its_models_asked_as_they_were_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = Run(run_of(tmp_path, "seed=3", "prompt.system=rise", "model.max_pixels=9000"))
    run.stage("rl").finish({})
    base, rl = targets(str(run.path), Options())
    assert "no rise model yet" in capsys.readouterr().err
    assert (base.model, rl.model) == ("tiny", str(run.path / "1-rl" / "model"))
    assert [t.out for t in (base, rl)] == [run.path / "benchmarks" / arm for arm in ("base", "rl")]
    assert (base.name, base.arm, base.images) == ("mine-base", "base", run.path / "benchmarks" / "images")
    for target in (base, rl):
        how = target.options.asking("text")
        assert (how.params.max_tokens, how.seed, how.max_pixels, target.options.system) == (77, 3, 9000, "rise")
        assert target.options.dtype == "float32"


def test_what_is_said_on_the_command_line_stands_before_the_run(tmp_path: Path):
    run = run_of(tmp_path, "seed=3", "prompt.system=rise")
    (base,) = targets(str(run), Options(system=None, max_tokens=9, seed=0, dtype="bfloat16", out=tmp_path / "o"))
    assert (base.options.system, base.options.max_tokens, base.options.seed) == (None, 9, 0)
    assert (base.options.dtype, base.out) == ("bfloat16", tmp_path / "o" / "base")


def test_a_run_of_several_rounds_ends_with_the_last_rounds_model(tmp_path: Path):
    run = Run(run_of(tmp_path, "rounds=2"))
    run.stage("sft").finish({})
    assert [target.arm for target in targets(str(run.path), Options())] == ["base"]
    run.in_round(2).stage("sft").finish({})
    assert targets(str(run.path), Options())[-1].model == str(run.path / "round-2" / "5-sft" / "model")


def test_a_run_of_another_version_is_told(tmp_path: Path):
    run = make_run(tmp_path / "old")
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"gone": 1}))
    with pytest.raises(InputError, match="not a recipe of this version"):
        targets(str(run), Options())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"samples": 2}, "--samples 2: at temperature 0 all answers are the same"),
        ({"min_pixels": 9, "max_pixels": 8}, "--min-pixels 9: is above --max-pixels 8"),
        ({"servers": "http://a", "dtype": "float32"}, "--dtype float32: the number format is the server's own"),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict, said: str):
    with pytest.raises(InputError, match=said):
        Options(**options)


def test_an_item_that_the_sampler_gave_up_is_no_wrong_answer(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def given_up(self: NativeEngine, requests: Sequence[Request]) -> Iterator[Group]:
        for request in requests:
            yield Group(request.problem, (Trajectory(request.problem.id, 0, "", stop=StopReason.ABORT),))

    monkeypatch.setattr(NativeEngine, "sample", given_up)
    with pytest.raises(InputError, match="the sampler gave it up"):
        answers(model, tmp_path, asking())
