"""Bad recipes and overrides."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from case import Case, Outcome, file_of, nested

from metis_rise.recipe import load_recipe, resolved
from metis_rise.recipe.faults import known_keys

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS: dict[str, str | bytes] = {
    "nothing": "",
    "a list": "- 1",
    "a text": "hello",
    "a number": "3",
    "half a list": "a: [1, 2",
    "tabs": "a:\n\tb: 1",
    "a key twice": "seed: 1\nseed: 2",
    "two documents": "seed: 1\n---\nseed: 2",
    "NUL": "seed: \0",
    "UTF-16": "seed: 1".encode("utf-16"),
    "Latin-1": "name: f\xfcnf".encode("latin-1"),
    "binary": bytes(range(256)),
    "billion laughs": BOMB + "name: *i",
    "holds itself": "name: &a [*a]",
    "key that holds itself": "&a {*a : 1}",
    "undefined alias": "name: *nobody",
    "list as key": "? [a]\n: 1",
    "object as key": "{{a: 1}: 2}",
    "number as key": "1: 2",
    "null as key": "null: 2",
    "merge of a number": "<<: 3",
    "merge of itself": "a: &a\n  <<: *a",
    "very deep list": "name: " + nested(5000),
    "very deep object": nested(3000, "{a: ", "}"),
    "very deep block": "".join(" " * depth + "a:\n" for depth in range(900)),
    "huge": "a: [" + "1, " * 100_000 + "]",
    "huge number": "seed: " + "9" * 5000,
    "infinite": "rl:\n  learning_rate: .inf",
    "no number": "rl:\n  learning_rate: .nan",
    "negative": "seed: -1",
    "python object": "!!python/object/apply:os.system ['touch pwned']",
    "python name": "name: !!python/name:os.system",
    "python module": "name: !!python/module:os",
    "tag int": "seed: !!int foo",
    "empty tag int": "seed: !!int ''",
    "tag float": "seed: !!float ''",
    "tag bool": "seed: !!bool maybe",
    "tag time": "seed: !!timestamp x",
    "tag binary": "name: !!binary 'no base64 \xe9'",
    "tag set": "name: !!set {a, b}",
    "tag pairs": "name: !!pairs [1]",
    "unknown tag": "name: !mine x",
    "0b_": "seed: 0b_",
    "key in the address": "judge: {url: 'http://user:hunter22@host/v1', model: m}",
    "key behind the address": "judge: {url: 'http://host/v1?key=hunter22', model: m}",
    "key for its variable": "judge: {url: 'http://host/v1', model: m, api_key_env: sk-hunter22}",
    "no address": "judge: {url: 'file:///etc/passwd', model: m}",
}
OVERRIDES = (
    "",
    "=",
    "=1",
    "seed",
    "seed=",
    "seed=[",
    "seed.x=1",
    "rl..x=1",
    ".=1",
    "sft.stages.99.epochs=1",
    "sft.stages.-1.epochs=1",
    "sft.stages.x.epochs=1",
    "sft.stages.\u0663.epochs=1",
    "sft.stages.0.0.0=1",
    "name=../../escape",
    "name=a/b",
    "name=!!python/object:os.system",
    "problems.kind=[[[[",
    "seed=" + "9" * 5000,
    "a" * 5000 + "=1",
    "__class__=1",
    "rl.__init__=1",
)
# One of these for each key of a recipe, in turn: all are wrong for most, and right for some.
ROTATING = ("[[]]", "{a: {b: c}}", "-1", "1e999", "'" + "x" * 5000 + "'", "null", "true", "!!set {a}", "[1, [2]]", "''")


def cases() -> Iterator[Case]:
    for name, text in TEXTS.items():
        outcome = Outcome.EITHER if name in ("nothing", "negative", "tag binary") else Outcome.REFUSED
        yield Case(f"recipe: {name}", file_of(text, "mine.yaml"), _recipe, outcome)
    for override in OVERRIDES:
        yield Case(f"override {override[:40]}", _given(override), _override, Outcome.EITHER)
    for key, value in zip(known_keys(), cycle(ROTATING), strict=False):
        yield Case(f"recipe key {key}", _given(f"{key}={value}"), _override, Outcome.EITHER)


def _given(override: str):  # type: ignore[no-untyped-def]
    return lambda folder: override


def _recipe(file: object, run: Path) -> None:
    try:
        resolved(load_recipe(str(file)))
    except Exception as error:
        assert "hunter22" not in str(error)
        raise


def _override(override: object, run: Path) -> None:
    resolved(load_recipe("tiny", [str(override)]))
