"""A model asked in this process: many problems, or one question about one picture with the answer on the terminal."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from metis_rise.engines.base import Request, SamplingParams, unaborted
from metis_rise.engines.native import NativeEngine
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.problems.images import ImageError, ImageStore, read_picture
from metis_rise.problems.prompt import arrange, control_token
from metis_rise.seeding import derive
from metis_rise.stages.prompts import AUTO, Prompts, system_prompt
from metis_rise.stages.workshop import judged
from metis_rise.types import AnswerType, Group, Problem, StopReason, Trajectory
from metis_rise.verifier.extract import extract


def ask(
    model: str,
    image: Path,
    question: str,
    max_tokens: int,
    temperature: float,
    system: str | None = AUTO,
    dtype: str = "float32",
) -> Trajectory:
    """The model's answer to `question` about the picture file `image`.

    `system` is as in a recipe's prompt.system. Raises InputError for a bad model, picture or prompt.
    """
    with tempfile.TemporaryDirectory() as scratch:
        store = ImageStore(Path(scratch))
        try:
            key = store.put(read_picture(image))
        except (ImageError, OSError) as error:
            raise InputError(f"{image}: {error}") from error
        problem = Problem("ask", _checked(question), "", AnswerType.TEXT, images=(key,))
        (group,) = _sampled(
            model, [Request(problem, 1, SamplingParams(temperature, max_tokens=max_tokens))], store, system, dtype
        )
    return group.trajectories[0]


def answer(
    model: str | Path,
    problems: Sequence[Problem],
    store: ImageStore,
    n: int,
    temperature: float,
    max_tokens: int,
    *,
    system: str | None = AUTO,
    dtype: str = "float32",
    seed: int = 0,
) -> list[Group]:
    """`n` completions of each problem with their verdicts, in the order of the problems.

    Raises:
        InputError: a bad model or prompt, numbers out of range, or two problems of one id.
    """
    try:
        params = SamplingParams(temperature, max_tokens=max_tokens)
        requests = [Request(p, n, params, derive(seed, "sample", p.id)) for p in problems]
    except ValueError as error:
        raise InputError(str(error)) from error
    found = {group.problem.id: group for group in _sampled(model, requests, store, system, dtype)}
    if len(found) < len(problems):
        raise InputError(f"{len(problems)} problems have {len(found)} ids; give every problem an id of its own")
    return [
        Group(p, tuple(judged(p, trajectory, str(model)) for trajectory in found[p.id].trajectories)) for p in problems
    ]


def _sampled(
    model: str | Path, requests: Sequence[Request], store: ImageStore, system: str | None, dtype: str
) -> list[Group]:
    policy = Policy.load(str(model), dtype=dtype)
    prompts = Prompts(policy, store, system_prompt(policy, system))
    return list(unaborted(NativeEngine(policy, prompts).sample(requests)))


def _checked(question: str) -> str:
    """The question, in which at most one marker stands for the picture."""
    if found := control_token(question):
        raise InputError(f"the question holds the control token {found}; write it in another way")
    try:
        return arrange(question, 1)[0]
    except ValueError as error:
        raise InputError(f"{error}; one picture is given") from error


def ask_and_show(
    model: str, image: Path, question: str, max_tokens: int, temperature: float, system: str | None, dtype: str
) -> None:
    """`ask`, then `show` on the terminal."""
    show(ask(model, image, question, max_tokens, temperature, system, dtype), Console())


def show(trajectory: Trajectory, console: Console) -> None:
    """Prints the reasoning, then the answer and how it was found."""
    found = extract(trajectory.text, strict=False)
    reasoning, _, _ = trajectory.text.partition("<answer>")
    console.print(Text(reasoning.replace("<think>", "").replace("</think>", "").strip()))
    if trajectory.stop is StopReason.LENGTH:
        console.print(Text(f"(cut at {len(trajectory.tokens)} tokens; raise --max-tokens)", style="yellow"))
    answer = "none found" if found.answer is None else found.answer
    console.print(Text.assemble(("answer: ", "bold"), answer, (f"  ({found.rule})", "dim")))
