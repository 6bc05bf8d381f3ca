"""Files of a run, read so that a fault becomes a finding and reading goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.check.findings import Findings
from metis_rise.errors import InputError
from metis_rise.journal import parse_object, scan_jsonl

RESTORE = "restore it from a copy"
REMOVE = "restore it from a copy, or delete the line and what was made of it"
_BY_HAND = "restore the file from a copy if nobody changed it by hand"


class Files:
    """Reads the files of one run; a journal's rows are checked whenever it is read, and counted once."""

    def __init__(self, found: Findings, checksums: bool) -> None:
        """Of the folder that `found` is about; `checksums`: its journals should have them."""
        self._found, self._checksums = found, checksums
        self._read: set[Path] = set()
        self.unchecked = 0

    def object(self, path: Path) -> dict[str, Any] | None:
        """The JSON object in a file; None, and a finding, where it holds none."""
        content = parse_object(path.read_bytes()) if path.is_file() else None
        self._found.looked_at["JSON files"] += 1
        if content is None:
            self._found.fault(path, "missing" if not path.exists() else "not a JSON object", RESTORE)
        return content

    def rows(self, path: Path, needed: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
        """The whole lines of a journal with their rows; what is wrong with the others becomes findings, once.

        `needed`: it is a finding that the file is not there.
        """
        if not path.is_file():
            if needed:
                self._found.fault(path, "missing", RESTORE)
            return
        first, unchecked = path not in self._read, 0
        self._read.add(path)
        for line in self._lines(path):
            if line.row is not None:
                yield line.number, line.row
            if not first:
                continue
            unchecked += line.row is not None and not line.checked
            self._found.looked_at["lines"] += 1
            if line.torn:
                self._found.note(path, f"row {line.number} is torn; the next attempt drops it")
            elif line.row is None:
                self._found.fault(path, line.fault, REMOVE, line.number)
        if unchecked and self._checksums:
            self._found.fault(path, f"{unchecked} lines have no checksum, though this run's lines have them", _BY_HAND)
        self.unchecked += unchecked

    def records(
        self, path: Path, make: Callable[[dict[str, Any]], Any], needed: bool = True
    ) -> Iterator[tuple[int, Any]]:
        """What `make` makes of each row; where it raises KeyError, TypeError or ValueError there is a finding."""
        for number, row in self.rows(path, needed):
            try:
                yield number, make(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self._found.fault(path, f"not what belongs there ({type(error).__name__}: {error})", REMOVE, number)

    def rest(self) -> None:
        """Reads every journal of the run that was not read before."""
        for path in sorted(self._found.folder.rglob("*.jsonl")):
            if path not in self._read and path.is_file():
                for _ in self.rows(path):
                    pass

    def _lines(self, path: Path) -> Iterator[Any]:
        size = path.stat().st_size
        with tqdm(
            total=size, desc=self._found.name(path), unit="B", unit_scale=True, leave=False, delay=2, disable=None
        ) as bar:
            try:
                for line in scan_jsonl(path):
                    yield line
                    bar.update(line.size)
            except InputError as error:
                self._found.fault(path, str(error).removeprefix(f"{path}: "), RESTORE)
