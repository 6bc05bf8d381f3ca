"""The parts of a checkpoint that all processes write (torch.distributed.checkpoint, in safetensors: no pickle on disk).

Any number of processes reads them, one without a process group included, and all read what a single one has written.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor

from metis_rise.errors import InputError
from metis_rise.policy.lora import write_adapters
from metis_rise.policy.optimizer import MASTER
from metis_rise.policy.parallel.policy import SharedPolicy

MODEL = "model"
ADAPTERS = "adapters.safetensors"
# A folder; one process writes a file beside it instead.
PARTS = "optimizer"
STEP = "step"
# What the optimizer keeps of a parameter.
STATE = (STEP, "exp_avg", "exp_avg_sq", MASTER)


def save_parts(folder: Path, policy: SharedPolicy, tensors: Mapping[str, Tensor]) -> None:
    """Write the model (by the first process), the adapters, and the optimizer's `tensors`, each process its own part.

    Collective; `folder` is there.
    """
    if policy.parallel.leads:
        (folder / MODEL).mkdir()
        (folder / PARTS).mkdir()
    dist.barrier()
    policy.write(folder / MODEL)
    if policy.lora is not None:
        values = policy.whole_adapters()
        if policy.parallel.leads:
            write_adapters(values, policy.lora, folder / ADAPTERS)
    # What is no matrix or vector cannot be cut, nor read as a part.
    state = {name: value.reshape(1) if value.ndim == 0 else value for name, value in tensors.items()}
    save(state, storage_writer=HuggingFaceStorageWriter(str(folder / PARTS), save_distributed=True))


def load_parts(folder: Path, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The optimizer's tensors in the checkpoint `folder`, cut as `parameters` are: collective where those are cut.

    InputError when the checkpoint is of other parameters.
    """
    found = folder / PARTS if (folder / PARTS).is_dir() else folder
    reader = HuggingFaceStorageReader(str(found))
    state: dict[str, Tensor] = {}
    for key, saved in reader.read_metadata().state_dict_metadata.items():
        name, _, part = key.rpartition(".")
        if part not in STATE:
            # A single process has written the adapters beside it.
            continue
        if name not in parameters:
            raise InputError(f"{folder}: holds an optimizer state of {name}, which is not trained here")
        assert isinstance(saved, TensorStorageMetadata)
        # Every process has the whole of what is no matrix or vector.
        like = None if part == STEP else parameters[name]
        state[key] = torch.zeros(saved.size) if like is None else torch.zeros_like(like, dtype=torch.float32)
    alone = not any(isinstance(value, DTensor) for value in parameters.values())
    with warnings.catch_warnings():
        # It says that it reads in a single process.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load(state, storage_reader=reader, no_dist=alone)
    return {key: value.reshape(()) if key.endswith(f".{STEP}") else value for key, value in state.items()}
