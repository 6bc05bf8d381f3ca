"""Keys that were read are shown nowhere."""

from __future__ import annotations

import pytest
import typer

from metis_rise.cli.app import exit_codes
from metis_rise.engines.server.words import read_key
from metis_rise.errors import InputError
from metis_rise.redaction import hide, redacted

KEY = 'sk-"quoted"-4711'


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("kind", [InputError, RuntimeError])
def test_a_key_that_was_read_is_in_no_error(
    debug: bool, kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    with pytest.raises(typer.Exit), exit_codes(debug):
        raise kind(f"the server said: Bearer {read_key('SOME_KEY')} is not known")
    said = capsys.readouterr()
    assert "Bearer *** is not known" in said.err
    assert KEY not in said.err + said.out


def test_a_key_within_json_is_found_too() -> None:
    hide(KEY)
    assert redacted('{"key": "sk-\\"quoted\\"-4711"}') == '{"key": "***"}'
    assert redacted("nothing") == "nothing"


def test_a_key_in_place_of_its_variable_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        read_key("sk-hunter22")
    assert "hunter22" not in str(caught.value)
