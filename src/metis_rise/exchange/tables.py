"""Parquet with the pictures inside, as Hugging Face `datasets` reads it: for TRL, and flat for anything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from metis_rise.errors import InputError
from metis_rise.exchange.sft_set import Example, SFTSet
from metis_rise.problems.images import ImageStore

# Rows of one row group: what is held in memory at a time.
ROWS = 256
TEXT: dict[str, Any] = {"dtype": "string", "_type": "Value"}
INTEGER: dict[str, Any] = {"dtype": "int64", "_type": "Value"}
FLOAT: dict[str, Any] = {"dtype": "float64", "_type": "Value"}
IMAGES: dict[str, Any] = {"feature": {"_type": "Image"}, "_type": "List"}
_TURNS: dict[str, Any] = {
    "feature": {"role": TEXT, "content": {"feature": {"type": TEXT, "text": TEXT}, "_type": "List"}}
}
_TURNS |= {"_type": "List"}
_REST: dict[str, Any] = {
    "id": TEXT,
    "source": TEXT,
    "solve_rate": FLOAT,
    "round": INTEGER,
}


def write_trl(found: SFTSet, folder: Path) -> str:
    """train.parquet with prompt, completion (chat messages) and images, for SFTTrainer. Returns how to load it."""

    def row(example: Example) -> dict[str, Any]:
        said = [{"role": "assistant", "content": [{"type": "text", "text": example.completion}]}]
        return {"prompt": [_whole(m) for m in found.messages(example)], "completion": said}

    _write(found, folder, {"prompt": _TURNS, "completion": _TURNS}, row)
    return f"datasets.load_dataset('parquet', data_files='{folder / 'train.parquet'}', split='train')"


def write_parquet(found: SFTSet, folder: Path) -> str:
    """train.parquet with one plain column for each thing. Returns how to load it."""
    texts = ("system", "question", "answer", "completion", "family")

    def row(example: Example) -> dict[str, Any]:
        problem = example.problem
        values = (found.system, problem.question, problem.answer, example.completion, problem.family)
        return dict(zip(texts, values, strict=True)) | {"level": problem.level}

    _write(found, folder, dict.fromkeys(texts, TEXT) | {"level": INTEGER}, row)
    return f"pandas.read_parquet('{folder / 'train.parquet'}')"


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    """The message with the same keys in each part: a column has one type."""
    return {**message, "content": [{"type": p["type"], "text": p.get("text")} for p in message["content"]]}


def _write(found: SFTSet, folder: Path, features: dict[str, Any], row: Callable[[Example], dict[str, Any]]) -> None:
    folder.mkdir(parents=True)
    write_table(folder / "train.parquet", features | {"images": IMAGES} | _REST, _rows(found, row))


def write_table(path: Path, features: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Writes rows as parquet, `ROWS` of them in memory at a time.

    Args:
        path: the file.
        features: the columns as Hugging Face `datasets` writes them down.
        rows: plain values; a picture is {"bytes", "path"}.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow, parquet = _pyarrow()
    schema = pyarrow.schema([(name, _arrow(pyarrow, feature)) for name, feature in features.items()])
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    with parquet.ParquetWriter(path, schema) as writer:
        rest = iter(rows)
        while batch := list(islice(rest, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=schema))


def picture(images: ImageStore, key: str) -> dict[str, Any]:
    """The value of a stored picture in a column of pictures. Raises InputError as `ImageStore.read` does."""
    return {"bytes": images.read(key), "path": images.path(key).name}


def _rows(found: SFTSet, row: Callable[[Example], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for example in tqdm(found.examples, desc="export", unit="example", leave=False, delay=2):
        pictures = [picture(found.images, key) for key in example.problem.images]
        rest = {"id": example.id, "source": example.source, "solve_rate": example.solve_rate, "round": example.round}
        yield row(example) | {"images": pictures} | rest


def _arrow(pyarrow: Any, feature: dict[str, Any]) -> Any:
    """The arrow type of a feature as Hugging Face `datasets` writes it down."""
    kind = feature.get("_type")
    if kind == "Value":
        return getattr(pyarrow, feature["dtype"])()
    if kind == "Image":
        return pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    if kind == "List":
        return pyarrow.list_(_arrow(pyarrow, feature["feature"]))
    return pyarrow.struct([(name, _arrow(pyarrow, part)) for name, part in feature.items()])


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("parquet files need pyarrow: pip install 'metis-rise[export]'") from error
    return pyarrow, parquet
