"""What results say of claims: every outcome, of cases worked by hand, and the claims of docs/evidence.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ablation_rows import row, write

from metis_rise.ablation.arms import Arm, Leg, load_arms
from metis_rise.ablation.claims import ClaimsFile, load_claims, names, shipped_claims
from metis_rise.ablation.command import _bases, _seeds, show
from metis_rise.ablation.decisions import Decision, decide
from metis_rise.ablation.results import Row, read_rows
from metis_rise.errors import InputError
from metis_rise.recipe.yaml_text import parse_yaml

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
CELLS = [(base, seed) for base in ("a", "b") for seed in range(5)]
GROUPS = "cells:\n  main: {bases: [a, b], seeds: [0, 1, 2, 3, 4]}\n  few: {bases: [a], seeds: [0, 1, 2]}\n"
HEAD = GROUPS + "claims:\n"
UP, FLAT, DOWN, UNSURE, WEAK = "above", "level", "below", "open", "just above"
# How many of 100 problems more are right than the 50 of the other arm, always the same ones.
MORE = {UP: 20, FLAT: 0, DOWN: -20, UNSURE: 2, WEAK: 4}
# Of 20 and 4 problems in 100: t = 4.975 and 2.031 with 99 degrees of freedom, from a table.
P_UP, P_WEAK = 2.7e-6, 0.0449


def arm(name: str, group: str = "main") -> Arm:
    return Arm(name, name, group, "none", (), None, "evidence", (Leg(),))


def right(reading: str) -> list[int]:
    """What an arm gets right that reads so against one that gets `right(FLAT)`."""
    return [1] * (50 + MORE[reading]) + [0] * (50 - MORE[reading])


def cells(name: str, greedy: Sequence[int], **given: Any) -> list[dict[str, Any]]:
    return [row(name, greedy, base=base, seed=seed, **given) for base, seed in CELLS]


def decided(folder: Path, claims: str, rows: Sequence[Mapping[str, Any]], *few: str) -> list[Decision]:
    """The claims on results; `few` are arms of three cells."""
    folder.mkdir(exist_ok=True)
    (folder / "claims.yaml").write_text(HEAD + claims)
    there: list[Row] = read_rows(write(folder / "r.jsonl", *rows))
    arms = {each.arm: arm(each.arm, "few" if each.arm in few else "main") for each in there}
    return decide(load_claims(folder / "claims.yaml", arms), there)


def of_sweep(readings: Sequence[str], name: str = "x") -> list[dict[str, Any]]:
    """x@1, x@2 ... that read so against y@1, y@2 ..."""
    return [
        each
        for value, reading in enumerate(readings, 1)
        for each in (*cells(f"{name}@{value}", right(reading)), *cells(f"y@{value}", right(FLAT)))
    ]


ONE = """
  - number: 1
    claim: it helps
    differences: [x - y]
    supported: {when: [above]}
    refuted: {when: [level, below]}
