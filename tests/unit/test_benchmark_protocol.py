"""The protocol record: one line that hides nothing, JSON that comes back, and what makes two scores comparable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest

from metis_rise import __version__
from metis_rise.benchmarks.protocol import COMPARED, NO_SYSTEM, ProtocolRecord, system_sha, versions
from metis_rise.errors import InputError

FULL = ProtocolRecord(
    protocol="judge",
    style="rise",
    system_sha="0123456789ab",
    judge={"model": "some-judge", "undecided": 2},
    min_pixels=3136,
    max_pixels=1003520,
    decoding={"temperature": 0.6, "top_p": 0.95, "samples": 4, "seed": 7},
    max_tokens=2048,
    engine="native",
    dtype="bfloat16",
    versions={"metis-rise": "9.9", "torch": "2.13"},
    truncated=0.0123,
    data_md5="f199b98e178e5a2a20e7048f5dcb0464",
    subset="20/1000",
)


def test_the_line_says_everything():
    line = FULL.line()
    for part in (
        "protocol judge by some-judge",
        "style rise",
        "system 0123456789ab",
        "at least 3136 and at most 1003520 pixels",
        "temperature=0.6 top_p=0.95 samples=4 seed=7",
        "at most 2048 tokens",
        "1.2 % truncated",
        "engine native",
        "bfloat16",
        "metis-rise 9.9 torch 2.13",
        "data f199b98e",
        "subset 20/1000",
    ):
        assert part in line
    assert "unknown" not in line


def test_the_line_names_what_is_unknown():
    line = ProtocolRecord(protocol="rule", system_sha=NO_SYSTEM, max_pixels=9).line()
    said, _, unknown = line.partition(" · unknown: ")
    assert said == "protocol rule · no system prompt · at most 9 pixels · whole set"
    assert unknown == "style, decoding, tokens, truncated, engine, dtype, versions, data"


def test_json_comes_back():
    assert ProtocolRecord.from_json(json.loads(json.dumps(FULL.to_json())), "here") == FULL
    assert ProtocolRecord.from_json(ProtocolRecord().to_json(), "here") == ProtocolRecord()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"stile": "rise"}, "unknown key 'stile'"),
        ({"max_tokens": "many"}, "max_tokens is 'many'; write a whole number"),
        ({"max_tokens": True}, "max_tokens is True"),
        ({"decoding": 1}, "decoding is 1; write an object"),
        ({"truncated": "1 %"}, "truncated is '1 %'"),
    ],
)
def test_a_bad_value_is_named(row: dict[str, object], said: str):
    with pytest.raises(InputError, match=r"^side\.json: ") as caught:
        ProtocolRecord.from_json(row, "side.json")
    assert said in str(caught.value)


def test_records_differ_in_how_answers_are_made_and_judged_but_not_in_what_came_out():
    assert FULL.differences(replace(FULL, truncated=None, data_md5=None, subset=None, versions={})) == ()
    assert FULL.differences(replace(FULL, protocol="rule", judge=None)) == ("protocol", "judge")
    assert FULL.differences(replace(FULL, max_pixels=None)) == ("max_pixels",)
    shown_only = {"versions", "truncated", "data_md5", "subset"}
    assert {*COMPARED, *shown_only} == {each.name for each in fields(ProtocolRecord)}


def test_a_system_prompt_has_a_name():
    assert system_sha("Think first.") == hashlib.sha256(b"Think first.").hexdigest()[:12]
    assert system_sha(None) == system_sha("") == NO_SYSTEM


def test_versions_are_told():
    assert versions()["metis-rise"] == __version__
