"""README.md of the models that a run made: what they are, how they came about, their scores, how to load them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from metis_rise.evaluation.board.scores import Score as BenchmarkScore
from metis_rise.evaluation.board.scores import read_scores
from metis_rise.journal import write_atomic
from metis_rise.policy.card import LOADING
from metis_rise.problems.prompt import PROMPT_FILE
from metis_rise.report.data import ARMS, RunData, Score, StageRecord, load_run
from metis_rise.report.text import interval, mode_label, percent
from metis_rise.run import round_name
from metis_rise.types import Bucket

_TITLES = {"rl": "after reinforcement learning", "rise": "after reinforcement learning and targeted fine-tuning"}
_SENTENCES = {
    "rl": "Trained with Metis-RISE by reinforcement learning; the run's fine-tuning came after this model.",
    "rise": "Trained with Metis-RISE: reinforcement learning first, then fine-tuning on what it could not solve.",
}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_USE = """\
`rise ask THIS_FOLDER picture.png "QUESTION"` asks it, `rise serve THIS_FOLDER` serves it with vLLM, and
`rise eval THIS_FOLDER --benchmark BENCHMARK` scores it."""


def write_cards(run_folder: Path) -> list[Path]:
    """Writes README.md into the folder of each model that the run has scored, and returns these files.

    What a run's RL made in its first round and what its SFT made in its last one are scored; other folders of models
    keep the short card that they were saved with.
    """
    run = load_run(run_folder)
    found = []
    for arm, folder in _models(run):
        if folder.is_dir() and run.summary is not None and arm in run.summary.scores:
            write_atomic(folder / "README.md", card(run, arm, folder))
            found.append(folder / "README.md")
    return found


def card(run: RunData, arm: str, folder: Path) -> str:
    """The card of the model in `folder`, which the run calls `arm`: metadata for a hub, then Markdown."""
    parts = [
        f"# {_line(run.name)}, {_TITLES[arm]}",
        _SENTENCES[arm],
        *_scores(run, arm),
        *_training(run, arm),
        *_data(run, arm),
        "## Use",
        LOADING.format(kind=_kind(folder)),
        _USE,
        *_prompt(folder),
        "## Licence",
        "The licence of the base model applies, and what the training data's licences ask for.",
    ]
    return f"---\n{_metadata(run, arm)}\n---\n\n" + "\n\n".join(parts) + "\n"


def _models(run: RunData) -> Iterator[tuple[str, Path]]:
    last = len(run.later_rounds) + 1
    home = run.path if last == 1 else run.path / round_name(last)
    yield "rl", run.path / "1-rl" / "model"
    yield "rise", home / "5-sft" / "model"


def _compared(run: RunData, arm: str) -> dict[str, Mapping[str, Score]]:
    """The scores of the base and of the arms up to `arm`."""
    scores = {} if run.summary is None else run.summary.scores
    order = list(ARMS)
    return {name: scores[name] for name in order[: order.index(arm) + 1] if name in scores}


def _metadata(run: RunData, arm: str) -> str:
    results = [
        EvalResult(
            "image-text-to-text",
            "metis-rise",
            "the run's test problems",
            "accuracy",
            score.accuracy,
            metric_name=f"accuracy, {mode}",
        )
        for mode, score in _compared(run, arm)[arm].items()
    ]
    data = ModelCardData(
        base_model=_base(run) if _on_hub(_base(run)) else None,
        library_name="transformers",
        pipeline_tag="image-text-to-text",
        tags=["metis-rise"],
        model_name=f"{_line(run.name)}-{arm}",
        eval_results=results,
    )
    return data.to_yaml()


def _scores(run: RunData, arm: str) -> Iterator[str]:
    compared = _compared(run, arm)
    rows = [
        (ARMS[name], mode_label(mode, run.recipe), percent(score.accuracy), interval(score), str(score.n))
        for name, modes in compared.items()
        for mode, score in modes.items()
    ]
    yield "## Scores"
    yield "Right and well-formed answers to the run's own test problems."
    yield _table(("model", "decoding", "accuracy", "95 % interval", "problems"), rows)
    found = {name: read_scores(run.path / "benchmarks" / name).by_benchmark for name in compared}
    benchmarks = list(dict.fromkeys(benchmark for scores in found.values() for benchmark in scores))
    if benchmarks:
        yield "Benchmarks, in percent with the 95 % interval; each `score.json` of the run says by which protocol."
        cells = [[ARMS[name], *(_points(found[name].get(each)) for each in benchmarks)] for name in compared]
        yield _table(("model", *benchmarks), cells)


def _points(score: BenchmarkScore | None) -> str:
    if score is None:
        return "-"
    span = "" if score.low is None or score.high is None else f" ({score.low:.1f} to {score.high:.1f})"
    return f"{score.percent:.1f}{span}" + (f", {score.partial}" if score.partial else "")


def _training(run: RunData, arm: str) -> Iterator[str]:
    recipe = run.recipe or {}
    rl, model = recipe.get("rl", {}), recipe.get("model", {})
    base = _base(run) if _on_hub(_base(run)) else _last_part(_base(run))
    rows = [("base", f"`{_line(base)}`"), ("reinforcement learning", _rl_sentence(rl))]
    if arm == "rise":
        rows += [
            (f"fine-tuning{_of_round(run, number)}, {_line(phase['name'])}", _sft_sentence(phase))
            for number, stages in enumerate(_rounds(run, arm), 1)
            for phase in stages["5-sft"].phases
        ]
        rows += [("rounds", str(len(_rounds(run, arm))))]
    rows += [("vision tower", "frozen" if model.get("freeze_vision") else "trained")]
    rows += [("packages", ", ".join(f"{n} {v}" for n, v in _packages(run).items()))]
    yield "## Training"
    yield _table(("what", "how"), rows)
    yield "`recipe.json` of the run holds every setting: `rise run recipe.json` does it again."


def _rl_sentence(rl: Mapping[str, Any]) -> str:
    if not rl:
        return "-"
    return (
        f"{rl['objective']}, {rl['steps']} steps of {rl['prompts_per_step']} problems, {rl['group_size']} completions "
        f"each, learning rate {rl['learning_rate']:g}, KL weight {rl['kl_weight']:g}"
    )


def _sft_sentence(phase: Mapping[str, Any]) -> str:
    # A stage of the curriculum that had no examples was skipped, and says no steps.
    said = [f"{phase['examples']} examples", *([f"{phase['replay']} replayed"] if phase.get("replay") else [])]
    return ", ".join([*said, f"{phase['steps']} steps" if "steps" in phase else "skipped"])


def _data(run: RunData, arm: str) -> Iterator[str]:
    config = (run.recipe or {}).get("problems", {})
    names = [_last_part(config[split]) for split in ("train", "dev", "test") if config.get(split)]
    where = "the procedural world" if config.get("kind") == "world" else ", ".join(f"`{_line(n)}`" for n in names)
    sizes = ", ".join(f"{len(problems)} {split}" for split, problems in run.problems.items() if problems)
    yield "## Data"
    yield f"Problems from {where}: {sizes}."
    for number, stages in enumerate(_rounds(run, arm), 1):
        buckets = (stages["2-diagnose"].result or {}).get("buckets")
        if buckets:
            sorted_ = ", ".join(f"{buckets.get(bucket.value, 0)} {bucket.value}" for bucket in Bucket)
            taught = f" {_taught(stages)}" if arm == "rise" else ""
            yield f"After RL{_of_round(run, number)} they were {sorted_}.{taught}"


def _taught(stages: Mapping[str, StageRecord]) -> str:
    experts = (stages["4-expert"].result or {}).get("experts", {})
    kept = ", ".join(f"{said.get('kept', 0)} from {_line(name)}" for name, said in experts.items() if said.get("kept"))
    own = f"Taught: {stages['3-distill'].used or 0} trajectories of the model's own"
    return own + (f", and of experts {kept}." if kept else ".")


def _rounds(run: RunData, arm: str) -> list[Mapping[str, StageRecord]]:
    """The stages of each round that the model of `arm` went through: the scored RL model is the first round's."""
    return [run.stages, *(run.later_rounds if arm == "rise" else ())]