"""


@pytest.mark.parametrize(("reading", "outcome"), [(UP, "supported"), (FLAT, "refuted"), (DOWN, "refuted")])
def test_one_difference_decides(tmp_path: Path, reading: str, outcome: str):
    (found,) = decided(tmp_path, ONE, [*cells("x", right(reading)), *cells("y", right(FLAT))])
    assert (found.outcome, found.why, [each.reading for each in found.findings]) == (outcome, "", [reading])
    assert found.findings[0].label == "x - y" and found.findings[0].greedy.found.mean == MORE[reading] / 100


def test_what_is_neither_is_open_and_not_above_is_more_than_level_or_below(tmp_path: Path):
    rows = [*cells("x", right(UNSURE)), *cells("y", right(FLAT))]
    strict = ONE.replace("number: 1", "number: 2").replace("[level, below]", "[level, below, open]")
    mild, hard = decided(tmp_path, ONE + strict, rows)
    assert (mild.outcome, hard.outcome) == ("open", "refuted")
    assert mild.why == "above: 0 of 1, 1 needed; level or below: 0 of 1, 1 needed"


EITHER = ONE.replace("[x - y]", "[x - y, z - y]").replace("[level, below]}", "[level, below], at_least: 1}")
BOTH = ONE.replace("[x - y]", "[x - y, z - y]")


@pytest.mark.parametrize(
    ("x", "z", "either", "both"),
    [
        (UP, UP, "supported", "supported"),
        (UP, FLAT, "refuted", "open"),
        (UP, UNSURE, "open", "open"),
        (DOWN, UNSURE, "refuted", "open"),
        (DOWN, FLAT, "refuted", "refuted"),
    ],
)
def test_of_two_differences_either_or_both_refute(tmp_path: Path, x: str, z: str, either: str, both: str):
    rows = [*cells("x", right(x)), *cells("z", right(z)), *cells("y", right(FLAT))]
    claims = EITHER + BOTH.replace("number: 1", "number: 2")
    assert [found.outcome for found in decided(tmp_path, claims, rows)] == [either, both]


SWEEP = """
  - number: 1
    claim: it helps
    values: [1, 2, 3, 4]
    differences: [x@N - y@N]
    supported: {when: [above], at_least: 2, never: [below]}
    refuted: {when: [level, below], at_least: 3}
"""


@pytest.mark.parametrize(
    ("readings", "outcome"),
    [
        ((UP, UP, FLAT, UNSURE), "supported"),
        ((UP, UP, FLAT, FLAT), "supported"),
        ((UP, UP, UP, DOWN), "open"),
        ((UP, UNSURE, UNSURE, FLAT), "open"),
        ((UP, UNSURE, DOWN, FLAT), "open"),
        ((UP, FLAT, DOWN, FLAT), "refuted"),
    ],
)
def test_so_many_of_the_values_decide(tmp_path: Path, readings: Sequence[str], outcome: str):
    (found,) = decided(tmp_path, SWEEP, of_sweep(readings))
    assert found.outcome == outcome and [each.reading for each in found.findings] == list(readings)
    assert ("below: x@4 - y@4" in found.why) == (readings == (UP, UP, UP, DOWN))


def test_a_value_counts_for_a_claim_by_all_its_differences_and_against_it_by_one(tmp_path: Path):
    claim = SWEEP.replace("[x@N - y@N]", "[x@N - y@N, x@N - z@N]")
    rows = of_sweep((UP, UP, UP, UNSURE))
    level = [each for value in (1, 2) for each in cells(f"z@{value}", right(UP))]
    low = [each for value in (3, 4) for each in cells(f"z@{value}", right(DOWN))]
    (found,) = decided(tmp_path, claim, [*rows, *level, *low])
    assert found.outcome == "open" and found.why.startswith("above: 1 of 4, 2 needed; level or below: 2 of 4, 3 needed")


def test_on_each_base_means_on_each(tmp_path: Path):
    claim = ONE.replace("[x - y]", "[{of: x - y, each_base: true}]")
    mixed = [row("x", right(UP if base == "a" else FLAT), base=base, seed=seed) for base, seed in CELLS]
    (found,) = decided(tmp_path, claim, [*mixed, *cells("y", right(FLAT))])
    assert found.outcome == "refuted"
    assert [(each.label, each.reading) for each in found.findings] == [
        ("x - y", UP),
        ("x - y (a)", UP),
        ("x - y (b)", FLAT),
    ]


def test_the_p_of_what_holds_on_each_base_is_that_of_all_bases(tmp_path: Path):
    claim = primary("x - y").replace("[x - y]", "[{of: x - y, each_base: true}]")
    mixed = [row("x", right(UP if base == "a" else WEAK), base=base, seed=seed) for base, seed in CELLS]
    (found,) = decided(tmp_path, claim, [*mixed, *cells("y", right(FLAT))])
    pooled, one, other = (each.p for each in found.findings)
    assert (found.outcome, found.p) == ("supported", pooled)
    assert one < pooled < other and other == pytest.approx(P_WEAK, abs=1e-4)


def test_families_are_looked_at_alone(tmp_path: Path):
    claim = ONE.replace("[x - y]", "[{of: x - y, families: [dial]}]")
    bars = [1 if n % 2 == 0 else 0 for n in range(100)]
    rows = [*cells("x", bars), *cells("y", [0] * 100)]
    (found,) = decided(tmp_path, claim, rows)
    assert found.outcome == "refuted" and found.findings[0].greedy.found.problems == 50
    assert found.findings[0].label == "x - y (dial)"
    (other,) = decided(tmp_path, claim.replace("dial", "bars"), rows)
    assert other.outcome == "supported" and other.findings[0].greedy.found.mean == 1.0
    with pytest.raises(InputError, match="no answers of the family cone on test; families: bars, dial"):
        decided(tmp_path, claim.replace("dial", "cone"), rows)


MATCHED = """
  - number: 1
    claim: it goes further
    values: [1, 2]
    differences: [{of: x@* - y@*, split: unseen level, level_on: test}]
    supported: {when: [above]}
    refuted: {when: [level, below], at_least: 1}
