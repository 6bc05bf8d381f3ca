"""What a user gets from the wheel alone: everything that the package needs is inside it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from micro import MICRO

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("metis_rise-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's files; the environment's own packages serve as its dependencies."""
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True)
    return target


def rise(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1"}
    command = [str(installed / "bin" / "rise"), *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_wheel_holds_every_file_of_the_package(wheel: Path):
    inside = set(zipfile.ZipFile(wheel).namelist())
    source = REPOSITORY / "src"
    files = {
        p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert {"metis_rise/py.typed", "metis_rise/recipes/tiny.yaml", "metis_rise/templates/system.txt"} <= files
    assert {name for name in files if name.startswith("metis_rise/")} <= inside


def test_the_wheel_carries_the_licence(wheel: Path):
    assert [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("licenses/LICENSE")]


def test_the_installed_command_lists_its_recipes_in_an_empty_folder(installed: Path, tmp_path: Path):
    where = "import metis_rise; print(metis_rise.__file__)"
    environment = os.environ | {"PYTHONPATH": str(installed)}
    command = [sys.executable, "-c", where]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(installed)
    done = rise(installed, tmp_path, "recipes")
    assert done.returncode == 0, done.stderr
    assert "tiny" in done.stdout


def test_the_installed_wheel_runs_the_whole_method_in_an_empty_folder(installed: Path, tmp_path: Path):
    done = rise(installed, tmp_path, "run", "tiny", *MICRO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "tiny" / "summary.json").exists()
    assert "after RISE" in done.stdout