def _of_round(run: RunData, number: int) -> str:
    return f" of round {number}" if run.later_rounds else ""


def _prompt(folder: Path) -> Iterator[str]:
    file = folder / PROMPT_FILE
    system = json.loads(file.read_text(encoding="utf-8"))["system"] if file.is_file() else None
    if system is None:
        yield "It was trained without a system prompt of its own (the chat template decides)."
    else:
        yield "The system prompt that it was trained with:"
        yield "\n".join(f"    {line}" for line in system.splitlines())


def _kind(folder: Path) -> str:
    kinds = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    return kinds[0] if kinds else "AutoModelForImageTextToText"


def _base(run: RunData) -> str:
    return str((run.recipe or {}).get("model", {}).get("path", "unknown"))


def _on_hub(path: str) -> bool:
    # Nothing in a run says where its base lay; a folder of that name here is what the run has loaded.
    return _HUB_ID.fullmatch(path) is not None and not Path(path).is_dir()


def _last_part(path: str) -> str:
    """The name of a file or folder without where it lay, which is this machine's own business."""
    # Windows' reading takes both kinds of slashes.
    return PureWindowsPath(path).name or "a folder"


def _packages(run: RunData) -> dict[str, str]:
    starts = run.starts
    found: dict[str, str] = starts[-1]["environment"]["packages"] if starts else {}
    return found


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _line(text: str) -> str:
    """`text` on one line, without what ends a table's cell or a piece of code, or begins a tag."""
    return " ".join(text.split()).replace("|", "/").replace("`", "'").replace("<", "&lt;")
