"""What a tracker has been sent of a run, kept in the run's folder: the next attempt goes on from there."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from metis_rise.journal import parse_object, write_atomic


@dataclass(slots=True)
class State:
    """Counts of one tracker over all attempts at a run.

    Attributes:
        id: what the tracker knows the run by.
        sent: the last step sent of each curve set and table, by its name.
        items: rows and tables sent.
        failures: how often the tracker failed.
        lost: rows and tables that were given up.
        done: it was told that the run has done all its work, and has been sent nothing since.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    sent: dict[str, int] = field(default_factory=dict)
    items: int = 0
    failures: int = 0
    lost: int = 0
    done: bool = False

    @classmethod
    def read(cls, file: Path) -> State:
        """What `write` left there; a new one where there is none, or none that can be read: all is then sent anew."""
        row = parse_object(file.read_bytes()) if file.is_file() else None
        try:
            return cls() if row is None else cls(**row)
        except TypeError:
            return cls()

    def write(self, file: Path) -> None:
        """Keeps it."""
        write_atomic(file, json.dumps(asdict(self), indent=1) + "\n")
