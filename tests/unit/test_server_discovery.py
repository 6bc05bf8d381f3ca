from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.engines.server.discovery import expand_hosts, find_servers
from metis_rise.errors import InputError
from metis_rise.recipe import ClusterConfig, load_recipe
from metis_rise.stages.serving import server_urls

words = st.from_regex(r"[a-z][a-z0-9-]{0,5}", fullmatch=True)


@st.composite
def lists(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A list as Slurm writes it, and the machines that it stands for."""
    parts, hosts = [], []
    for _ in range(draw(st.integers(1, 4))):
        before, after = draw(words), draw(st.sampled_from(["", "-ib", ".cluster"]))
        if draw(st.booleans()):
            parts.append(before + after)
            hosts.append(before + after)
            continue
        width, ranges = draw(st.integers(1, 4)), []
        for _ in range(draw(st.integers(1, 3))):
            first = draw(st.integers(0, 900))
            last = first + draw(st.integers(0, 20))
            # One number stands without its end half of the time, as Slurm writes it.
            ends = [f"{first:0{width}d}"] + ([f"{last:0{width}d}"] if last > first or draw(st.booleans()) else [])
            ranges.append("-".join(ends))
            hosts += [f"{before}{number:0{len(ends[0])}d}{after}" for number in range(first, last + 1)]
        parts.append(f"{before}[{','.join(ranges)}]{after}")
    return ",".join(parts), hosts


@given(lists())
def test_a_list_stands_for_its_machines_in_order(found: tuple[str, list[str]]):
    names, hosts = found
    assert expand_hosts(names) == hosts


def test_numbers_keep_their_zeros_and_may_stand_at_several_places():
    assert expand_hosts("gpu[08-10],head") == ["gpu08", "gpu09", "gpu10", "head"]
    assert expand_hosts("r[1-2]n[3,05-06]x") == ["r1n3x", "r1n05x", "r1n06x", "r2n3x", "r2n05x", "r2n06x"]


@pytest.mark.parametrize(
    "names",
    ["a[", "a[]", "a[1-", "a[1,x]", "a[1,2-3-4]", "a[3-1]", "a,,b", "a]b", "a[1-99999999]", "a b", ",", "a[1]]"],
)
def test_what_is_no_list_is_refused_whole(names: str):
    with pytest.raises(InputError, match="is no list of machines"):
        expand_hosts(names)


def test_the_last_machines_of_a_slurm_job_serve():
    cluster = ClusterConfig(gpu="h100-80gb", nodes=4, gpus_per_node=8, server_nodes=2, tensor_parallel=4)
    assert find_servers(cluster, {"SLURM_JOB_NODELIST": "n[09-12]"}) == (
        "http://n11:8000",
        "http://n11:8001",
        "http://n12:8000",
        "http://n12:8001",
    )


def test_all_machines_serve_where_none_is_set_apart_and_one_machine_is_this_one():
    cluster = ClusterConfig(gpu="h100-80gb", nodes=2, gpus_per_node=2, tensor_parallel=2)
    assert find_servers(cluster, {"SKYPILOT_NODE_IPS": "10.0.0.1\nfd00::2\n"}) == (
        "http://10.0.0.1:8000",
        "http://[fd00::2]:8000",
    )
    alone = ClusterConfig(gpu="h100-80gb", gpus_per_node=2)
    assert find_servers(alone, {}) == ("http://127.0.0.1:8000", "http://127.0.0.1:8001")


def test_a_run_asks_the_servers_that_it_names_or_those_of_its_job(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "a,b")
    asked = ["engine.kind=server", "cluster.gpu=l40s-48gb", "cluster.nodes=2", "cluster.server_nodes=1"]
    named = load_recipe("tiny", [*asked, "engine.urls=[http://c:1]"])
    assert server_urls(named) == ("http://c:1",)
    found = load_recipe("tiny", [*asked, "engine.urls=auto", "cluster.tensor_parallel=8"])
    assert server_urls(found) == ("http://b:8000",)


def test_outside_of_a_job_and_in_one_of_another_size_the_mend_is_named():
    cluster = ClusterConfig(gpu="h100-80gb", nodes=2, server_nodes=1)
    with pytest.raises(InputError, match=r"no Slurm or SkyPilot job.*engine\.urls=\[http"):
        find_servers(cluster, {})
    with pytest.raises(InputError, match=r"cluster\.nodes = 2: the job has 3 machines, n1 to n3"):
        find_servers(cluster, {"SLURM_JOB_NODELIST": "n[1-3]"})
