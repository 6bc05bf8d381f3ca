"""The policy of a process that keeps a part of the model, as the others do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from transformers import GenerationConfig

from metis_rise.errors import InputError
from metis_rise.policy import lora as adapters
from metis_rise.policy.adapter_folder import write_adapter_folder
from metis_rise.policy.card import write_card
from metis_rise.policy.families import family_of
from metis_rise.policy.features import Picture, encode_pictures, tower_calls
from metis_rise.policy.folders import whole_folder
from metis_rise.policy.loading import pick_dtype
from metis_rise.policy.model import Policy
from metis_rise.policy.parallel.files import WeightFiles, write_files
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.policy.parallel.sharding import allocate, fill, made_whole, put, shard, whole
from metis_rise.policy.prompt import Prompt
from metis_rise.policy.weights import plain_parameters, whole_weights
from metis_rise.policy.writing import saved_names, write_configs, write_processor

T = TypeVar("T")


class SharedPolicy(Policy):
    """A policy whose parameters are DTensors: all that reads or writes them is done by all processes together.

    With `autocast` the parts are float32 and what is gathered of them for a pass is bfloat16, residual stream included.

    Attributes:
        parallel: the processes.
    """

    parallel: Parallel

    def __init__(self, model: Any, folder: Path, processor: Any, files: dict[str, Any], **settings: Any) -> None:
        """`model` is on the meta device, its weights are in `folder`; for the rest see `Policy`."""
        parallel: Parallel = settings.pop("parallel")
        super().__init__(model, processor, files, device=parallel.device, **settings)
        self.parallel = parallel
        self._root = shard(model, parallel, mixed=self.computes_in != self.dtype)
        allocate(self._root, model, parallel)
        self._read(folder)
        for parameter, draw in adapters.starts(model) if self.lora is not None else ():
            put(parameter, draw())
        # The first pass settles which module is the root; a block must not come before it.
        with torch.no_grad():
            self.at_root(tuple)

    @staticmethod
    def empty(folder: Path, dtype: torch.dtype) -> Any:
        """The model of `folder` without memory for its weights."""
        kind = family_of(folder).model
        config = kind.config_class.from_pretrained(str(folder), local_files_only=True)
        with torch.device("meta"):
            model = kind._from_config(config, dtype=dtype)
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(str(folder), local_files_only=True)
        return model.eval()

    def at_root(self, call: Callable[[], T]) -> T:
        """What `call` returns as a forward pass of the whole model: see `sharding.Root`."""
        found: T = self._root(call)
        return found

    def gathered(self) -> contextlib.AbstractContextManager[None]:
        """See `Policy.gathered`."""
        return made_whole(self._root)

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """No change: what is gathered of the weights has the right type already."""
        return contextlib.nullcontext()

    def encode_together(self, prompts: Sequence[Prompt], calls: int) -> dict[str, Tensor]:
        """Features of the pictures of `prompts` by digest, in `calls` calls of the frozen tower, needed or not."""
        if calls == 0:
            return self.features_of(prompts)
        missing = calls - tower_calls(list(self.unknown_pictures(prompts).values()))

        def encode() -> dict[str, Tensor]:
            found = self.features_of(prompts)
            for _ in range(missing):
                self.blank_features()
            return found

        return self.at_root(encode)

    def blank_features(self) -> Tensor:
        """The tower's answer to a picture of one token, to call it as often as others do."""
        side = self.model.config.vision_config.spatial_merge_size
        width = self.core.visual.patch_embed.proj.weight.shape[1:].numel()
        picture: Picture = (torch.zeros(side * side, width), torch.tensor([1, side, side]))
        with self.precision(), torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_vision):
            return encode_pictures(self.core, [picture], self.device)[0]

    def load_weights(self, folder: Path) -> None:
        """See `Policy.load_weights`; each process reads its own part."""
        if self.lora is not None:
            raise ValueError("adapters cannot be told from the weights that they were merged into")
        self._read(folder)
        self._features.clear()

    def save(self, folder: Path, dtype: str | None = None) -> None:
        """See `Policy.save`; the folder is there for every process when this returns."""
        with shared_folder(Path(folder), self.parallel) as target:
            self.write(target, dtype)

    def write(self, target: Path, dtype: str | None = None) -> None:
        """See `Policy.write`; the first process writes, one tensor in memory at a time."""
        stored = self.dtype if dtype is None else pick_dtype(dtype)
        plain = plain_parameters(self)
        tensors = (value for _, value in whole_weights(self, stored))
        added = self.whole_adapters()
        if self.parallel.leads:
            names = saved_names(self.model, plain)
            write_files(target, [(names[name], tuple(plain[name].shape)) for name in plain], stored, tensors)
            write_configs(target, self.model, stored)
            write_processor(target, self.processor, self._files)
            write_card(target, type(self.model).__name__, self.system)
            if self.lora is not None:
                write_adapter_folder(target, added, self.lora, self.base)
        else:
            exhaust(tensors)
        dist.barrier()

    def whole_adapters(self) -> list[tuple[str, Tensor]]:
        """Name and value of what the adapters consist of, in the host's memory (collective); none without adapters."""
        return [(name, whole(value).cpu()) for name, value in adapters.adapter_values(self.model)]

    def _read(self, folder: Path) -> None:
        """Fill the parts from the weights in `folder`; InputError when one is missing or has another shape."""
        files, named = WeightFiles(folder), plain_parameters(self)
        # Published folders and ours have the names of `saved_names`, others those of the modules.
        sources = {name: other if other in files else name for name, other in saved_names(self.model, named).items()}
        if missing := sorted(name for name, source in sources.items() if source not in files):
            raise InputError(f"{folder}: the weights lack {len(missing)} tensor(s), the first is {missing[0]}")
        for name, parameter in named.items():
            source = sources[name]
            if files.shape(source) != tuple(parameter.shape):
                found, needed = files.shape(source), tuple(parameter.shape)
                raise InputError(f"{folder}: the weights of {source} have the shape {found}, config.json says {needed}")
            fill(parameter, partial(files.rows, source))


@contextlib.contextmanager
def shared_folder(target: Path, parallel: Parallel) -> Iterator[Path]:
    """`whole_folder` for all processes, which write into the same one."""
    with whole_folder(target) if parallel.leads else contextlib.nullcontext(_beside(target)) as temporary:
        dist.barrier()
        yield temporary
        dist.barrier()
    dist.barrier()


def _beside(target: Path) -> Path:
    return target.parent / f".{target.name}.writing"


def exhaust(values: Iterable[object]) -> None:
    """Take them all."""
    for _ in values:
        pass
