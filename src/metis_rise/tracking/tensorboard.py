"""TensorBoard: event files in the run's folder, one folder per curve set. See them with: tensorboard --logdir runs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from metis_rise.tracking.base import COLUMNS, Sample, TrackedRun


class Events:
    """Writers of event files, made when a curve set has its first row.

    Each has a folder of its own because steps count anew in each. Files of earlier attempts lie beside: TensorBoard
    shows them as one.
    """

    def __init__(self, run: TrackedRun) -> None:
        self._folder = run.folder / "tensorboard"
        self._writers: dict[str, EventFileWriter] = {}

    def scalars(self, curve: str, step: int, at: float, values: Mapping[str, float]) -> None:
        """A tag per value, such as "rl/reward"."""
        found = [Summary.Value(tag=f"{curve}/{name}", simple_value=value) for name, value in values.items()]
        self._write(curve, step, at, found)

    def samples(self, name: str, step: int, rows: Sequence[Sample]) -> None:
        """The table as text, in markdown, and its pictures numbered as its rows."""
        pictures = [(number, row.picture) for number, row in enumerate(rows, 1) if row.picture is not None]
        found = [Summary.Value(tag=f"{name}/picture {number}", image=_image(picture)) for number, picture in pictures]
        text = make_tensor_proto([_markdown(rows)])
        metadata = create_summary_metadata(display_name=name, description="")
        self._write(name, step, time.time(), [*found, Summary.Value(tag=name, metadata=metadata, tensor=text)])

    def close(self, done: bool) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()

    def _write(self, name: str, step: int, at: float, values: Sequence[Any]) -> None:
        if name not in self._writers:
            self._writers[name] = EventFileWriter(str(self._folder / name))
        self._writers[name].add_event(Event(step=step, wall_time=at, summary=Summary(value=values)))
        # What counts as sent must be on disk.
        self._writers[name].flush()


open_tracker = Events


def _image(picture: Image.Image) -> Any:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return Summary.Image(
        height=picture.height, width=picture.width, colorspace=3, encoded_image_string=buffer.getvalue()
    )


def _markdown(rows: Sequence[Sample]) -> str:
    lines = [["row", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for number, row in enumerate(rows, 1):
        cells = row.cells(lambda picture: f"{picture.width}x{picture.height}")
        lines.append([str(number), *("" if cell is None else _plain(str(cell)) for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Markdown that shows `text` as it is: all that could mean something is written as a number."""
    return "".join(char if char.isalnum() or char == " " else f"&#{ord(char)};" for char in text.replace("\n", "⏎"))
