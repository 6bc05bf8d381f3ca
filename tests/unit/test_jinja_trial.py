"""Templates that would not come to an end are refused before they are used; others are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from metis_rise.errors import InputError
from metis_rise.jinja_trial import limits, try_chat_template, try_template
from metis_rise.policy.loading import find_folder
from metis_rise.policy.processor import _CHATS, load_processor
from metis_rise.stages.experts.prompts import Prompter

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
POWER = "{% set n = messages|default([1])|length + 9 %}{{ n ** (n ** n) }}"
CALLS = "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}"
DOUBLED = "{% set s = namespace(t='ab') %}{% for n in range(60) %}{% set s.t = s.t ~ s.t %}{% endfor %}{{ s.t }}"
CONSTANT = "{{ 'a' * 100000000000 }}"
LONG = "{{ 'abc' * 3000000 }}"
TIME, MEMORY, LENGTH = f"after {limits.SECONDS:g} s", f"more than {limits.MEMORY_MB} MB", "far more text than"


@pytest.mark.parametrize(
    ("template", "why"),
    [(LOOPS, TIME), (POWER, TIME), (CALLS, TIME), (DOUBLED, MEMORY), (CONSTANT, MEMORY), (LONG, LENGTH)],
    ids=["loops", "power", "calls", "doubled", "constant", "long"],
)
def test_a_template_without_an_end_is_refused(template: str, why: str) -> None:
    with pytest.raises(InputError, match=f"^mine: the template .*{why}.*; take one"):
        try_template(template, "mine", [{"question": "How many?"}])


def test_as_a_chat_template_of_a_model_folder_it_is_refused_with_the_folder(tmp_path: Path) -> None:
    shutil.copytree(find_folder("tiny"), tmp_path / "model")
    file = tmp_path / "model" / "chat_template.jinja"
    file.write_text(f"{{% if messages|length > 1 %}}{LOOPS}{{% endif %}}{file.read_text()}")
    with pytest.raises(InputError, match=rf"/model: its chat template: the template .*{TIME}"):
        load_processor(tmp_path / "model")


def test_a_template_of_an_expert_is_tried_before_it_is_compiled() -> None:
    with pytest.raises(InputError, match=MEMORY):
        Prompter("{{ question }}" + CONSTANT, "mine", None)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{% generation %}{{ m.content|tojson }}{% endgeneration %}{% if loop.last %}{% break %}"
        "{% endif %}{% endfor %}{{ strftime_now('%Y') }}",
        "{{ raise_exception('no system turn') }}",
        "{% for x in",
        "{{ nothing.of.that }}",
    ],
    ids=["all that transformers has", "refuses", "no template", "unknown name"],
)
def test_what_ends_is_left_to_who_uses_it(template: str) -> None:
    try_chat_template(template, "mine", _CHATS)
    try_template(template, "mine", [{}])


def test_a_module_of_that_name_in_the_users_folder_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jinja2.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    try_template("{{ question }} of its own", "mine", [{"question": "q"}])
