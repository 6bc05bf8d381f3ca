"""Pictures cut into the patches that a vision tower reads; run as a module, a helper process that does it (`serve`).

Imports no torch: a helper is ready in a second and takes 70 MB.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from metis_rise.crew.serving import Answer, serve
from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A picture as the model takes it.

    patches: [patches, patch dim] float32.
    grid: [3] int64, the patch grid.
    key: digest of both; equal keys mean equal pictures.
    """

    patches: NDArray[np.float32]
    grid: NDArray[np.int64]
    key: str


def cut(image_processor: Any, image: Image.Image) -> Cut:
    """`image` in patches, as transformers' `image_processor` resizes, scales and orders them."""
    features = image_processor([image], return_tensors="np")
    patches, grid = np.ascontiguousarray(features["pixel_values"]), features["image_grid_thw"][0]
    return Cut(patches, grid, digest(patches, grid))


def digest(patches: NDArray[np.float32], grid: NDArray[np.int64]) -> str:
    """The digest of a picture's patches and grid, in hex."""
    found = hashlib.blake2b(np.ascontiguousarray(patches).data, digest_size=16)
    found.update(np.ascontiguousarray(grid).data)
    return found.hexdigest()


def settings_of(store: ImageStore, image_processor: Any) -> dict[str, Any]:
    """What a helper has to be told, as JSON values."""
    return {"folder": str(store.folder.resolve()), "processor": image_processor.to_dict()}


def read_answer(values: dict[str, Any], data: bytearray) -> Cut:
    """The picture that a helper has cut; InputError where the store has no sound picture of that key."""
    if "fault" in values:
        raise InputError(values["fault"])
    patches = np.frombuffer(data, np.float32).reshape(values["shape"])
    return Cut(patches, np.array(values["grid"], np.int64), values["key"])


def _begin(settings: dict[str, Any]) -> Answer:
    # The processor takes numpy alone; that transformers finds no torch it would say on standard error.
    sys.modules["torch"] = None  # type: ignore[assignment]
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    store = ImageStore(Path(settings["folder"]))
    processor: Any = Qwen2VLImageProcessorPil.from_dict(settings["processor"])

    def answer(job: dict[str, Any]) -> tuple[dict[str, Any], memoryview]:
        try:
            done = cut(processor, store.open(job["picture"]))
        except InputError as error:
            return {"fault": str(error)}, memoryview(b"")
        values = {"shape": done.patches.shape, "grid": done.grid.tolist(), "key": done.key}
        return values, done.patches.data.cast("B")

    return answer


if __name__ == "__main__":
    serve(_begin)