"""


@pytest.mark.parametrize(("longer", "outcome"), [(UP, "supported"), (FLAT, "refuted")])
def test_only_arms_of_the_same_accuracy_are_compared_where_that_is_asked(tmp_path: Path, longer: str, outcome: str):
    rows = [
        *cells("x@1", right(FLAT), longer=right(longer)),
        *cells("x@2", right(UP), longer=right(FLAT)),
        *cells("y@1", right(DOWN), longer=right(FLAT)),
        *cells("y@2", right(FLAT), longer=right(FLAT)),
    ]
    (found,) = decided(tmp_path, MATCHED, rows)
    assert [each.label for each in found.findings] == ["x@1 - y@2 (unseen level)"] and found.outcome == outcome


def test_without_arms_of_the_same_accuracy_such_a_claim_is_open(tmp_path: Path):
    rows = [each for n in (1, 2) for each in cells(f"x@{n}", right(UP), longer=right(UP))]
    rows += [each for n in (1, 2) for each in cells(f"y@{n}", right(FLAT), longer=right(FLAT))]
    (found,) = decided(tmp_path, MATCHED, rows)
    assert found.outcome == "open" and found.why.endswith("1 of 1 have no level arms") and not found.findings


@pytest.mark.parametrize("reading", [UP, DOWN])
def test_sampled_accuracy_must_not_have_the_other_sign(tmp_path: Path, reading: str):
    other = right(UP if reading == DOWN else DOWN)
    (found,) = decided(tmp_path, ONE, [*cells("x", right(reading), sampled=other), *cells("y", right(FLAT))])
    assert (found.outcome, found.why) == ("open", "sampled accuracy has the other sign: x - y")


def test_what_is_level_has_no_sign(tmp_path: Path):
    """One of 200 problems less when greedy, ten more when sampled."""
    x, y = ([1] * n + [0] * (200 - n) for n in (99, 100))
    (found,) = decided(tmp_path, ONE, [*cells("x", x, sampled=[1] * 110 + [0] * 90), *cells("y", y)])
    assert found.findings[0].greedy.found.mean < 0 < found.findings[0].sampled.found.mean
    assert (found.outcome, found.findings[0].reading) == ("refuted", FLAT)


def primary(*differences: str) -> str:
    """A primary claim of each difference."""
    return "".join(
        ONE.replace("number: 1", f"number: {n}\n    primary: true").replace("x - y", each)
        for n, each in enumerate(differences, 1)
    )


def test_a_primary_claim_must_hold_with_all_others(tmp_path: Path):
    """Three claims make the smallest p 3 times as large, the next one twice; what is as large as the next stays so."""
    rows = [*cells("x", right(UP)), *cells("w", right(WEAK)), *cells("v", right(WEAK)), *cells("y", right(FLAT))]
    sure, weak, other = decided(tmp_path, primary("x - y", "w - y", "v - y"), rows)
    assert sure.outcome == "supported" and sure.corrected == pytest.approx(3 * P_UP, rel=0.05)
    assert weak.p == pytest.approx(P_WEAK, abs=1e-4) and weak.findings[0].reading == UP
    assert [one.corrected for one in (weak, other)] == pytest.approx([2 * P_WEAK] * 2, abs=2e-4)
    assert {(one.outcome, one.why) for one in (weak, other)} == {("open", "p is 0.090 after Holm's correction")}


def test_a_claim_takes_the_largest_p_of_what_it_rests_on_and_one_that_is_refuted_stays_so(tmp_path: Path):
    rows = [*cells("x", right(UP)), *cells("y", right(FLAT)), *cells("w", right(WEAK)), *cells("z", right(UP))]
    both = BOTH.replace("number: 1", "number: 1\n    primary: true").replace("z - y", "w - y")
    other = ONE.replace("number: 1", "number: 2\n    primary: true").replace("x - y", "x - z")
    found, level = decided(tmp_path, both + other, rows)
    assert (found.outcome, found.p) == ("open", pytest.approx(P_WEAK, abs=1e-4))
    assert found.corrected == pytest.approx(2 * P_WEAK, abs=2e-4)
    assert (level.outcome, level.p, level.corrected) == ("refuted", 1.0, 1.0)


def test_a_claim_that_a_part_of_its_values_supports_takes_their_p(tmp_path: Path):
    (found,) = decided(
        tmp_path, SWEEP.replace("number: 1", "number: 1\n    primary: true"), of_sweep([UP, UP, FLAT, FLAT])
    )
    assert (found.outcome, found.p) == ("supported", pytest.approx(P_UP, rel=0.05))


def test_claims_that_are_not_decided_yet_count_with_a_p_of_one(tmp_path: Path):
    """Of three claims: the one that is decided is corrected as the first of three, whatever the others become."""
    rows = [*cells("x", right(UP)), *cells("y", right(FLAT)), row("z", right(UP), base="a")]
    known, *others = decided(tmp_path, primary("x - y", "z - y", "z - x"), rows)
    assert known.corrected == pytest.approx(3 * P_UP, rel=0.05)
    assert [each.corrected for each in others] == [None, None]


def test_nothing_is_decided_before_all_cells_of_the_protocol_are_there(tmp_path: Path):
    x, y = cells("x", right(UP)), cells("y", right(FLAT))
    (found,) = decided(tmp_path / "a", ONE, [*x[:9], *y])
    assert (found.outcome, found.why, found.findings) == ("not yet", "19 of 20 cells are there", ())
    instead = [row("x", right(UP), base="a", seed=5), row("y", right(FLAT), base="a", seed=5)]
    (found,) = decided(tmp_path / "b", ONE, [*x[:9], *y, *instead])
    assert found.why == "19 of 20 cells are there", "another seed's cell is none of the protocol's"
    (found,) = decided(tmp_path / "c", ONE, instead)
    assert (found.outcome, found.why) == ("not run", "0 of 20 cells are there")
    (found,) = decided(tmp_path / "d", ONE.replace("[x - y]", "[{of: x - y, split: unseen level}]"), [*x, *y])
    assert found.outcome == "not run", "cells of other problems are none"


def test_cells_beside_the_protocol_change_nothing(tmp_path: Path):
    more = [row(name, right(DOWN if name == "x" else UP), base="c", seed=seed) for name in "xy" for seed in range(9)]
    (found,) = decided(tmp_path, ONE, [*cells("x", right(UP)), *cells("y", right(FLAT)), *more])
    assert found.outcome == "supported" and found.findings[0].greedy.found.cells == 10


def test_a_difference_of_arms_of_two_groups_is_of_the_cells_of_both(tmp_path: Path):
    rows = [*cells("x", right(UP)), *cells("y", right(FLAT))]
    (found,) = decided(tmp_path, ONE, rows, "x")
    assert found.findings[0].greedy.found.cells == 3


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        (ONE.replace("x - y", "x-y"), r"claims\.0\.differences\.0\.of: String should match"),
        (ONE.replace("above", "better"), r"claims\.0\.supported\.when\.0: Input should be"),
        (
            ONE.replace("[level, below]}", "[level], at_least: 2}"),
            r"refuted\.at_least: at most 1, as many as there are",
        ),
        (ONE.replace("x - y", "x@N - y"), "values: must be given where a difference has @N or @\\*, and only there"),
        (SWEEP.replace("[x@N - y@N]", "[x@N - y@N, x@1 - y@1]"), "differences: must have @N in all of them or in none"),
        (ONE + ONE, "claims: must have different numbers"),
        (ONE.replace("x - y", "x - gone"), "claim 1: no such arm: gone; arms: x, y"),
        (ONE.replace("x - y", "x - lone"), "cells: the group of arm lone is missing: other"),
        (ONE.replace("x - y", "x - far"), "claim 1: x - far: the groups of the two arms have no cell in common"),
    ],
)
def test_a_faulty_claims_file_is_named_with_its_key(tmp_path: Path, claims: str, said: str):
    file = tmp_path / "claims.yaml"
    file.write_text(GROUPS + "  far: {bases: [c], seeds: [0]}\nclaims:\n" + claims)
    arms = {"x": arm("x"), "y": arm("y")}
    arms |= {name: arm(name, group) for name, group in (("lone", "other"), ("far", "far")) if name in claims}
    with pytest.raises(InputError, match=rf"claims\.yaml: .*{said}"):
        load_claims(file, arms)


def test_a_claims_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the claims: No such file"):
        load_claims(tmp_path / "none.yaml", {})


ARM = "title: {name}\ngroup: main\nhypothesis: none\nagainst: [y]\n"


def experiment(folder: Path) -> list[str]:
    """Two arm files, x that is above y, a claim of them, and their results."""
    for name in "xyz":
        (folder / f"{name}.yaml").write_text(ARM.format(name=name))
    (folder / "claims.yaml").write_text(HEAD + ONE)
    write(folder / "r.jsonl", *cells("x", right(UP)), *cells("y", right(FLAT)))
    return [str(folder / f"{name}.yaml") for name in "xyz"]


def test_the_table_has_a_claim_with_what_it_rests_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arms = experiment(tmp_path)
    show(arms, results=tmp_path / "r.jsonl", only=(), out=None, claims=tmp_path / "claims.yaml")
    gain = r"\+20\.0 \(\+1\d\.\d to \+2\d\.\d\)"
    wanted = (
        rf"\| 1 \| it helps \| supported \| secondary \| x - y \| 10 \| {gain} \| \+20\.0 \| <0\.001 \| above \|  \|"
    )
    assert re.search(wanted, capsys.readouterr().out)
    show(arms, results=tmp_path / "r.jsonl", only=(), out=tmp_path / "e.html", claims=tmp_path / "claims.yaml")
    assert '<td class="word">it helps</td>' in (tmp_path / "e.html").read_text()


def test_claims_are_shown_of_the_arms_that_are_shown_and_decided_by_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Holm's p of x is its own one, and would be ten times as large were the nine of z not known."""
    arms, results = experiment(tmp_path), tmp_path / "all.jsonl"
    (tmp_path / "claims.yaml").write_text(HEAD + primary("x - y", *["z - y"] * 9))
    write(results, *cells("x", right(WEAK)), *cells("y", right(FLAT)), *cells("z", right(UP)))

    def shown(*only: str) -> list[str]:
        show(arms, results=results, only=only, out=None, claims=tmp_path / "claims.yaml")
        return [line for line in capsys.readouterr().out.splitlines() if "it helps" in line]

    assert len(shown()) == 10 and len(shown("x", "y")) == 1 and not shown("x")
    assert "| supported | 0.045 |" in shown("x", "y")[0] and shown("x", "y")[0] == shown()[0]


