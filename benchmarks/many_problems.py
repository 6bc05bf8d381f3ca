"""How long a run over very many problems with pictures takes until its first RL step, and how much memory.

    python benchmarks/many_problems.py [--problems 100000] [--kilobytes 200] [--root many] [--json FILE]

Makes as many PNG files of about that size, no two alike (the folder is used again if it is there), and opens a run over
them as `rise run user_jsonl` does: rows are read and checked, pictures checked, hashed and stored, problem files
written and read back; then the model is loaded and the longest prompt looked for.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

TESTS = 100


def picture(kilobytes: int) -> bytes:
    """A PNG file of about that size: a smooth picture with some noise, as photos and scans have."""
    side = round((kilobytes * 1000 / 0.92) ** 0.5)
    slopes = np.add.outer(np.arange(side), np.arange(side))[..., None] * np.array([0.2, 0.13, 0.3])
    noise = np.random.default_rng(0).integers(0, 3, (side, side, 3))
    buffer = BytesIO()
    Image.fromarray(((slopes + noise) % 256).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def numbered(png: bytes, number: int) -> bytes:
    """The same picture with a text of its own in it, so that its bytes are nobody else's."""
    body = b"tEXtnumber\0" + str(number).encode()
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return png[:33] + chunk + png[33:]


def make(folder: Path, problems: int, kilobytes: int) -> None:
    """Writes the problem files and their pictures, unless they are there."""
    done = folder / f"done-{problems}-{kilobytes}"
    if done.exists():
        return
    (folder / "images").mkdir(parents=True, exist_ok=True)
    png = picture(kilobytes)
    for split, numbers in (("train", range(problems)), ("test", range(problems, problems + TESTS))):
        with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
            for number in tqdm(numbers, desc=f"making {split} problems", leave=False):
                name = f"images/{number}.png"
                (folder / name).write_bytes(numbered(png, number))
                row = {
                    "images": [name],
                    "question": f"What is the value of x in triangle {number}, in centimetres?",
                    "answer": f"{number / 8}",
                    "answer_type": "number",
                }
                file.write(json.dumps(row) + "\n")
    done.touch()


def begin(folder: Path) -> dict[str, Any]:
    """Opens the run and says what that took; to be called in a process of its own."""
    from metis_rise.opening import open_workshop
    from metis_rise.recipe import load_recipe

    files = [f"problems.{split}={folder / f'{split}.jsonl'}" for split in ("train", "test")]
    settings = ["model.path=tiny", "model.dtype=float32", "sampling.max_tokens=128", "threads=1"]
    recipe = load_recipe("user_jsonl", [*files, *settings, "rl.micro_tokens=100000", "sft.micro_tokens=100000"])
    imported = time.process_time()
    start = time.monotonic()
    shop = open_workshop(recipe, folder / "runs", "many", fresh=True)
    opened = time.monotonic()
    bench = shop.bench(shop.start_model)
    loaded = time.monotonic()
    shop.check_room(bench, "rl", recipe.rl.micro_tokens)
    ended = time.monotonic()
    bench.close()
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "problems": len(shop.sets.train) + len(shop.sets.dev) + len(shop.sets.test),
        "opening_s": round(opened - start, 1),
        "loading_the_model_s": round(loaded - opened, 1),
        "longest_prompt_s": round(ended - loaded, 1),
        "total_s": round(ended - start, 1),
        "processor_s": round(sum(each.ru_utime + each.ru_stime for each in usage) - imported, 1),
        "peak_mb": round(usage[0].ru_maxrss / 1024),
    }


def main() -> None:
    """Prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=100_000)
    parser.add_argument("--kilobytes", type=int, default=200, help="size of each picture file")
    parser.add_argument("--root", type=Path, default=Path("many"), help="folder for problems and run")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--begin", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.begin:
        print(json.dumps(begin(options.root)))
        return
    make(options.root, options.problems, options.kilobytes)
    command = [sys.executable, __file__, "--begin", "--root", str(options.root)]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    print(text, end="")
    if options.json:
        options.json.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
