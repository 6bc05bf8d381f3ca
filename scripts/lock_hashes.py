"""Writes requirements.lock beside each constraints.txt: the same with the SHA-256 of every wheel that pip may take.

    python scripts/lock_hashes.py                            asks for lines that are not locked yet; others stay
    python scripts/lock_hashes.py --all                      asks for all, which takes a quarter of an hour
    python scripts/lock_hashes.py tests/vllm/constraints.txt for a suite that has an environment of its own

Asks the package index once for each Python and platform below, as pip there would; nothing is installed, and wheels are
fetched only where the index does not say their hash. torch is left out: which of its builds is taken, the machine
decides. What this machine's pip is set up with besides the index (wheels on disk, mirrors) is not asked.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS, LOCK = ROOT / "constraints.txt", ROOT / "requirements.lock"
WITHOUT = {"torch"}
PYTHONS = ("3.11", "3.12", "3.13")
# An old C library and a new one: wheels of one version may be built for both, and pip takes the newest that fits.
GLIBC = (28, 39)
MACOS = (14, 15)
OWN_SOURCES = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
_ABSENT = re.compile(r"No matching distribution found for (\S+)")
HEAD = """\
# constraints.txt beside it but torch, with the SHA-256 of the wheels for CPython 3.11 to 3.13 on Linux (x86-64, ARM;
# glibc) and macOS (ARM). Made by scripts/lock_hashes.py; `make` installs from here, and pip refuses whatever has any
# other hash (pip install --require-hashes --no-deps -r requirements.lock).
"""

Hashes = dict[str, set[str]]
"""SHA-256 by "name==version"."""


def platforms() -> Iterator[list[str]]:
    """Tags that pip is to take for its own, one list for each kind of machine."""
    for machine in ("x86_64", "aarch64"):
        for newest in GLIBC:
            old = ("2014", "2010", "1") if machine == "x86_64" else ("2014",)
            newer = [f"manylinux_2_{minor}_{machine}" for minor in range(newest, 4, -1)]
            yield [*newer, *(f"manylinux{year}_{machine}" for year in old), f"linux_{machine}"]
    for newest in MACOS:
        # What was built for any older system fits too.
        yield [f"macosx_{major}_0_{kind}" for major in range(newest, 10, -1) for kind in ("arm64", "universal2")]


def wanted(constraints: str) -> list[str]:
    """The lines "name==version" of `constraints` that are locked."""
    lines = (line.strip() for line in constraints.splitlines())
    return [line for line in lines if line and not line.startswith("#") and line.partition("==")[0] not in WITHOUT]


def found(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Normal name with version, and hash of each wheel in a report of pip's."""
    for entry in report["install"]:
        pinned = f"{normal(entry['metadata']['name'])}=={entry['metadata']['version']}"
        yield pinned, entry["download_info"]["archive_info"]["hashes"]["sha256"]


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """The entries of a lock, each by its line of constraints.txt."""
    entries = re.findall(r"^(?![#\s])\S[^;\n]*?(?: ;[^\n]*)? \\\n(?:    --hash=[^\n]*\n)+", text, re.MULTILINE)
    return {re.split(r"[\s;]", entry, maxsplit=1)[0]: entry for entry in entries}


def lock(lines: list[str], hashes: Hashes, absent: Mapping[str, set[str]], kept: Mapping[str, str]) -> str:
    """The lock's text: entries that are `kept`, new ones of the rest.

    `absent` names the machines that a line has no wheel for. KeyError for a line without a hash.
    """
    parts = [HEAD]
    for line in lines:
        if line in kept:
            parts.append(kept[line])
            continue
        name, _, version = line.partition("==")
        known = sorted(hashes[f"{normal(name)}=={version}"])
        elsewhere = " and ".join(f'platform_machine != "{machine}"' for machine in sorted(absent.get(line, ())))
        first = f"{line} ; {elsewhere}" if elsewhere else line
        parts.append(" \\\n".join([first, *(f"    --hash=sha256:{each}" for each in known)]) + "\n")
    return "".join(parts)


def _report(lines: list[str], python: str, tags: list[str], absent: dict[str, set[str]]) -> Mapping[str, Any]:
    """What pip would install there; what has no wheel for that machine is added to `absent`."""
    with tempfile.TemporaryDirectory() as scratch:
        requirements, report = Path(scratch, "wanted.txt"), Path(scratch, "report.json")
        requirements.write_text("".join(f"{line}\n" for line in lines))
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--dry-run"]
        command += ["--ignore-installed", "--no-deps", "--only-binary=:all:", f"--python-version={python}"]
        command += ["--implementation=cp", f"--target={scratch}", f"--report={report}", "-r", str(requirements)]
        command += [f"--platform={tag}" for tag in tags]
        own = {name: value for name, value in os.environ.items() if name not in OWN_SOURCES}
        environment = own | {"PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)
        if done.returncode == 0:
            content: Mapping[str, Any] = json.loads(report.read_text())
            return content
    fault = _ABSENT.search(done.stderr)
    # A version that wants a newer Python has a wheel: it would be left out on machines that could take it.
    if fault is None or fault[1] not in lines or f" {fault[1].partition('==')[2]} Requires-Python" in done.stderr:
        raise SystemExit(done.stderr)
    print(f"  {fault[1]} has no wheel there", file=sys.stderr)
    absent.setdefault(fault[1], set()).add(_machine(tags))
    return _report([line for line in lines if line != fault[1]], python, tags, absent)


def _machine(tags: list[str]) -> str:
    """What the first tag ends in: macosx_15_0_arm64, manylinux_2_39_x86_64."""
    return re.sub(r"^[a-z]+_\d+_\d+_", "", tags[0])


def main() -> None:
    """Ask for all platforms and write the lock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="ask for lines that are locked as well")
    parser.add_argument("constraints", nargs="?", type=Path, default=CONSTRAINTS, help="default: the project's own")
    given = parser.parse_args()
    target = given.constraints.with_name(LOCK.name)
    lines = wanted(given.constraints.read_text())
    kept = {} if given.all or not target.exists() else locked(target.read_text())
    new = [line for line in lines if line not in kept]
    hashes: Hashes = {}
    absent: dict[str, set[str]] = {}
    there: set[tuple[str, str]] = set()
    for python in PYTHONS if new else ():
        for tags in platforms():
            print(f"Python {python}, {tags[0]}", file=sys.stderr)
            for pinned, sha256 in found(_report(new, python, tags, absent)):
                hashes.setdefault(pinned, set()).add(sha256)
                there.add((pinned, _machine(tags)))
    # Only for an old C library, or one Python, is no reason to leave it out: pip says then what is wrong.
    for line, machines in absent.items():
        name, _, version = line.partition("==")
        machines -= {machine for machine in machines if (f"{normal(name)}=={version}", machine) in there}
    target.write_text(lock(lines, hashes, absent, kept))
    print(f"{target}: {len(lines)} packages, {len(new)} of them new with {sum(map(len, hashes.values()))} wheels")


if __name__ == "__main__":
    main()