@pytest.mark.parametrize("names_of_ours", [False, True])
def test_arms_of_ones_own_have_no_claims_unless_they_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], names_of_ours: bool
):
    arms = experiment(tmp_path)
    if names_of_ours:
        renamed = [
            Path(each).rename(tmp_path / f"{name}.yaml") for each, name in zip(arms, ("rl", "base"), strict=False)
        ]
        arms = [str(each) for each in renamed]
    show(arms, results=tmp_path / "r.jsonl", only=(), out=None, claims=None)
    assert "### Claims" not in capsys.readouterr().out


def test_shipped_claims_are_decided_without_being_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write(
        tmp_path / "r.jsonl",
        row("rl", [1, 0], seed=1),
        row("base", [0, 0], seed=1),
        row("base", [0, 1], settings=["rl.steps=2"], seed=2),
    )
    show([], results=tmp_path / "r.jsonl", only=(), out=None, claims=None)
    lines = capsys.readouterr().out.splitlines()
    told = "| 1 | RL improves the base | not yet | primary |  |  |  |  |  |  | 2 of 20 cells are there |"
    assert told in lines, "cells with other settings are not counted"
    assert sum("cells are there |" in line for line in lines) == 12


def test_claims_of_which_nothing_was_run_are_not_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write(tmp_path / "r.jsonl", row("rl", [1, 0], seed=100))
    show([], results=tmp_path / "r.jsonl", only=(), out=None, claims=None)
    assert "### Claims" not in capsys.readouterr().out


