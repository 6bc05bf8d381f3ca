"""The command as a user meets it: in a process of its own, with the pipeline stubbed where a stage would run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metis_rise.cli import app

STUB = """
import sys, types
pipeline = types.ModuleType("metis_rise.pipeline")
def run(recipe, root, name, fresh, until=None):
    {body}
def run_stage(recipe, root, name, stage):
    print("stage", recipe.name, root, name, stage, *(["--skip-bad"] if recipe.problems.skip_bad else []))
def report(run_folder):
    print("report", run_folder)
for f in (run, run_stage, report):
    setattr(pipeline, f.__name__, f)
asking = types.ModuleType("metis_rise.ask")
def ask_and_show(model, image, question, max_tokens, temperature, system, dtype):
    print("ask", model, image, question, max_tokens, temperature, system, dtype)
asking.ask_and_show = ask_and_show
import metis_rise
sys.modules["metis_rise.pipeline"] = metis_rise.pipeline = pipeline
sys.modules["metis_rise.ask"] = metis_rise.ask = asking
from metis_rise.errors import InputError
from metis_rise.cli import main
sys.argv[0] = "rise"
main()
"""
SHOW = 'print("run", recipe.name, recipe.rl.group_size, root, name, fresh)'


def rise(
    *arguments: str, body: str = SHOW, cwd: Path | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", STUB.format(body=body), *arguments]
    wide = os.environ | {"COLUMNS": "200", "TERM": "dumb"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, input=text, env=wide)


def one_error(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in done.stdout
    return line


def test_run_hands_the_recipe_and_its_options_to_the_pipeline(tmp_path: Path):
    done = rise("run", "tiny", "rl.group_size=4", "--name", "a", "--root", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "run tiny 4 out a False\n"), done.stderr
    assert rise("run", "tiny", "--fresh", "--yes", cwd=tmp_path).stdout == "run tiny 8 runs tiny True\n"


@pytest.mark.parametrize(
    ("command", "stage"),
    [(c, c) for c in ("rl", "diagnose", "distill", "expert", "sft")] + [("eval", "evaluate")],
)
def test_each_stage_is_a_command(command: str, stage: str):
    done = rise(command, "tiny", "rl.steps=1", "--name", "n")
    assert (done.returncode, done.stdout) == (0, f"stage tiny runs n {stage}\n"), done.stderr


def test_skip_bad_is_a_setting_of_the_recipe():
    files = ("user_jsonl", "problems.train=a.jsonl", "problems.test=b.jsonl")
    body = "print(recipe.problems.skip_bad)"
    assert rise("run", *files, "--skip-bad", body=body).stdout == "True\n"
    assert rise("run", *files, body=body).stdout == "False\n"
    assert rise("rl", *files, "--skip-bad").stdout == "stage user_jsonl runs user_jsonl rl --skip-bad\n"


def test_ask_and_report_hand_over_their_arguments(tmp_path: Path):
    (tmp_path / "p.png").write_bytes(b"")
    done = rise("ask", "tiny", "p.png", "How many?", "--system", "none", "--max-tokens", "9", cwd=tmp_path)
    assert done.stdout == "ask tiny p.png How many? 9 0.0 None float32\n", done.stderr
    assert rise("report", str(tmp_path)).stdout == f"report {tmp_path}\n"


def test_recipes_lists_and_prints():
    assert {line.split()[0] for line in rise("recipes").stdout.splitlines()} >= {"tiny", "user_jsonl"}
    printed = rise("recipes", "tiny").stdout
    assert printed.startswith("# ") and "\nname: tiny\n" in printed
    assert "did you mean tiny?" in one_error(rise("recipes", "tinny"), 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "tiny", "rl.groupsize=4"), "the nearest known key is rl.group_size"),
        (("run", "none.yaml"), "none.yaml: cannot read the recipe"),
        (("run", "user_jsonl"), "rise run user_jsonl problems.train=PATH problems.test=PATH"),
        (("sft", "tiny", "rl.steps=-1"), "rl.steps = -1: must be greater than or equal to 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], said: str):
    assert said in one_error(rise(*arguments, cwd=tmp_path), 2)
    assert list(tmp_path.iterdir()) == []


def test_several_faults_are_a_line_each():
    done = rise("run", "tiny", "rl.steps=-1", "rl.group_size=1")
    assert done.returncode == 2
    assert [line.startswith("error: override rl.") for line in done.stderr.splitlines()] == [True, True]


@pytest.mark.parametrize(
    "arguments",
    [
        ("rnu", "tiny"),
        ("run",),
        ("run", "tiny", "--nme", "x"),
        ("ask", "tiny", "none.png", "q"),
        ("report", "no-such-run"),
        ("ask", "tiny", __file__, "q", "--max-tokens", "0"),
    ],
)
def test_usage_errors_exit_with_2(arguments: tuple[str, ...]):
    done = rise(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_an_input_error_from_a_stage_exits_with_2():
    assert one_error(rise("run", "tiny", body='raise InputError("a.jsonl row 3: empty answer")'), 2) == (
        "error: a.jsonl row 3: empty answer"
    )


def test_a_fault_of_ours_is_one_line_and_a_traceback_only_with_debug():
    body = 'raise RuntimeError("boom\\\\nand more")'.replace("\\\\", "\\")
    line = one_error(rise("run", "tiny", body=body), 1)
    assert line == "error: RuntimeError: boom and more (use --debug for the traceback)"
    done = rise("run", "tiny", "--debug", body=body)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_an_interrupt_prints_the_command_that_resumes():
    arguments = ("run", "tiny", "rl.steps=7", "--name", "my-run", "--fresh", "--yes")
    done = rise(*arguments, body="raise KeyboardInterrupt")
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "interrupted; resume with: rise run tiny rl.steps=7 --name my-run"


def test_fresh_never_deletes_without_asking(tmp_path: Path):
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    line = one_error(rise("run", "tiny", "--fresh", cwd=tmp_path, text="y\n"), 2)
    assert "add --yes" in line
    assert (tmp_path / "runs" / "tiny").is_dir()


def test_help_is_quick_and_loads_nothing_heavy():
    code = "import sys; from metis_rise import cli; print({'torch', 'transformers', 'pydantic'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_command_teaches_with_an_example():
    overview = CliRunner().invoke(app, ["--help"]).stdout
    stages = ("rl", "diagnose", "distill", "expert", "sft", "eval")
    for command in ("run", *stages, "ask", "recipes", "report", "serve", "verify", "bench"):
        assert f" {command} " in overview
        assert f"Example: rise {command}" in CliRunner().invoke(app, [command, "--help"]).stdout
