"""Every write site of the micro run, on a disk that is full there, fails there, or tears what is written there.

    python tests/faults/all_sites.py            all: up to an hour
    python tests/faults/all_sites.py --only 1-rl --kinds EIO,torn

A run that looks on gives the sites and the right results. Then one run is struck at one site after another: each
process meets one fault, is judged by what it says and keeps, and the next one goes on from what is left. A last one
without faults finishes, and must come to the same results. At the end some runs meet a disk that is full from a random
call on, whatever is written.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("faults", "chaos", "cli")]

from disk_shim import ANYWHERE, Fault, Site, compiler, sites
from striking import RUN, Trial, finish, strike_all, unseen, warm_process
from warm import Warm

KINDS = {
    "ENOSPC": ("mkdir", "open"),
    "torn": ("write",),
    "EIO": ("write", "fsync", "rename", "truncate"),
    "kill": ("write",),
}
"""At which calls each kind of fault is met. A disk that is full tears what is written: that is `torn`."""

_SEED = 9


def main() -> None:
    """Strikes, and says what came of it; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of " + ", ".join(KINDS))
    parser.add_argument("--only", default="", help="sites whose name holds this text")
    parser.add_argument("--full", type=int, default=20, help="runs on a disk that is full from a random call on")
    parser.add_argument("--slow-ms", type=int, default=50, help="how much longer each sync takes in one run")
    given = parser.parse_args()
    if compiler() is None:
        sys.exit("no C compiler: install gcc or clang")
    with tempfile.TemporaryDirectory() as home, warm_process() as warm:
        faults = _strike_everywhere(Path(home), warm, given)
    for fault in faults:
        print("FAULT", fault)
    sys.exit(bool(faults))


def _strike_everywhere(home: Path, warm: Warm, given: argparse.Namespace) -> list[str]:
    calm = _trial(home / "calm", warm)
    start = time.monotonic()
    assert calm.rise(*RUN).code == 0
    calls = calm.shim.calls()
    found = sites(calls)
    print(f"{len(calls)} calls at {len(found)} sites, {time.monotonic() - start:.0f} s: {_by_call(found)}", flush=True)
    faults = [f"nobody was seen to write {name}" for name in unseen(calm.run, calls)]
    chosen = [site for site in found if given.only in site.name]
    for kind in given.kinds.split(","):
        struck = [Fault(kind, site) for site in chosen if site.call in KINDS[kind]]
        faults += _struck(_trial(home / kind, warm), struck, calm.run)
    draw = random.Random(_SEED)
    moments = sorted(draw.randrange(1, len(calls)) for _ in range(given.full))
    for number in moments:
        # Each on its own, from the start: counting begins anew in each process.
        trial = _trial(home / f"full-{number}", warm)
        faults += _struck(trial, [Fault("ENOSPC", ANYWHERE, number)], calm.run)
        shutil.rmtree(trial.home)
    faults += _slow(_trial(home / "slow", warm), given.slow_ms, calm.run)
    return faults


def _trial(home: Path, warm: Warm) -> Trial:
    home.mkdir()
    return Trial(home, warm)


def _struck(trial: Trial, faults: Sequence[Fault], calm: Path) -> list[str]:
    """Strikes one run with one fault after another, lets it finish, and compares."""
    if not faults:
        return []
    start, wrong = time.monotonic(), []
    for fault, said in strike_all(trial, faults):
        print("FAULT" if said else "ok   ", fault, *said, flush=True)
        wrong += said
    wrong += finish(trial, calm)
    title = faults[0].kind if len(faults) > 1 else str(faults[0])
    print(f"{title}: {len(faults)} faults, {len(wrong)} wrong, {time.monotonic() - start:.0f} s", flush=True)
    return wrong


def _slow(trial: Trial, slow_ms: int, calm: Path) -> list[str]:
    start = time.monotonic()
    outcome = trial.rise(*RUN, slow_ms=slow_ms)
    syncs = sum(call.call == "fsync" for call in trial.shim.calls())
    said = f"every sync {slow_ms} ms longer: exit code {outcome.code}, {syncs} syncs"
    print(f"{said}, {time.monotonic() - start:.0f} s", flush=True)
    return finish(trial, calm)


def _by_call(found: Sequence[Site]) -> str:
    return ", ".join(f"{number} {call}" for call, number in Counter(site.call for site in found).most_common())


if __name__ == "__main__":
    main()
