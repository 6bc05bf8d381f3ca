"""JSON of others is read as JSON, as far as it can be followed afterwards."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.json_text import MAX_DEPTH, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=200,
)


@given(VALUES)
def test_what_json_writes_is_read(value: object) -> None:
    assert parse_json(json.dumps(value)) == parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_only_so_many_levels(opening: str, closing: str) -> None:
    levels = MAX_DEPTH // (2 if opening.startswith("[{") else 1)
    whole = opening * levels + "1" + closing * levels
    # Brackets in a text are none, and many beside each other are not deep.
    assert parse_json(whole) == json.loads(whole)
    assert parse_json(json.dumps(["[" * 500, [[]] * 500]))
    for more in (1, 500, 100_000):
        with pytest.raises(ValueError, match="nested more than 64 deep"):
            parse_json(opening * (levels + more) + "1" + closing * (levels + more))


def test_a_caller_may_allow_more_levels() -> None:
    text = "[" * 70 + "]" * 70
    assert parse_json(text, depth=70) == json.loads(text)
    with pytest.raises(ValueError, match="nested more than 69 deep"):
        parse_json(text, depth=69)


@pytest.mark.parametrize("text", [b"\xff", "9" * 5000, "{", ""])
def test_other_faults_are_value_errors(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_strictly_there_is_no_NaN() -> None:
    assert parse_json("[NaN]") != []
    with pytest.raises(ValueError, match="NaN is not JSON"):
        parse_json("[NaN]", strict=True)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]'])
def test_strictly_a_name_is_there_once(text: str) -> None:
    assert parse_json(text) == json.loads(text)
    with pytest.raises(ValueError, match="the name 'a' is there twice"):
        parse_json(text, strict=True)


@given(VALUES)
def test_strictly_the_same_is_read(value: object) -> None:
    assert parse_json(json.dumps(value), strict=True) == value


def test_brackets_of_a_text_count_no_more_than_escapes_end_it() -> None:
    text = json.dumps({"latex": '\\frac{1}{2} \\" [' * 100, "deep": None})
    assert parse_json(text)["latex"].count("{") == 200
    with pytest.raises(ValueError, match="nested more than 64 deep"):
        parse_json(text.replace("null", "[" * 70 + "]" * 70))
