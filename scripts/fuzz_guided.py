"""As fuzz_readers.py, but guided by coverage: atheris looks for inputs that reach code of ours which none has reached.

    pip install atheris
    python scripts/fuzz_guided.py --minutes 10

Every reader has a process of its own for its share of the time; inputs are made by the same hypothesis strategies, from
the bytes that atheris mutates. A finding ends it with the traceback; the exit code is then 1. atheris is not among the
dependencies: it has wheels for CPython on Linux only.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

_EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERED = re.compile(r"cov: (\d+)")


def fuzz(name: str, seconds: int) -> None:
    """Feeds one reader in this process, and ends it."""
    import atheris

    with atheris.instrument_imports(include=["metis_rise"]):
        from fuzzing.inputs import READERS
        from metis_rise.errors import InputError
    from hypothesis import HealthCheck, given, settings

    strategy, reader = READERS[name]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(value: Any) -> None:
        try:
            reader(value, folder)
        except InputError as error:
            assert str(error).strip(), "an error without words"

    limits = ["-timeout=5", "-rss_limit_mb=4096", "-max_len=8192", "-len_control=0"]
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds}", "-print_final_stats=1", *limits], run.hypothesis.fuzz_one_input
    )
    atheris.Fuzz()


def main() -> int:
    """Gives every reader its share of the time, and prints how many inputs each has had and what they have reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--reader", help="this one alone, in this process")
    asked = parser.parse_args()
    if asked.reader:
        fuzz(asked.reader, round(60 * asked.minutes))
    # Not before: what is imported by then is not watched.
    from fuzzing.inputs import READERS

    share, found = asked.minutes / len(READERS), 0
    for name in tqdm(READERS, desc="fuzzing", unit="reader"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(Path(__file__).resolve()), "--reader", name, "--minutes", str(share)]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        number, covered = _EXECUTED.search(done.stderr), _COVERED.findall(done.stderr)
        said = f"{int(number[1]):>9,} inputs" if number else "no figures"
        tqdm.write(f"{name:<12} {said}, {covered[-1] if covered else 0:>6} edges covered, exit code {done.returncode}")
        if done.returncode:
            found += 1
            tqdm.write((done.stdout + done.stderr)[-3000:])
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
