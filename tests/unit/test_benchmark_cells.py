"""Cells of benchmark files: lists, dicts, numbers, options; nothing is run, every fault names its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Row
from metis_rise.errors import InputError

PLACE = "data.tsv row 3 index 17"


def row(**columns: str) -> Row:
    return Row("17", columns, PLACE)


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


@given(st.lists(TEXT, max_size=5))
def test_a_list_is_read_back_from_python_and_from_json(values: list[str]):
    assert cells.strings(row(c=repr(values)), "c") == tuple(values)
    assert cells.strings(row(c=json.dumps(values)), "c") == tuple(values)


@given(st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=4))
def test_a_dict_is_read_back_from_python_and_from_json(values: dict[str, object]):
    assert cells.mapping(row(c=repr(values)), "c") == values
    assert cells.mapping(row(c=json.dumps(values)), "c") == values


@given(st.text(max_size=40))
def test_any_cell_is_read_or_named(cell: str):
    for read in (cells.strings, cells.mapping, cells.integer):
        try:
            read(row(c=cell), "c")
        except InputError as error:
            assert str(error).startswith(f"{PLACE}: column 'c' is ") and "\n" not in str(error)


def test_numbers_in_a_list_become_text_as_they_stand():
    assert cells.strings(row(c="[145, 2.50, 'x']"), "c") == ("145", "2.5", "x")


@pytest.mark.parametrize("cell", ["", "  ", "nan", "NaN", "None", "null"])
def test_an_empty_cell_is_an_empty_list_and_dict(cell: str):
    assert cells.strings(row(c=cell), "c") == ()
    assert cells.mapping(row(c=cell), "c") == {}


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("['a', 'b'", "not a Python or JSON literal"),
        ("__import__('os').system('touch harm')", "not a Python or JSON literal"),
        ("[i for i in range(3)]", "not a Python or JSON literal"),
        ("(" * 5000 + ")" * 5000, "not a Python or JSON literal"),
        ("-" * 5000 + "1", "not a Python or JSON literal"),
        ("-" * 100_000 + "1", "not a Python or JSON literal"),
        ("['A' 'B' 'C']", "without a comma"),
        ("['A'\n 'B']", "without a comma"),
        ("'geometry'", "not a list"),
        ("{'a': 1}", "not a list"),
        ("[['a'], 'b']", "not a list of texts"),
        ("[None]", "not a list of texts"),
        ("['" + "x" * cells.MAX_CHARS + "']", "characters, more than"),
    ],
)
def test_what_is_no_list_is_named(cell: str, told: str):
    with pytest.raises(InputError, match=told) as caught:
        cells.strings(row(c=cell), "c")
    assert str(caught.value).startswith(f"{PLACE}: column 'c' is ")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("cell", ["['a']", "{1: 'a'}", "{['a']: 1}", "{'split'}"])
def test_what_is_no_dict_is_named(cell: str):
    with pytest.raises(InputError, match="column 'c' is "):
        cells.mapping(row(c=cell), "c")


def test_a_latex_escape_in_a_list_survives():
    assert cells.strings(row(c=r"['$\\frac{1}{2}$', '\sqrt{2}']"), "c") == (r"$\frac{1}{2}$", r"\sqrt{2}")


@pytest.mark.parametrize(("cell", "number"), [("2", 2), ("2.0", 2), (" 2 ", 2), ("-1", -1), ("", None), ("nan", None)])
def test_a_whole_number(cell: str, number: int | None):
    assert cells.integer(row(c=cell), "c") == number


@pytest.mark.parametrize("cell", ["2.5", "two", "inf", "1e400"])
def test_what_is_no_whole_number_is_named(cell: str):
    with pytest.raises(InputError, match="not a whole number"):
        cells.integer(row(c=cell), "c")


def test_options_stop_at_the_last_filled_column():
    assert cells.options(row(A=" 3 cm", B="4 cm", C="nan", D="")) == ("3 cm", "4 cm")
    assert cells.options(row(question="?")) == ()


def test_an_option_column_before_a_filled_one_must_be_filled():
    with pytest.raises(InputError, match=f"{PLACE}: column 'B' is '': empty, but column C holds an option"):
        cells.options(row(A="3", B="", C="5"))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"A": "", "B": ""}, "0 of the option columns A, B is filled in"),
        ({"A": "3", "B": ""}, "1 of the option columns A, B is filled in"),
        ({"question": "?"}, "there are no option columns"),
    ],
)
def test_a_question_with_options_needs_two(columns: dict[str, str], told: str):
    with pytest.raises(InputError, match=told) as caught:
        cells.options(row(**columns), required=True)
    assert str(caught.value).startswith(f"{PLACE}: ")


def test_a_text_must_be_there():
    assert cells.text(row(c=" 40° "), "c") == "40°"
    with pytest.raises(InputError, match="column 'c' is '': the cell is empty"):
        cells.text(row(), "c")


@pytest.mark.parametrize("none", ["", "nan", "NaN", "<NA>", "None", "NULL", "N/A"])
def test_an_option_that_pandas_takes_for_none_is_none(none: str):
    assert cells.options(row(A="1", B="2", C=none, D=none)) == ("1", "2")
    assert cells.integer(row(c=none), "c") is None


def test_none_before_another_option_is_the_text_of_one():
    assert cells.options(row(A="1", B="None", C="All")) == ("1", "None", "All")
    assert cells.text(row(c="None"), "c") == "None"
