"""The judge that the command line names."""

from __future__ import annotations

from metis_rise.benchmarks.base import Protocol
from metis_rise.errors import InputError
from metis_rise.evaluation.judging import judge_config
from metis_rise.recipe import JudgeConfig


def flagged_judge(
    protocol: Protocol, url: str | None, model: str | None, key_env: str, concurrency: int
) -> JudgeConfig | None:
    """What --judge-url and the flags beside it say; None unless a model judges.

    Raises:
        InputError: protocol `judge` without both, or either without protocol `judge`.
    """
    if protocol is not Protocol.JUDGE:
        if url is not None or model is not None:
            raise InputError(f"--judge-url and --judge-model: protocol {protocol} asks no model; add --protocol judge")
        return None
    if url is None or model is None:
        raise InputError("--protocol judge: add --judge-url, such as https://HOST/v1, and --judge-model")
    return judge_config(url, model, key_env, concurrency)
