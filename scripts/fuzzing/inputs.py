"""Made-up and mutated input: what hypothesis draws for each reader."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from PIL import Image

from fuzzing import readers
from metis_rise.benchmarks.registry import SIX
from metis_rise.problems.row import ALIASES, FIELDS
from metis_rise.recipe.faults import known_keys
from metis_rise.recipe.load import shipped_recipe
from metis_rise.types import AnswerType, Problem, Trajectory

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


_WORDS = st.sampled_from(
    [
        "",
        "nan",
        "<image>",
        "<image2>",
        "A",
        "B",
        "1/2",
        "\\frac{1}{2}",
        "\\boxed{",
        "[1, 2]",
        "['a']",
        "9**9**9",
        "�",
        "\x00",
        "\r",
        "'",
        '"',
        "</think>",
        "<answer>",
        "12 cm^2",
        "٣",
        "²",
        "-",
        "{}",
        "1e999",
        "12",
        "x+1",
        "yes",
        "<`im_end`>",
    ]
).map(lambda word: word.replace("`", "|"))


_TEXT = st.one_of(_WORDS, st.text(max_size=40), st.lists(_WORDS, max_size=6).map("".join))


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=12,
)


_CUTS = st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=6)), max_size=4)


def _mutated(data: bytes, cuts: list[tuple[int, bytes]], keep: int) -> bytes:
    for place, piece in cuts:
        start = place % (len(data) + 1)
        data = data[:start] + piece + data[start + len(piece) :]
    return data[: len(data) - keep % (len(data) + 1)] if keep % 3 == 0 else data


def _pictures() -> list[bytes]:
    noise = Image.effect_noise((24, 24), 90)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for form in _FORMATS:
        for mode in ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1", "LA"):
            buffer = BytesIO()
            try:
                noise.convert(mode).save(buffer, form, exif=exif, save_all=True, append_images=[noise.convert(mode)])
            except (OSError, ValueError, KeyError):
                continue
            found.append(buffer.getvalue())
    return found


def _nearly(good: dict[str, Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good record with some fields in another way; one of them with anything."""
    likely = st.fixed_dictionaries({}, optional=fields)
    wild = st.dictionaries(st.sampled_from(sorted({*good, *fields})), st.one_of(_JSON, _TEXT), max_size=1)
    return st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, st.just(good), likely, wild)


_ROW = _nearly(
    {"question": "How many?", "answer": "12", "answer_type": "number", **dict.fromkeys(FIELDS[6:], None)},
    answer_type=st.sampled_from(sorted(ALIASES)),
    question=_TEXT,
    answer=_TEXT,
    choices=st.lists(_TEXT, max_size=5),
    meta=st.dictionaries(_TEXT, _JSON, max_size=3),
    id=_TEXT,
)


_CHOICES = st.lists(_TEXT, max_size=5)


_OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "mathvista": _nearly(
        {"pid": "1", "image": "a.png", "question": "q", "choices": None, "answer": "1", "precision": 1.0, "unit": None}
        | {"question_type": "free_form", "answer_type": "float", "metadata": {"task": "t", "skills": ["s"]}},
        choices=_CHOICES,
        answer=_TEXT,
        question_type=st.sampled_from(("multi_choice", "free_form")),
        answer_type=st.sampled_from(("integer", "float", "list", "text")),
    ),
    "mathvision": _nearly(
        {"id": "1", "image": "a.png", "question": "q", "options": [], "answer": "1", "subject": "s", "level": 1},
        options=_CHOICES,
        answer=_TEXT,
    ),
    "dynamath": _nearly(
        {"image": "a.png", "question": "q", "answer": "1", "answer_type": "float", "subject": "s", "level": "l"},
        answer=_TEXT,
        answer_type=st.sampled_from(("float", "multiple choice", "text")),
    ),
    "wemath": _nearly(
        {"ID": "3steps_1", "split": "testmini", "knowledge concept": "k", "question": "q", "answer": "A"}
        | {"image_path": "a.png", "key": "3steps_1", "question number": 1, "option": "A. 1; B. 2"},
        answer=_TEXT,
        option=_TEXT,
    ),
    "logicvista": _nearly(
        {"imagename": "a.png", "question": "A or B?", "answer": "A", "skill": ["s"], "capability": []}
        | {"imagesource": ""},
        answer=_TEXT,
    ),
}


_PICTURE = st.builds(_mutated, st.sampled_from(_pictures()), _CUTS, st.integers(0, 1 << 12))


_CELL = st.one_of(_TEXT, _PICTURE.map(lambda data: base64.b64encode(data).decode()), _JSON.map(repr))


_RECORDS = st.lists(
    _nearly({"index": 1, "prediction": "a"}, index=st.integers(0, 99), prediction=_TEXT, hit=st.booleans(), more=_JSON),
    min_size=1,
)


_YAML_WORDS = st.sampled_from(
    [
        "a: ",
        "&a ",
        "*a",
        "[",
        "]",
        "{",
        "}",
        "- ",
        "\n",
        "  ",
        "? ",
        ": ",
        "<<: ",
        "!!int ",
        "!!set ",
        "!!omap ",
        "!!binary ",
        "!!timestamp ",
        "!!python/name:os.system ",
        "'",
        '"',
        "|\n",
        ">\n",
        "#",
        "---\n",
        "0x",
        "1:60",
        "~",
    ]
)


_YAML = st.lists(st.one_of(_YAML_WORDS, _TEXT), max_size=30).map("".join)


_NEARLY_RECIPE = st.builds(
    lambda cuts: _mutated(shipped_recipe("tiny").encode(), cuts, 1).decode("utf-8", "replace"), _CUTS
)


_VALUE = st.one_of(st.integers(-2, 9).map(str), st.sampled_from(("true", "null", "0.5", "[]", "{}", "auto")), _YAML)


_LINES = st.lists(st.one_of(st.binary(max_size=60), _JSON.map(lambda v: json.dumps(v).encode())), max_size=6)


READERS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]] = {
    "pictures": (_PICTURE, readers.picture),
    "problems": (st.one_of(st.lists(_ROW, min_size=1, max_size=3), _LINES.map(b"\n".join)), readers.problem_rows),
    "run rows": (
        st.dictionaries(st.sampled_from((*Problem.__slots__, *Trajectory.__slots__)), _JSON),
        readers.run_rows,
    ),
    "recipes": (st.one_of(_YAML, _NEARLY_RECIPE), readers.recipe),
    "overrides": (st.builds("{}={}".format, st.one_of(st.sampled_from(known_keys()), _TEXT), _VALUE), readers.override),
    "YAML": (_YAML, readers.yaml),
    "tables": (st.tuples(st.sampled_from(SIX), st.lists(st.lists(_CELL, max_size=12), max_size=4)), readers.table),
    "predictions": (
        st.tuples(st.sampled_from((".tsv", ".csv", ".json", ".jsonl")), st.one_of(st.binary(), _LINES.map(b"\n".join)))
        | st.tuples(st.just(".json"), st.one_of(_RECORDS, _JSON).map(lambda value: json.dumps(value).encode())),
        readers.predictions,
    ),
    "own files": (
        st.sampled_from(sorted(_OWN)).flatmap(
            lambda name: st.tuples(st.just(name), st.dictionaries(st.sampled_from(("1", "v1_2", "x")), _OWN[name]))
        ),
        readers.own,
    ),
    "journals": (_LINES.map(b"\n".join), readers.journal),
    "answers": (st.tuples(_TEXT, _TEXT, st.sampled_from(AnswerType)), readers.judged),
}
