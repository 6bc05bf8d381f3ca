"""How many items of benchmarks `rise data check` finds in a problem file, and how many problems it takes for some.

    python benchmarks/data_leaks.py FOLDER [--clean FILE ...] [--drawn 2000]

FOLDER holds benchmark data files (docs/evaluation.md). Each arm is a problem file of all their items, their pictures
and questions changed in one way, in a folder that is deleted afterwards; then come files that hold none: pictures of
the tiny world, and others that you know to be clean. The table of docs/data.md.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageOps

from metis_rise.benchmarks import sources
from metis_rise.benchmarks.base import Item
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.registry import BENCHMARKS, SIX
from metis_rise.data.leaks import find_leaks
from metis_rise.data.survey import survey
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import without_markers
from metis_rise.problems.world import make_problems


def _as_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return Image.open(buffer).convert("RGB")


def _scaled(image: Image.Image) -> Image.Image:
    return image.resize((max(1, image.width * 4 // 5), max(1, image.height * 4 // 5)))


def _cut(image: Image.Image) -> Image.Image:
    x, y = max(1, image.width // 50), max(1, image.height // 50)
    return image.crop((x, y, image.width - x, image.height - y))


PICTURES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "JPEG, quality 60": _as_jpeg,
    "80 % of the size": _scaled,
    "2 % cut off each side": _cut,
    "all three": lambda image: _as_jpeg(_cut(_scaled(image))),
    "2 % white frame": lambda image: ImageOps.expand(image, max(1, min(image.size) // 50), "white"),
    "turned by 90 degrees": lambda image: image.rotate(90, expand=True),
}
QUESTIONS: Mapping[str, Callable[[str], str]] = {
    "other case and blanks": lambda text: f"  {text.upper()} ".replace(" ", "  "),
    "a sentence in front": lambda text: f"Look at the picture and reason step by step. {text}",
}


def main() -> None:
    """Prints a line for each arm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clean", type=Path, nargs="*", default=[])
    parser.add_argument("--drawn", type=int, default=2000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = ImageStore(Path(scratch) / "items")
        items = list(_items(given.folder, store))
        for name, change in PICTURES.items():
            rows = _with_pictures(items, store, Path(scratch) / "copies", change)
            _measure(f"pictures {name}, another question", rows, Path(scratch) / "copies", given.folder)
        for name, reword in QUESTIONS.items():
            rows = [_row(number, reword(_asked(item)), []) for number, (_, item) in enumerate(items)]
            _measure(f"no picture, question with {name}", rows, Path(scratch), given.folder)
        drawn = list(_drawn(given.drawn, Path(scratch) / "drawn"))
        _measure("clean: the tiny world", drawn, Path(scratch) / "drawn", given.folder)
    for path in given.clean:
        _say(f"clean: {path.parent.name}/{path.name}", path, given.folder)


def _items(folder: Path, store: ImageStore) -> Iterator[tuple[str, Item]]:
    for name in SIX:
        for item in load(BENCHMARKS[name], sources.find(BENCHMARKS[name], folder), store).items:
            yield name, item


def _asked(item: Item) -> str:
    return without_markers(item.problem.question)


def _with_pictures(
    items: Sequence[tuple[str, Item]], store: ImageStore, folder: Path, change: Callable[[Image.Image], Image.Image]
) -> Iterator[dict[str, object]]:
    """Each item whose pictures are changed, under a question of no benchmark."""
    folder.mkdir(exist_ok=True)
    for number, (_, item) in enumerate(items):
        names = [f"{number}-{place}.png" for place in range(len(item.problem.images))]
        for name, key in zip(names, item.problem.images, strict=True):
            change(store.open(key)).save(folder / name)
        if names:
            yield _row(number, f"What is seen here? ({number})", names)


def _drawn(number: int, folder: Path) -> Iterator[dict[str, object]]:
    """Problems of the tiny world that have a picture."""
    store = ImageStore(folder)
    made = (problem for seed in itertools.count() for problem in make_problems("train", 40, seed, store))
    for place, problem in enumerate(itertools.islice((each for each in made if each.images), number)):
        yield _row(place, without_markers(problem.question), [store.path(key).name for key in problem.images])


def _row(number: int, question: str, images: Sequence[str]) -> dict[str, object]:
    return {"id": f"p{number}", "question": question, "images": images, "answer": "1", "answer_type": "number"}


def _measure(
    arm: str, rows: Iterator[dict[str, object]] | Sequence[dict[str, object]], folder: Path, data: Path
) -> None:
    path = folder / "problems.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    _say(arm, path, data)


def _say(arm: str, path: Path, data: Path) -> None:
    found = survey(path, lambda problem, sizes: None)
    checked = find_leaks(found, data)
    leaks = {leak.entry.row for each in checked.values() for leak in each.leaks}
    unseen = [each.title for each in checked.values() if each.why_not]
    print(f"{arm}: {len(leaks)} of {len(found.entries)} rows", f"not checked: {unseen}" if unseen else "", flush=True)


if __name__ == "__main__":
    main()
