"""Processes that do the expert stage: each a fork of one that has all imports behind it, so that a start is cheap.

Reads a line of JSON per process (the arguments of `Shop`), writes its id, and its wait status when it has ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

from expert_shop import Shop


def main() -> None:
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.dup2(2, 1)
                Shop(**json.loads(line)).do()
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main()
