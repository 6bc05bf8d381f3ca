"""Environments of their own for peers that pin other packages than ours; the tests reach them as processes."""

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
    """A virtual environment of the checkout that is made once, and again when its `recipe` changes."""

    def __init__(self, name: str) -> None:
        self.folder = ROOT / name
        self.python = self.folder / "bin" / "python"
        self.stamp = self.folder / "installed"

    def make(self, recipe: str, fill: Callable[[], None], torch: bool = True) -> None:
        """Install what is missing, torch first where it is needed, with `fill`; ends with an error when it cannot."""
        recipe = f"{sys.version}\n{recipe}"
        if self.stamp.is_file() and self.stamp.read_text() == recipe:
            # Newer than the installer now, which is what make looks at.
            self.stamp.touch()
            return
        start = time.monotonic()
        shutil.rmtree(self.folder, ignore_errors=True)
        venv.create(self.folder, with_pip=True)
        if torch:
            self.say(TORCH)
            self.pip("install", TORCH)
        fill()
        self.stamp.write_text(recipe)
        self.say(f"installed in {time.monotonic() - start:.0f} s")

    def add(self, package: str, without: Collection[str], also: Collection[str] = ()) -> None:
        """Install the wheel of `package`, what its metadata asks for except `without`, and `also`, bare."""
        self.say(f"{package} and what it needs")
        wheels = self.folder / "wheels"
        self.pip("download", "--no-deps", "--dest", str(wheels), package)
        (wheel,) = wheels.glob("*.whl")
        self.pip("install", *_requirements(wheel, without))
        self.pip("install", "--no-deps", str(wheel), *also)
        shutil.rmtree(wheels)

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
