"""Servers that all tests here share, and engines on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import install
import pytest
from setting import Connect, World, make_engine, write_tied
from vllm_server import Server

from metis_rise.engines.server.engine import ServerEngine
from metis_rise.policy.model import Policy
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import make_problems


@dataclass(frozen=True)
class Servers:
    """One of the shipped base, and one of a model whose head is tied to its embeddings, in `folder`."""

    base: Server
    tied: Server
    folder: Path


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """They start at once, and whoever needs one waits for that one."""
    install.main()
    scratch = tmp_path_factory.mktemp("servers")
    folder = write_tied(scratch)
    base, tied = Server("tiny", scratch / "base.log"), Server(str(folder / "tied"), scratch / "tied.log")
    yield Servers(base, tied, folder)
    for server in (base, tied):
        server.interrupt()
    for server in (base, tied):
        server.end()


@pytest.fixture
def base(_servers: Servers) -> Server:
    """A server of the shipped base, whose output head is its own."""
    return _servers.base.ready()


@pytest.fixture
def tied(_servers: Servers) -> Server:
    """A server of a model whose output head is its embeddings."""
    return _servers.tied.ready()


@pytest.fixture
def tied_policy(_servers: Servers) -> Policy:
    """The model of `tied`."""
    return Policy.load(_servers.folder / "tied", device="cpu")


@pytest.fixture
def twin_policy(_servers: Servers) -> Policy:
    """The model of `tied` with a head of its own, which both servers can take over."""
    return Policy.load(_servers.folder / "twin", device="cpu")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One problem of each family and level."""
    store = ImageStore(tmp_path_factory.mktemp("images"))
    return World(make_problems("train", 1, 0, store), store)


@pytest.fixture
def policy() -> Policy:
    """The shipped base in float32, vision tower trained too."""
    return Policy.load("tiny", device="cpu", freeze_vision=False)


@pytest.fixture
def connect(world: World, tmp_path: Path) -> Iterator[Connect]:
    """Makes engines on the servers at some addresses; they are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make(policy: Policy, *urls: str, warn: Callable[[str], None] = print, concurrency: int = 8) -> ServerEngine:
            engine = make_engine(world, tmp_path / "weights", policy, urls, warn, concurrency)
            stack.callback(engine.close)
            return engine

        yield make
