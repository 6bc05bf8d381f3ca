"""Where the servers of a job are: on which of its machines, at which ports. `rise launch` starts them there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from metis_rise.errors import InputError
from metis_rise.recipe import ClusterConfig

# Of the first server of a machine; those beside it have the ports that follow.
FIRST_PORT = 8000
THIS_MACHINE = "127.0.0.1"
SLURM, SKYPILOT = "SLURM_JOB_NODELIST", "SKYPILOT_NODE_IPS"

# The parts of Slurm's list are separated by commas outside of brackets; a part is text and bracketed numbers.
_COMMA = re.compile(r",(?![^\[]*\])")
_PART = re.compile(r"[^\[\],\s]*")
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")
# More machines than any cluster has: a range of more is a slip, and must not fill the memory.
_MOST_HOSTS = 100_000


def find_servers(cluster: ClusterConfig, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses of the servers of the job that this process is part of.

    The last `cluster.server_nodes` machines of the job serve, all of them where none is set apart; each has a server
    for every `cluster.tensor_parallel` of its GPUs. A job of one machine is not looked for: its servers are here.

    Args:
        cluster: what the job was launched with.
        environment: the process's variables; Slurm's or SkyPilot's names of the job's machines are read.

    Raises:
        InputError: not within such a job, or within one of another size.
    """
    hosts = [THIS_MACHINE] if cluster.nodes == 1 else job_hosts(environment)
    if len(hosts) != cluster.nodes:
        raise InputError(
            f"cluster.nodes = {cluster.nodes}: the job has {len(hosts)} machines, {hosts[0]} to {hosts[-1]}; make the "
            "launch file anew with `rise launch`, or set cluster.nodes"
        )
    ports = range(FIRST_PORT, FIRST_PORT + cluster.gpus_per_node // cluster.tensor_parallel)
    serving = hosts[-cluster.server_nodes :] if cluster.server_nodes else hosts
    return tuple(address(host, port) for host in serving for port in ports)


def job_hosts(environment: Mapping[str, str]) -> list[str]:
    """The machines of a Slurm or SkyPilot job, in the scheduler's order; InputError outside of any."""
    if names := environment.get(SLURM, "").strip():
        return expand_hosts(names)
    if addresses := environment.get(SKYPILOT, "").split():
        return addresses
    raise InputError(
        f"engine.urls = 'auto': this is no Slurm or SkyPilot job ({SLURM} and {SKYPILOT} are not set); start it with "
        "a file of `rise launch`, or name the servers: engine.urls=[http://HOST:8000]"
    )


def expand_hosts(names: str) -> list[str]:
    """The machines that Slurm's list names: "gpu[08-10],head" -> gpu08, gpu09, gpu10, head.

    This is what `scontrol show hostnames` prints, which is missing in most containers.

    Raises:
        InputError: no such list.
    """
    try:
        return [host for part in _COMMA.split(names) for host in _expand(part)]
    except ValueError:
        raise InputError(f"{SLURM} = {names[:80]!r}: is no list of machines such as gpu[01-04,7],head") from None


def address(host: str, port: int) -> str:
    """The URL of a server that listens there; an IPv6 address is bracketed."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _expand(name: str) -> Iterator[str]:
    """The names that one part stands for; ValueError where it is none."""
    before, bracket, rest = name.partition("[")
    numbers, closing, after = rest.partition("]")
    if not name or not _PART.fullmatch(before) or bool(bracket) != bool(closing):
        raise ValueError(name)
    if not bracket:
        yield before
        return
    ends = list(_expand(after)) if after else [""]
    for number in numbers.split(","):
        yield from (f"{before}{count}{end}" for count in _count(number) for end in ends)


def _count(numbers: str) -> Iterator[str]:
    """The numbers of "7" or "08-10", as wide as the first is written; ValueError for anything else."""
    match = _NUMBERS.fullmatch(numbers)
    if match is None:
        raise ValueError(numbers)
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 <= last - first < _MOST_HOSTS:
        raise ValueError(numbers)
    yield from (f"{number:0{len(match[1])}d}" for number in range(first, last + 1))
