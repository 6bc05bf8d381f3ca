"""How long a recipe's prompts are, from its own problem files where they are here: headers of pictures, and text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, UnidentifiedImageError
from tokenizers import Tokenizer

from metis_rise.cluster.facts import VisionFacts, folder_of
from metis_rise.errors import InputError
from metis_rise.foreign.opening import count_rows, is_there, open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import PROMPT_FILE, RISE, load_system
from metis_rise.problems.row import Row, RowFault
from metis_rise.problems.sources import Spool
from metis_rise.problems.world import FAMILIES, LEVELS, make_problems
from metis_rise.recipe import Recipe
from metis_rise.types import AnswerType

# Assumed where the problems are not here.
IMAGE_TOKENS = 1024
TEXT_TOKENS = 300
TRAIN, TEST = 8000, 1000
CHARACTERS_PER_TOKEN = 4.0
# Of the chat template around system prompt and question.
TEMPLATE_TOKENS = 20
# Rows of a file, and problems of each kind of the world, that are looked at.
_ROWS, _OF_A_KIND = 200, 3
# Bounds of a picture's area where neither recipe nor model folder has any: those of the published models.
_LEAST_PIXELS, _MOST_PIXELS = 4 * 28 * 28, 16384 * 28 * 28


@dataclass(frozen=True, slots=True)
class Prompts:
    """image, text: tokens of the mean prompt; longest: of the longest one seen.

    train, test: problems. pictured: share of problems with pictures. note: where this is from.
    """

    image: float
    text: float
    longest: float
    train: int
    test: int
    pictured: float
    note: str


def prompts_of(recipe: Recipe, vision: VisionFacts) -> Prompts:
    """The prompts of `recipe`; InputError for problem files that are here and cannot be read."""
    config = recipe.problems
    sizes = PromptSizes(recipe, vision)
    if config.kind == "world":
        kinds, world = len(FAMILIES) * len(LEVELS), config.world
        with TemporaryDirectory() as folder:
            store = ImageStore(Path(folder))
            pairs = [
                (sum(sizes.picture(store.size(key)) for key in problem.images), sizes.text(problem.question))
                for problem in make_problems("train", _OF_A_KIND, world.seed, store, levels=world.levels)
            ]
        counts = (kinds * world.train_per_level, kinds * world.test_per_level)
        return _prompts(recipe, pairs, counts, f"prompts like {len(pairs)} problems of the world")
    train, test = Path(str(config.train)), Path(str(config.test))
    if is_there(train) and is_there(test):
        with TemporaryDirectory() as folder, closing(Spool(Path(folder))) as spool:
            pairs = _sample(train, sizes, config.skip_bad, spool)
            counts = (_count(train, spool), _count(test, spool))
        return _prompts(recipe, pairs, counts, f"prompts like the first {len(pairs)} rows of {train}{sizes.note}")
    tokens = min(IMAGE_TOKENS, sizes.most / sizes.area)
    absent = test if is_there(train) else train
    note = (
        f"{absent} is not here: prompts of {tokens:.0f} image and {TEXT_TOKENS} text tokens, {TRAIN} training and "
        f"{TEST} test problems assumed"
    )
    return Prompts(tokens, TEXT_TOKENS, tokens + 2 * TEXT_TOKENS, TRAIN, TEST, 1.0, note)


def _prompts(recipe: Recipe, pairs: list[tuple[float, float]], counts: tuple[int, int], note: str) -> Prompts:
    limits = (recipe.problems.limit_train, recipe.problems.limit_test)
    train, test = (n if limit is None else min(n, limit) for n, limit in zip(counts, limits, strict=True))
    images, texts = zip(*pairs, strict=True)
    pictured = sum(image > 0 for image in images) / len(images)
    return Prompts(fmean(images), fmean(texts), max(map(sum, pairs)), train, test, pictured, note)


class PromptSizes:
    """Counts tokens: of text as the model's tokenizer does where it is here, of pictures by the processor's rule."""

    def __init__(self, recipe: Recipe, vision: VisionFacts) -> None:
        """As `recipe` has its model read prompts; `note` says what is assumed of that."""
        folder = folder_of(recipe.model.path)
        self._count, self.note = _counter(folder)
        self._side = vision.patch * math.isqrt(vision.merge)
        self.area = self._side**2
        least, self.most = _bounds(folder)
        self._least = recipe.model.min_pixels or least
        self.most = recipe.model.max_pixels or self.most
        self._around = self._count(_system(recipe.prompt.system, folder) or "") + TEMPLATE_TOKENS

    def text(self, question: str) -> float:
        """Tokens of a prompt beside its pictures."""
        return self._around + self._count(question)

    def picture(self, size: tuple[int, int]) -> float:
        """Image tokens of a picture of this width and height, as Qwen's processors resize it."""
        width, height = (max(self._side, round(pixels / self._side) * self._side) for pixels in size)
        area = size[0] * size[1]
        if width * height > self.most:
            shrink = math.sqrt(area / self.most)
            width, height = (max(self._side, int(p / shrink / self._side) * self._side) for p in size)
        elif width * height < self._least:
            grow = math.sqrt(self._least / area)
            width, height = (math.ceil(p * grow / self._side) * self._side for p in size)
        return width * height / self.area

    def row(self, row: Row) -> tuple[float, float]:
        """Image and text tokens of a row of a problem file."""
        text = "\n".join([row.question(), *(row.choices(AnswerType.CHOICE) or ())])
        return sum(self._file(path) for path in row.images()), self.text(text)

    def _file(self, path: Path) -> float:
        try:
            with Image.open(path) as image:
                return self.picture(image.size)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            why = " ".join(str(error).split())[:120]
            raise InputError(f"{path}: the picture's size cannot be read ({why}); mend the file or its row") from error


