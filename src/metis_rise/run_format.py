"""The format of a run folder, so that a program knows whether it can read what another version wrote.

1: no file says so; lines of journals have no checksum. 2: format.json says so; each line ends in its checksum.
"""

from __future__ import annotations

import json
from pathlib import Path

from metis_rise import __version__
from metis_rise.errors import InputError
from metis_rise.journal import parse_object, write_atomic

FORMAT = 2
FILE = "format.json"


def write_format(run: Path, number: int = FORMAT) -> None:
    """Says that the folder `run` is of format `number`."""
    write_atomic(run / FILE, json.dumps({"format": number, "metis-rise": __version__}) + "\n")


def read_format(run: Path) -> int:
    """The format of the run folder `run`, at most `FORMAT`.

    Raises:
        InputError: a newer version made it, or the file that says so is damaged.
    """
    file = run / FILE
    if not file.is_file():
        return 1
    found = parse_object(file.read_bytes()) or {}
    number = found.get("format")
    if type(number) is not int or number < 1:
        raise InputError(f'{file}: says no format; write {{"format": {FORMAT}}} into it if this version made the run')
    if number > FORMAT:
        maker = str(found.get("metis-rise", "a newer version"))[:40]
        raise InputError(
            f"{run}: made by metis-rise {maker} in format {number}, and {__version__} reads formats up to {FORMAT}; "
            "install a newer metis-rise"
        )
    return number
