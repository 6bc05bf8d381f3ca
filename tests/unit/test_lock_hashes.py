"""A requirements.lock names every package of its constraints.txt but torch, with hashes and nothing of any machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
# Those with an environment of their own.
SUITES = sorted(path.parent.name for path in ROOT.glob("tests/*/install.py"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock_hashes", ROOT / "scripts" / "lock_hashes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", [ROOT, *(ROOT / "tests" / suite for suite in SUITES)], ids=["project", *SUITES])
def test_a_lock_has_the_versions_of_its_constraints_and_a_hash_for_each(script: ModuleType, folder: Path) -> None:
    text = (folder / "requirements.lock").read_text()
    assert "://" not in text and "index" not in text and "find-links" not in text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    packages = [line for line in lines if not line.startswith(" ")]
    wanted = script.wanted((folder / "constraints.txt").read_text())
    assert [re.split(r" [;\\]", line)[0] for line in packages] == wanted
    assert not any('platform_machine != "x86_64"' in line for line in packages), "all of them are needed there"
    hashes = [line for line in lines if line.startswith(" ")]
    assert all(re.fullmatch(r" {4}--hash=sha256:[0-9a-f]{64}(?: \\)?", line) for line in hashes)
    for line, following in zip(lines, [*lines[1:], "end"], strict=True):
        assert line.endswith(" \\") == following.startswith(" "), line
    assert all(line.endswith(" \\") for line in packages), "one of them has no hash"


def test_torch_alone_is_left_to_the_machine(script: ModuleType) -> None:
    constraints = script.CONSTRAINTS.read_text()
    assert set(re.findall(r"^[^#\n]+", constraints, re.M)) - set(script.wanted(constraints)) == {"torch==2.13.0"}
    assert "torch==2.13.0" in (ROOT / "Makefile").read_text()


def test_what_every_build_of_torch_requires_is_locked_in_a_version_that_will_do(script: ModuleType) -> None:
    needed = [Requirement(line) for line in importlib.metadata.requires("torch") or []]
    everywhere = [each for each in needed if each.marker is None]
    assert len(everywhere) > 5
    locked = {
        script.normal(name): version
        for name, version in (line.split("==") for line in script.wanted(script.CONSTRAINTS.read_text()))
    }
    for each in everywhere:
        assert each.specifier.contains(locked[script.normal(each.name)]), each


def test_make_installs_nothing_else_without_a_hash() -> None:
    makefile = (ROOT / "Makefile").read_text()
    installs = re.findall(r"^\t\$\(PIP\) install (.+)$", makefile, re.M)
    assert installs == [
        "--no-deps torch==2.13.0",
        "--require-hashes --no-deps -r requirements.lock",
        "-c constraints.txt torch==2.13.0",
        "--no-deps --no-build-isolation -e .",
    ]


@pytest.mark.parametrize("suite", SUITES)
def test_an_environment_of_a_suite_installs_nothing_else_without_a_hash(suite: str) -> None:
    installed = (ROOT / "tests" / "separate.py").read_text().partition("def make")[2].partition("def resolve")[0]
    assert installed.count('"install"') == 1 and '"--require-hashes", "--no-deps"' in installed
    assert ".pip(" not in (ROOT / "tests" / suite / "install.py").read_text()


def report(name: str, version: str, sha256: str) -> dict[str, object]:
    found = {"archive_info": {"hashes": {"sha256": sha256}}}
    return {"metadata": {"name": name, "version": version}, "download_info": found}


def test_wheels_of_all_machines_are_gathered_under_the_constraints_spelling(script: ModuleType) -> None:
    wanted = script.wanted("# c\nJinja2==3.1.6\ntorch==2.13.0\n\nast_serialize==0.1\n")
    assert wanted == ["Jinja2==3.1.6", "ast_serialize==0.1"]
    hashes: dict[str, set[str]] = {}
    for sha in ("bb", "aa", "aa"):
        for pinned, each in script.found(
            {"install": [report("ast-serialize", "0.1", sha), report("jinja2", "3.1.6", "cc")]}
        ):
            hashes.setdefault(pinned, set()).add(each)
    said = script.lock(wanted, hashes, {"Jinja2==3.1.6": {"aarch64"}}, {}).removeprefix(script.HEAD)
    assert said == (
        'Jinja2==3.1.6 ; platform_machine != "aarch64" \\\n'
        "    --hash=sha256:cc\nast_serialize==0.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    )
    with pytest.raises(KeyError):
        script.lock(["ast_serialize==0.2"], hashes, {}, {})


def test_what_is_locked_is_kept_as_it_is_and_not_asked_for(script: ModuleType) -> None:
    text = script.LOCK.read_text()
    kept = script.locked(text)
    assert script.lock(list(kept), {}, {}, kept) == text
    first, *rest = kept
    assert script.lock(rest, {}, {}, kept) == text.replace(kept[first], "")
    with pytest.raises(KeyError):
        script.lock([first.split("==")[0] + "==0"], {}, {}, kept)


def test_tags_of_a_machine_begin_with_the_newest(script: ModuleType) -> None:
    kinds = list(script.platforms())
    assert len(kinds) == 6
    assert kinds[0][0] == "manylinux_2_28_x86_64" and "manylinux2014_x86_64" in kinds[0]
    assert kinds[-1][:2] == ["macosx_15_0_arm64", "macosx_15_0_universal2"] and "macosx_11_0_arm64" in kinds[-1]
