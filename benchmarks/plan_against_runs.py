"""What `rise plan` predicts beside what runs took, on this machine: the table of docs/scaling.md.

    python benchmarks/plan_against_runs.py [--steps 16] [--root planned] [--json FILE]

Three RL runs of the recipe tiny, each process on one thread: sampled by the trainer itself, by one vLLM CPU server and
by two (`tests/vllm/install.py` installs vLLM). Lengths, filter and, for servers, speed come from short runs with
smaller groups and fewer of them: natively and over one server. So the plan has to foresee other sizes, and what a
second server brings. Needs a machine with two cores that does nothing else; some ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from metis_rise.run import read_jsonl

TESTS = Path(__file__).parent.parent / "tests" / "vllm"
# The first steps of a process load kernels and fill caches.
WARM_UP = 2
SHORT_STEPS = 8
SHORT = ("rl.prompts_per_step=8", "rl.group_size=4")
COMMON = ("threads=1", "rl.eval_every=1000", "rl.eval_problems=6", "rl.checkpoint_every=1000")


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the table. seconds: of an RL step. waiting: share of it that the trainer waits for samples."""

    name: str
    planned_seconds: float
    seconds: float
    planned_waiting: float
    waiting: float

    @property
    def line(self) -> str:
        """As a row of Markdown."""
        step = f"{self.planned_seconds:.2f} | {self.seconds:.2f} | {self.planned_seconds / self.seconds - 1:+.0%}"
        share = f"{self.planned_waiting:.2f} | {self.waiting:.2f} | {self.planned_waiting / self.waiting - 1:+.0%}"
        return f"| {self.name} | {step} | {share} |"


def rise(*arguments: str) -> str:
    """What `rise ARGUMENTS` prints; progress goes to stderr as it comes."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "metis_rise", *arguments]
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def steps_of(run: Path) -> list[dict[str, float]]:
    """Metrics of the RL steps of a run, but for its first."""
    rows = [row["values"] for row in read_jsonl(run / "metrics.jsonl") if row["stage"] == "rl"]
    return rows[WARM_UP:]


def done(root: Path, name: str, steps: int, *settings: str) -> Path:
    """The folder of a run of so many RL steps, which is run if it is not there yet."""
    run = root / name
    if not (run / "metrics.jsonl").exists():
        rise("rl", "tiny", f"rl.steps={steps}", *COMMON, *settings, "--name", name, "--root", str(root))
    return run


def compare(name: str, run: Path, *asked: str) -> Case:
    """The plan of a run's own recipe beside what the run took."""
    plan = json.loads(rise("plan", str(run / "recipe.json"), *asked, "--json"))["step"]
    rows = steps_of(run)
    seconds = fmean(row["seconds"] for row in rows)
    waiting = fmean(row["waiting"] * row["seconds"] for row in rows) / seconds
    return Case(name, plan["step"], seconds, plan["waiting"], waiting)


def natively(root: Path, steps: int) -> Case:
    """Sampled by the trainer: speed as the plan measures it on this machine, the rest as in a short run."""
    short = steps_of(done(root, "short-native", SHORT_STEPS, *SHORT))
    run = done(root, "native", steps)
    kept = fmean(row["groups_kept"] for row in short) / fmean(row["groups_sampled"] for row in short)
    length = fmean(row["length"] for row in short)
    return compare("native sampler", run, "--completion-tokens", f"{length:.1f}", "--teaching", f"{kept:.2f}")


def over_servers(root: Path, steps: int) -> list[Case]:
    """Sampled by one vLLM server and by two: all as in a short run over one."""
    sys.path.insert(0, str(TESTS))
    sys.path.insert(0, str(TESTS.parent))
    import install
    from vllm_server import Server

    install.main()

    def run(name: str, steps: int, servers: int, *settings: str) -> Path:
        """A run over so many servers, which live for this run only: idle ones take time too."""
        started = [Server("tiny", root / f"{name}-{number}.log") for number in range(servers)]
        try:
            urls = ",".join(server.ready().url for server in started)
            engine = ("engine.kind=server", f"engine.urls=[{urls}]", "engine.concurrency=4")
            return done(root, name, steps, *engine, *settings)
        finally:
            for server in started:
                server.interrupt()
            for server in started:
                server.end()

    short = run("short-one", SHORT_STEPS, 1, *SHORT)
    long = {"one vLLM server": run("one", steps, 1), "two vLLM servers": run("two", steps, 2)}
    return [compare(name, folder, "--like", str(short)) for name, folder in long.items()]


def main() -> None:
    """Prints the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=16, help="RL steps of the runs that are foreseen")
    parser.add_argument("--root", type=Path, default=Path("planned"), help="folder of the runs; done ones are kept")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    options.root.mkdir(parents=True, exist_ok=True)
    cases = [natively(options.root, options.steps), *over_servers(options.root, options.steps)]
    print("| sampled by | step planned s | measured s | off by | waiting planned | measured | off by |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(case.line for case in cases))
    if options.json:
        options.json.write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