def rows_of_the_page() -> list[tuple[int, str, str]]:
    """Number, claim, and what decides it, of docs/evidence.md."""
    claims = PAGE.read_text(encoding="utf-8").partition("\n## Claims\n")[2].partition("\n## ")[0]
    found = re.findall(r"^\| (\d+) \| (.+?) \| (.+) \|$", claims, re.MULTILINE)
    return [(int(number), claim, rules) for number, claim, rules in found]


def test_each_claim_of_the_page_is_decided_by_the_arms_that_the_page_names():
    arms = {each.name: each for each in load_arms([])}
    protocol, page = load_claims(None, arms), rows_of_the_page()
    assert [(one.number, one.claim) for one in protocol.claims] == [(number, claim) for number, claim, _ in page]
    assert [one.number for one in protocol.claims if one.primary] == [1, 2, 3, 4, 5, 6]
    for claim, (_, _, rules) in zip(protocol.claims, page, strict=True):
        assert protocol.known(claim), claim.number
        told = {each.of for each in claim.differences}
        assert set(re.findall(r"`(\S+ - \S+)`", rules)) <= told, claim.number
        swept = {name.partition("@")[0] for name in names(claim)}
        assert {name for name in re.findall(r"`([a-z_]+)`", rules)} <= swept, claim.number


def test_the_cells_of_each_group_are_those_that_the_commands_of_the_page_make():
    found: dict[str, set[tuple[str, int]]] = {}
    for line in re.findall(r"^rise ablate (--only .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        groups, given = re.findall(r"--only (\S+)", line), dict(re.findall(r"--(\w+) (\S+)", line))
        if {"on", "results"}.isdisjoint(given):
            bases, seeds = _bases(given.get("bases", "tiny")), _seeds(given["seeds"])
            found |= {group: {(base.name, seed) for base in bases for seed in seeds} for group in groups}
    cells = ClaimsFile.model_validate(parse_yaml(shipped_claims(), "claims")).cells
    assert {group: each.all for group, each in cells.items()} == found
    assert {each.group for each in load_arms([])} == set(found)