def _system(setting: str | None, folder: Path | None) -> str | None:
    """The system prompt; `auto` is what the model was trained with where its folder says so, else ours."""
    if setting != "auto":
        return load_system(setting)
    if folder is not None and (path := folder / PROMPT_FILE).is_file():
        system = _settings(path).get("system")
        return system if isinstance(system, str) else None
    return load_system(RISE)


def _counter(folder: Path | None) -> tuple[Callable[[str], float], str]:
    """Counts the tokens of a text, and what is to be noted of that."""
    if folder is not None and (path := folder / "tokenizer.json").is_file():
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            # It raises nothing narrower.
            raise InputError(f"{path}: the tokenizer cannot be read ({error})") from error
        return lambda text: float(len(tokenizer.encode(text, add_special_tokens=False).ids)), ""
    return lambda text: len(text) / CHARACTERS_PER_TOKEN, f", {CHARACTERS_PER_TOKEN:g} characters a token assumed"


def _bounds(folder: Path | None) -> tuple[int, int]:
    """Least and most pixels of a resized picture by the model folder."""
    if folder is None or not (path := folder / "preprocessor_config.json").is_file():
        return _LEAST_PIXELS, _MOST_PIXELS
    settings = _settings(path)
    size = settings.get("size") or {}
    try:
        least = settings.get("min_pixels") or size.get("shortest_edge") or _LEAST_PIXELS
        most = settings.get("max_pixels") or size.get("longest_edge") or _MOST_PIXELS
        return int(least), int(most)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{path}: bounds of a picture's area cannot be read ({error}); mend the file") from error


def _settings(path: Path) -> dict[str, Any]:
    """A JSON object of the model's folder; InputError where the file is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not valid JSON ({error}); give a whole model folder") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: is not a JSON object; give a whole model folder")
    return found


def _sample(path: Path, sizes: PromptSizes, skip_bad: bool, spool: Spool) -> list[tuple[float, float]]:
    """Image and text tokens of the first rows of a problem file; with `skip_bad` of those that can be used."""
    found: list[tuple[float, float]] = []
    source = open_rows(path, spool)
    for number, raw in source.raw:
        if len(found) == _ROWS:
            break
        try:
            found.append(sizes.row(source.read(number, raw)))
        except RowFault:
            if not skip_bad:
                raise
    if not found:
        raise _no_rows(path)
    return found


def _count(path: Path, spool: Spool) -> int:
    """Rows of a problem file."""
    count = count_rows(path, spool)
    if not count:
        raise _no_rows(path)
    return count


def _no_rows(path: Path) -> InputError:
    return InputError(f"{path}: the file has no rows that can be used; write one JSON object per line")
