"""Run folders, checkpoints, models, evaluations and experts' files that were damaged or made up."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Iterator
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp

from case import Case, Maker, Outcome, file_of, nested
from fake_run import make_run
from rich.console import Console

from metis_rise.evaluation.board.scores import read_scores
from metis_rise.evaluation.folder import claim
from metis_rise.evaluation.options import Options
from metis_rise.evaluation.targets import targets
from metis_rise.journal import append_jsonl, read_jsonl
from metis_rise.policy.checkpoint import load_training, save_training
from metis_rise.policy.loading import find_folder
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.recipe import load_recipe
from metis_rise.report import print_report, write_report
from metis_rise.stages.experts.files import read_files
from metis_rise.stages.experts.knowledge import parse_hints
from metis_rise.stages.experts.prompts import Prompter

CONTENTS: dict[str, str | bytes] = {
    "nothing": "",
    "half": '{"a": [1, ',
    "null": "null",
    "list": "[]",
    "number": "7",
    "object": "{}",
    "other": '{"a": {"b": [1]}}\n',
    "deep": '{"a": ' + nested(500) + "}\n",
    "very deep": nested(100_000) + "\n",
    "binary": bytes(range(256)),
    "NUL": b"\0" * 1000,
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "huge number": '{"a": ' + "9" * 5000 + "}\n",
}
FILES = (
    "recipe.json",
    "summary.json",
    "metrics.jsonl",
    "manifest.jsonl",
    "problems/test.jsonl",
    "problems/train.jsonl",
    "1-rl/DONE",
    "2-diagnose/DONE",
    "4-expert/DONE",
    "5-sft/DONE",
    "6-evaluate/DONE",
    "3-distill/trajectories-0000.jsonl",
    "6-evaluate/rl-greedy.jsonl",
)
JOURNAL = {
    **CONTENTS,
    "torn": '{"a": 1}\n{"b',
    "damaged within": '{"a": 1}\n{"b\n{"c": 2}\n',
    "wrong checksum": '{"a": 1, "crc32": "00000000"}\n',
    "half a checksum": '{"a": 1, "crc32": "',
}
# Without its end, a last line is torn, which a journal may be.
NEVER_READ = ("very deep", "damaged within", "wrong checksum")
TEMPLATES = {
    "open": "{% for x in",
    "that reads": "{{ question }}{% include '/etc/passwd' %}",
    "with an unknown filter": "{{ question | y }}",
    "that looks for classes": "{{ question }}{{ question.__class__.__mro__[1].__subclasses__() }}",
    "that grows": "{{ question * 10000000 }}",
    "without the question": "hello",
    "that loops for ever": "{{ question }}{% for a in range(9**5) %}{% for b in range(9**5) %}{% endfor %}{% endfor %}",
}
TENSORS: dict[str, bytes] = {
    "nothing": b"",
    "short": b"\x01\0",
    "endless head": struct.pack("<Q", 2**63 - 1) + b"{}",
    "head that is no JSON": struct.pack("<Q", 4) + b"{{{{",
    "offsets beyond the end": struct.pack("<Q", 60)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60),
    "a pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94",
    "a zip": b"PK\x03\x04" + b"\0" * 60,
}


def cases() -> Iterator[Case]:
    for file in FILES:
        for name, content in CONTENTS.items():
            yield Case(f"run: {file} {name}", _run_with(file, content), _report, Outcome.EITHER)
    for name, content in JOURNAL.items():
        outcome = Outcome.REFUSED if name in NEVER_READ else Outcome.EITHER
        yield Case(f"journal {name}", file_of(content, "j.jsonl"), _journal, outcome)
    for file in ("state.json", "optimizer.safetensors", "model/model.safetensors"):
        for name, data in (TENSORS if file.endswith("tensors") else CONTENTS).items():
            yield Case(f"checkpoint: {file} {name}", _checkpoint_with(file, data), _resume)
        yield Case(f"checkpoint: no {file}", _checkpoint_with(file, None), _resume)
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        for name, data in CONTENTS.items():
            # Much in these files may be left out.
            yield Case(f"model: {file} {name}", _model_with(file, data), _model, Outcome.EITHER)
    for name, data in TENSORS.items():
        yield Case(f"model: weights {name}", _model_with("model.safetensors", data), _model)
    yield Case("model: a pickle alone", _pickled_model, _model)
    yield Case("model: code of its own", _model_with_code, _model)
    for name in ("that loops for ever", "that grows"):
        template = TEMPLATES[name].replace("question", "messages[0].role")
        yield Case(f"model: a chat template {name}", _model_with("chat_template.jinja", template), _model)
    for name, content in CONTENTS.items():
        yield Case(f"evaluation: settings {name}", _evaluation(content), _claim)
        yield Case(f"evaluation: score {name}", file_of(content, "e/logicvista/score.json"), _scores)
        yield Case(f"evaluation: recipe {name}", file_of(content, "run/recipe.json"), _targets)
        yield Case(f"hints {name}", file_of(content, "hints.yaml"), _hints, Outcome.EITHER)
        yield Case(f"template {name}", file_of(content, "t.jinja"), _template, Outcome.EITHER)
    for name, text in TEMPLATES.items():
        yield Case(f"template {name}", file_of(text, "t.jinja"), _template)


@cache
def _a_run() -> Path:
    return make_run(Path(mkdtemp(prefix="corpus-")) / "run", problems=12, steps=4)


@cache
def _policy() -> tuple[Policy, Optimizer]:
    policy = Policy.load("tiny")
    return policy, Optimizer(policy, weight_decay=0.0)


@cache
def _a_checkpoint() -> Path:
    policy, optimizer = _policy()
    folder = Path(mkdtemp(prefix="corpus-")) / "checkpoint-1"
    save_training(folder, policy, optimizer, {})
    return folder


def _run_with(file: str, content: str | bytes) -> Maker:
    def make(folder: Path) -> Path:
        shutil.copytree(_a_run(), folder / "run")
        return file_of(content, f"run/{file}")(folder)  # type: ignore[return-value]

    return make


def _report(file: object, run: Path) -> None:
    """The page is written into the run, so the damaged one is taken there."""
    assert isinstance(file, Path)
    source = next(parent for parent in file.parents if parent.name == "run")
    shutil.copytree(source, run / "run")
    write_report(run / "run")
    print_report(run / "run", Console(file=StringIO(), width=100))


def _journal(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    copy = Path(shutil.copy(file, run))
    read_jsonl(copy)
    append_jsonl(copy, [{"b": 2}])
    if read_jsonl(copy)[-1] != {"b": 2}:
        raise AssertionError("what was appended is not there")


def _checkpoint_with(file: str, content: str | bytes | None) -> Maker:
    def make(folder: Path) -> Path:
        shutil.copytree(_a_checkpoint(), folder / "checkpoint-1")
        if content is None:
            (folder / "checkpoint-1" / file).unlink()
        else:
            file_of(content, f"checkpoint-1/{file}")(folder)
        return folder

    return make


def _resume(folder: object, run: Path) -> None:
    assert isinstance(folder, Path)
    load_training(folder / "checkpoint-1", *_policy())


def _model_with(file: str, content: str | bytes) -> Maker:
    def make(folder: Path) -> Path:
        shutil.copytree(find_folder("tiny"), folder / "model")
        file_of(content, f"model/{file}")(folder)
        return folder / "model"

    return make


def _pickled_model(folder: Path) -> Path:
    shutil.copytree(find_folder("tiny"), folder / "model")
    (folder / "model" / "model.safetensors").rename(folder / "model" / "pytorch_model.bin")
    return folder / "model"


def _model_with_code(folder: Path) -> Path:
    """Files that ask transformers to run Python that lies beside them."""
    shutil.copytree(find_folder("tiny"), folder / "model")
    code = "import pathlib\npathlib.Path(__file__).with_name('pwned').touch()\nclass T:\n    pass\n"
    (folder / "model" / "code.py").write_text(code)
    for file, kind in (("config.json", "AutoConfig"), ("tokenizer_config.json", "AutoTokenizer")):
        path = folder / "model" / file
        settings = json.loads(path.read_text()) if path.exists() else {}
        named = ["code.T", None] if kind == "AutoTokenizer" else "code.T"
        settings |= {"auto_map": {kind: named}, "tokenizer_class": "T", "model_type": "qwen9_vl"}
        path.write_text(json.dumps(settings))
    return folder / "model"


def _model(folder: object, run: Path) -> None:
    Policy.load(str(folder))


def _evaluation(content: str | bytes) -> Maker:
    def make(folder: Path) -> Path:
        file_of("{}", "out/logicvista/answers.jsonl")(folder)
        file_of(content, "out/evaluation.json")(folder)
        return folder / "out"

    return make


def _claim(folder: object, run: Path) -> None:
    assert isinstance(folder, Path)
    claim(folder, "m", {"seed": 1})


def _scores(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    read_scores(file.parent.parent)


def _targets(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    targets(str(file.parent), Options())


def _hints(file: object, run: Path) -> None:
    files = read_files(load_recipe("tiny", [f"expert.hints={file}"]).expert)
    parse_hints(files.hints, str(file))


def _template(file: object, run: Path) -> None:
    files = read_files(load_recipe("tiny", [f"expert.template={file}"]).expert)
    Prompter(files.template, str(file), files.system)
