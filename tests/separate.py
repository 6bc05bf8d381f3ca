"""Environments of their own for peers that pin other packages than ours; the tests reach them as processes.

Each suite's folder has constraints.txt, every package in one version, and requirements.lock, the same with hashes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Callable, Collection, Iterator
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"


class Environment:
    """A virtual environment of the checkout, made from a suite's lock once, and again when that or more changes."""

    def __init__(self, name: str, suite: Path) -> None:
        self.folder = ROOT / name
        self.constraints, self.lock = suite / "constraints.txt", suite / "requirements.lock"
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "installed"

    def make(self, finish: Callable[[], None] = lambda: None, recipe: str = "", torch: bool = True) -> None:
        """Installs what is missing: torch where it is needed, the lock, and what `finish` adds, which `recipe` says."""
        recipe = "\n".join([sys.version, TORCH if torch else "", recipe, self.lock.read_text()])
        if self.stamp.is_file() and self.stamp.read_text() == recipe:
            # Newer than the installer now, which is what make looks at.
            self.stamp.touch()
            return
        start = time.monotonic()
        self._begin(torch)
        self.say(f"{self.lock.relative_to(ROOT)}")
        self.pip("install", "--require-hashes", "--no-deps", "-r", str(self.lock))
        finish()
        self.stamp.write_text(recipe)
        self.say(f"installed in {time.monotonic() - start:.0f} s")

    def resolve(
        self, packages: Collection[str], without: Collection[str] = (), also: Collection[str] = (), torch: bool = True
    ) -> None:
        """Makes constraints.txt anew: `packages`, what their metadata asks for except `without`, and `also`, bare."""
        self._begin(torch)
        wheels = self.folder / "wheels"
        self.pip("download", "--no-deps", "--dest", str(wheels), *packages)
        self.pip("install", *(line for wheel in wheels.glob("*.whl") for line in _requirements(wheel, without)))
        self.pip("install", "--no-deps", *map(str, wheels.glob("*.whl")), *also)
        listed = subprocess.run(
            [self.python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
        )
        pins = [line for line in listed.stdout.split() if line.partition("==")[0] not in ("pip", "setuptools", "torch")]
        self.constraints.write_text("".join(f"{line}\n" for line in pins))
        shutil.rmtree(self.folder)
        self.say(f"now: python scripts/lock_hashes.py {self.constraints.relative_to(ROOT)}")

    def _begin(self, torch: bool) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        venv.create(self.folder, with_pip=True)
        if torch:
            self.say(TORCH)
            self.pip("install", TORCH)

    def pip(self, *arguments: str) -> None:
        """Run the environment's pip; it prints what went wrong."""
        subprocess.run([self.python, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True)

    def say(self, text: str) -> None:
        """One line of progress."""
        print(f"{self.folder.name}: {text}", file=sys.stderr, flush=True)


def _requirements(wheel: Path, without: Collection[str]) -> Iterator[str]:
    """What the wheel's metadata asks for, without extras and without the packages of `without`."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        asked = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])
    for requirement in asked:
        package = re.match(r"[\w.-]+", requirement)
        assert package is not None
        if "extra ==" not in requirement and package[0].lower() not in without:
            yield requirement
