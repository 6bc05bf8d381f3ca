"""What a check found, and what it looked at."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN = 5
"""So many faults of one kind in one file are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be: in which file of the run, in which row (0: none), and the mend."""

    file: str
    row: int
    what: str
    mend: str

    def __str__(self) -> str:
        place = self.file + (f" row {self.row}" if self.row else "")
        return f"{place}: {self.what}; {self.mend}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"file": self.file, "row": self.row or None, "what": self.what, "mend": self.mend}


@dataclass(slots=True)
class Findings:
    """All that is known of a folder: faults, remarks that are none, what is to be done, what was looked at.

    of: what is in the folder. command: what goes on with it.
    """

    folder: Path
    faults: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    to_do: list[str] = field(default_factory=list)
    looked_at: Counter[str] = field(default_factory=Counter)
    alike: Counter[tuple[str, str]] = field(default_factory=Counter)
    of: str = "run"
    command: str = "rise run"

    def fault(self, path: Path, what: str, mend: str, row: int = 0) -> None:
        """Adds a fault of the file or folder `path`; of many with one mend in one file the first are named."""
        file = self.name(path)
        self.alike[file, mend] += 1
        if self.alike[file, mend] <= SHOWN:
            self.faults.append(Finding(file, row, what, mend))

    def note(self, path: Path, what: str) -> None:
        """Adds a remark on the file or folder `path`."""
        self.notes.append(f"{self.name(path)}: {what}")

    def settled(self) -> list[Finding]:
        """The faults, with a line for those that were counted only."""
        more = ((file, mend, number - SHOWN) for (file, mend), number in self.alike.items() if number > SHOWN)
        return self.faults + [Finding(file, 0, f"{number} more such faults", mend) for file, mend, number in more]

    def name(self, path: Path) -> str:
        """How `path` is called within the run."""
        # Pictures may be beside an evaluation's folder.
        return Path(os.path.relpath(path, self.folder)).as_posix()
