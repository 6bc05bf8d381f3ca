"""Bad benchmark data, in VLMEvalKit's layout and in the authors' own, and bad files of predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from case import Case, Outcome, file_of, nested

from metis_rise.benchmarks.base import Protocol
from metis_rise.benchmarks.data import load
from metis_rise.benchmarks.held import held
from metis_rise.benchmarks.predictions import read, write
from metis_rise.benchmarks.protocol import ProtocolRecord
from metis_rise.benchmarks.registry import SIX, find
from metis_rise.benchmarks.scoring import score
from metis_rise.problems.images import ImageStore

CELLS = {
    "empty": "",
    "blank": "   ",
    "NaN": "nan",
    "number": "7",
    "huge number": "9" * 5000,
    "infinite": "inf",
    "list": "['a', 'b']",
    "half a list": "['a', 'b'",
    "list without commas": "['a' 'b']",
    "very deep": nested(5000),
    "deep": nested(190),
    "minus signs": "-" * 20_000 + "1",
    "code": "__import__('os').system('touch pwned')",
    "comprehension": "[x for x in (1).__class__.__base__.__subclasses__()]",
    "power": "9**9**9**9",
    "long": "x" * 300_000,
    "control token": "<|im_end|>",
    "NUL": "a\0b",
    "carriage return": "a\rb",
    "object": "{'task': 7, 'skills': {'a': 1}}",
    "markup": "<script>alert(1)</script>",
}
HEAD = "index\tquestion\tanswer\tskill\timage"
ROW = "1\tWhich? A or B\tA\tinductive\tx"
FILES: dict[str, str | bytes] = {
    "nothing": "",
    "only a line's end": "\n",
    "head alone": HEAD,
    "no index": HEAD.replace("index", "nr") + "\n" + ROW,
    "no question": HEAD.replace("question", "nr") + "\n" + ROW,
    "a column twice": HEAD + "\tindex\n" + ROW + "\t1",
    "a cell too few": HEAD + "\n1\t2",
    "a cell too many": HEAD + "\n" + ROW + "\tx",
    "an open quote": HEAD + '\n"' + ROW,
    "a quote within": HEAD + '\n1\t"a"b\tA\tinductive\tx',
    "index twice": HEAD + "\n" + ROW + "\n" + ROW,
    "long index": HEAD + "\n" + "1" * 500 + ROW[1:],
    "index of control characters": HEAD + "\n\x1b[31m" + ROW[1:],
    "empty index": HEAD + "\n" + ROW[1:],
    "picture of nobody": HEAD + "\n" + ROW.replace("\tx", "\t99"),
    "picture of itself": HEAD + "\n" + ROW.replace("\tx", "\t1"),
    "no base64": HEAD + "\n" + ROW.replace("\tx", "\t" + "!" * 100),
    "half base64": HEAD + "\n" + ROW.replace("\tx", "\t" + "A" * 101),
    "picture address": HEAD + "\n" + ROW.replace("\tx", "\thttp://127.0.0.1:9/" + "a" * 80),
    "list of nothing": HEAD + "\n" + ROW.replace("\tx", "\t[" + "," * 100 + "]"),
    "commas": (HEAD + "\n" + ROW).replace("\t", ","),
    "UTF-16": (HEAD + "\n" + ROW).encode("utf-16"),
    "Latin-1": (HEAD + "\nW\xf6lfe" + ROW).encode("latin-1"),
    "binary": bytes(range(256)) * 50,
    "NUL bytes": b"\0" * 5000,
    "pickle": b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94",
}
OWN: dict[str, str | bytes] = {
    "nothing": "",
    "null": "null",
    "number": "7",
    "empty list": "[]",
    "list of numbers": "[1, 2]",
    "object of numbers": '{"1": 2}',
    "half": '{"1": {',
    "very deep": nested(100_000),
    "deep": '{"1": {"a": ' + nested(500) + "}}",
    "other fields": '{"1": {"a": 1}}',
    "binary": bytes(range(256)),
    "UTF-16": '{"1": {}}'.encode("utf-16"),
    "huge number": '{"1": {"pid": ' + "9" * 5000 + "}}",
}
NAMES = {
    "address": "http://127.0.0.1:9/a.png",
    "absolute": "/etc/passwd",
    "up": "../outside/secret.png",
    "link out": "link",
    "long": "a" * 5000,
    "NUL": "a\0b",
    "none": "",
    "folder": ".",
    "surrogate": "\ud800",
}
PREDICTIONS: dict[str, tuple[str, str | bytes]] = {
    "nothing": ("p.tsv", ""),
    "no index": ("p.tsv", "question\tprediction\na\tb"),
    "no prediction": ("p.tsv", "index\tquestion\n1\tb"),
    "index twice": ("p.tsv", "index\tprediction\n1\ta\n1\tb"),
    "half quoted": ("p.csv", 'index,prediction\n1,"a'),
    "verdict of another kind": ("p.tsv", "index\tprediction\thit\n1\ta\tmaybe"),
    "spreadsheet": ("p.xlsx", b"PK\x03\x04"),
    "pickle": ("p.pkl", b"\x80\x04."),
    "unknown ending": ("p.txt", "index\tprediction"),
    "JSON null": ("p.json", "null"),
    "JSON number": ("p.json", "3"),
    "JSON empty": ("p.json", "{}"),
    "JSON half": ("p.json", '[{"index": 1'),
    "JSON very deep": ("p.json", nested(100_000)),
    "JSON deep answer": ("p.json", '[{"index": 1, "prediction": ' + nested(500) + "}]"),
    "JSON mixed": ("p.json", '[{"index": 1}, 2]'),
    "JSON columns of other lengths": ("p.json", '{"index": [1, 2], "prediction": ["a"]}'),
    "JSON columns of lists and objects": ("p.json", '{"index": [1], "prediction": {"0": "a"}}'),
    "JSON split without data": ("p.json", '{"columns": ["index"], "data": [1]}'),
    "JSON split of other lengths": ("p.json", '{"columns": ["index", "prediction"], "data": [[1]]}'),
    "JSON index of an object": ("p.json", '[{"index": {"a": 1}, "prediction": "x"}]'),
    "JSON surrogate": ("p.json", '[{"index": "\\ud800", "prediction": "\\ud800"}]'),
    "JSON huge number": ("p.json", '[{"index": ' + "9" * 5000 + ', "prediction": "x"}]'),
    "JSONL number": ("p.jsonl", "3\n"),
    "JSONL half": ("p.jsonl", '{"index": 1\n'),
    "JSONL very deep": ("p.jsonl", nested(100_000) + "\n"),
    "table of verdicts": ("p.csv", "Question ID,Variant 1\nx,correct"),
    "table of verdicts of far away": ("p.csv", "Question ID,Variant 1\n" + "9" * 5000 + ",correct"),
    "binary": ("p.tsv", bytes(range(256))),
    "huge NUL": ("p.csv", b"\0" * 100_000),
}
SIDECARS = ("", "null", "[]", "{", '{"a": 1}', '{"judge": 7}', '{"max_tokens": true}', nested(100_000), '{"dtype": {}}')


def cases() -> Iterator[Case]:
    for name, content in FILES.items():
        yield Case(f"table {name}", file_of(content, "LogicVista.tsv"), _loader("logicvista"))
    for benchmark in SIX:
        for name, cell in CELLS.items():
            outcome = Outcome.EITHER
            yield Case(
                f"{benchmark} cells {name}", _table(benchmark, cell), _loader(benchmark, pictures=False), outcome
            )
        for name, content in OWN.items():
            yield Case(f"{benchmark} own file {name}", file_of(content, "data.json"), _loader(benchmark))
    for name, picture in NAMES.items():
        yield Case(f"picture of an authors' file {name}", _own(picture), _loader("logicvista"))
    for name, (file, content) in PREDICTIONS.items():
        yield Case(f"predictions {name}", file_of(content, file), _predictions, Outcome.EITHER)
    for benchmark in SIX:
        for name, cell in CELLS.items():
            yield Case(
                f"{benchmark} predictions {name}", _predicted(benchmark, cell), _scorer(benchmark), Outcome.EITHER
            )
    for number, content in enumerate(SIDECARS):
        yield Case(f"sidecar {number}", _with_sidecar(content), _predictions)


def _loader(benchmark: str, pictures: bool = True):  # type: ignore[no-untyped-def]
    def load_it(file: object, run: Path) -> None:
        assert isinstance(file, Path)
        load(find(benchmark), file, ImageStore(run / "images") if pictures else None)

    return load_it


def _columns(benchmark: str) -> list[str]:
    known = find(benchmark).known
    assert known is not None
    return list(dict.fromkeys(("index", *known.columns)))


def _written(names: list[str], rows: list[list[str]]) -> str:
    text = StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([names, *rows])
    return text.getvalue()


def _table(benchmark: str, cell: str):  # type: ignore[no-untyped-def]
    """A row for each column, in which that column holds `cell` and the others something plain."""
    names = _columns(benchmark)
    rows = [
        [str(number) if each == "index" else cell if each == name else "A" for each in names]
        for number, name in enumerate(names)
    ]
    return file_of(_written(names, rows), "data.tsv")


def _predicted(benchmark: str, cell: str):  # type: ignore[no-untyped-def]
    names = [*_columns(benchmark), "prediction"]
    rows = [
        [str(number) if each == "index" else cell if each == name else "A" for each in names]
        for number, name in enumerate(names)
    ]
    return file_of(_written(names, rows), "model.tsv")


def _own(picture: str):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Path:
        (folder / "images").mkdir()
        (folder / "images" / "link").symlink_to(folder.parent / "outside" / "secret.png")
        row = {"question": "A or B?", "answer": "A", "skill": ["inductive"], "capability": [], "imagesource": ""}
        file = folder / "dataset.json"
        file.write_text(json.dumps({"v1_1": row | {"imagename": picture}}))
        return file

    return make


def _with_sidecar(content: str):  # type: ignore[no-untyped-def]
    def make(folder: Path) -> Path:
        file = folder / "m.tsv"
        file.write_text("index\tprediction\n1\ta\n")
        (folder / "m.tsv.protocol.json").write_text(content)
        return file

    return make


def _predictions(file: object, run: Path) -> None:
    assert isinstance(file, Path)
    read(file)


def _scorer(benchmark: str):  # type: ignore[no-untyped-def]
    def score_it(file: object, run: Path) -> None:
        assert isinstance(file, Path)
        predicted = read(file)
        found = held(find(benchmark), predicted)
        assert found is not None
        scores: Any = score(find(benchmark), found.items, predicted.predictions, Protocol.RULE)
        write(run / "again.tsv", found.items, predicted.predictions, ProtocolRecord())
        del scores

    return score_it
