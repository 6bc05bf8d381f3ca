"""Updates whose loss or gradient is not finite: none of them is made, all are written down, too many end the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from metis_rise.errors import InputError
from metis_rise.run import append_jsonl, read_jsonl, write_jsonl

FILE = "bad-updates.jsonl"
_NAMED = 5


class BadUpdates:
    """Keeps FILE in a stage's folder, a line for each update that was skipped: its step, figures and problems.

    There `odd` are the problems with a loss of their own that is not finite; none are where only the gradient is not.
    """

    def __init__(self, folder: Path, curve: str, part: str, most: int) -> None:
        """Of the updates of a curve, such as "rl" or "sft-self".

        Args:
            folder: of the stage.
            curve: name of the updates in metrics.jsonl.
            part: of the recipe that has `max_bad_updates` and the learning rate: "rl" or "sft".
            most: how many in a row end the run.
        """
        self._file, self._curve, self._part, self._most = folder / FILE, curve, part, most

    def resume(self, step: int) -> None:
        """Drops lines of later steps, which are done again."""
        rows = read_jsonl(self._file) if self._file.exists() else []
        kept = [row for row in rows if row["curve"] != self._curve or row["step"] <= step]
        if len(kept) < len(rows):
            write_jsonl(self._file, kept)

    def note(
        self, step: int, loss: float, norm: float, problems: Sequence[str], odd: Sequence[str], in_row: int
    ) -> None:
        """Writes down an update that was skipped, and does nothing for one that was made.

        Raises:
            InputError: it is the last of too many, `in_row` without a good one between them.
        """
        if math.isfinite(loss) and math.isfinite(norm):
            return
        # JSON has no word for what is not finite.
        row = {"curve": self._curve, "step": step, "loss": str(loss), "grad_norm": str(norm)}
        append_jsonl(self._file, [{**row, "problems": sorted(set(problems)), "odd": sorted(set(odd))}])
        if in_row >= self._most:
            raise InputError(self._too_many(step, in_row))

    def _too_many(self, step: int, in_row: int) -> str:
        rows = [row for row in read_jsonl(self._file) if row["curve"] == self._curve][-in_row:]
        odd = sorted({name for row in rows for name in row["odd"]})
        named = ", ".join(map(repr, odd[:_NAMED])) + (f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else "")
        whose = f"problems whose own loss is not: {named}" if odd else "no problem's own loss is infinite or NaN"
        return (
            f"{self._curve}: loss or gradient not finite in {in_row} updates in a row, the last one in step {step}: "
            f"none was made; {whose}; all problems of these updates are in {self._file}. Begin a run with a "
            f"lower {self._part} learning rate, with model.dtype=float32, or without these problems; "
            f"{self._part}.max_bad_updates={2 * self._most} goes on with this one"
        )
