"""Ways to compute the attention of a packed row, all exact; one is chosen by device and type of the numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metis_rise.errors import InputError
from metis_rise.policy.backends import cascade, sdpa, varlen
from metis_rise.policy.layout import Attend

AUTO, SDPA, CASCADE, VARLEN = "auto", "sdpa", "cascade", "varlen"


@dataclass(frozen=True, slots=True)
class Backend:
    """A way to attend, and why it was taken."""

    name: str
    reason: str
    attend: Attend


def choose(name: str, device: torch.device, dtype: torch.dtype) -> Backend:
    """The backend called `name`, "auto" for the fastest one that serves `device` and `dtype` (of the queries).

    Raises InputError for a name that is none, or one that cannot serve here.
    """
    faults = {SDPA: None, CASCADE: _cascade_fault(device), VARLEN: _varlen_fault(device, dtype)}
    functions: dict[str, Attend] = {SDPA: sdpa.attend, CASCADE: cascade.attend, VARLEN: varlen.attend}
    if name == AUTO:
        fastest = VARLEN if device.type == "cuda" else CASCADE if device.type == "cpu" else SDPA
        fault = faults[fastest]
        if fault is None:
            return Backend(fastest, f"the fastest on {device.type} in {_short(dtype)}", functions[fastest])
        return Backend(SDPA, f"{fastest} is faster but {fault}", functions[SDPA])
    if name not in faults:
        raise InputError(f"attention {name!r} is not one of {', '.join((AUTO, *faults))}")
    fault = faults[name]
    if fault is not None:
        raise InputError(f"attention {name!r} {fault}; take {AUTO!r}")
    return Backend(name, "as asked", functions[name])


def _cascade_fault(device: torch.device) -> str | None:
    return None if device.type == "cpu" else f"runs on the CPU only, not on {device.type}"


def _varlen_fault(device: torch.device, dtype: torch.dtype) -> str | None:
    if dtype not in varlen.DTYPES:
        return f"needs bfloat16 or float16, not {_short(dtype)}"
    return varlen.fault(device)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
