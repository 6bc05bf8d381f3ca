"""What `rise check` does and prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from metis_rise.benchmarks.evaluation_folder import FILE
from metis_rise.check.evaluation import check_evaluation
from metis_rise.check.findings import Findings
from metis_rise.check.folder import check_run
from metis_rise.run_format import FORMAT, read_format


def check(folder: Path, *, as_json: bool) -> bool:
    """Checks the run or evaluation in `folder` and prints what was found; whether there was no fault.

    Raises:
        InputError: it is neither, or one of a newer version.
    """
    found = check_evaluation(folder) if (folder / FILE).is_file() else check_run(folder)
    if as_json:
        print(json.dumps(_to_json(found), ensure_ascii=False))
    else:
        _show(found, Console())
    return not found.faults


def _to_json(found: Findings) -> dict[str, Any]:
    return {
        "ok": not found.faults,
        "findings": [finding.to_json() for finding in found.settled()],
        "notes": found.notes,
        "to_do": found.to_do,
        "checked": dict(found.looked_at),
        "format": read_format(found.folder),
        "reads_format": FORMAT,
    }


def _show(found: Findings, console: Console) -> None:
    looked = ", ".join(f"{number} {what}" for what, number in found.looked_at.items())
    console.print(Text(f"{found.folder}: looked at {looked}"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)
    for finding in found.settled():
        console.print(Text(f"fault: {finding}", style="red"), soft_wrap=True)
    for line in found.to_do:
        console.print(Text(f"next `{found.command}`: {line}"), soft_wrap=True)
    if not found.to_do and not found.faults:
        done = "asks for nothing" if found.of != "run" else "writes the report; all stages are done"
        console.print(Text(f"next `{found.command}`: {done}"))
    number = sum(found.alike.values())
    console.print(Text(f"the {found.of} is whole" if not number else f"{number} faults", style="bold"))
