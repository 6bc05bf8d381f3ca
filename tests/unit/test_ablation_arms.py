"""Arm files: what they become, what is refused, and by what an arm is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_rise.ablation import doing
from metis_rise.ablation.arms import load_arms, shipped_arms
from metis_rise.ablation.cells import Base, Cell, cells, identity
from metis_rise.ablation.command import _bases, _given, _seeds, ablate, chosen, listed
from metis_rise.ablation.doing import Experiment
from metis_rise.errors import InputError
from metis_rise.fork import READ_FROM
from metis_rise.recipe import load_recipe

HEAD = "title: One\ngroup: own\nhypothesis: none\n"
ALL = load_arms([])
NAMES = {arm.name for arm in ALL}


def write(folder: Path, text: str, name: str = "one") -> str:
    path = folder / f"{name}.yaml"
    path.write_text(HEAD + text)
    return str(path)


def values(cell: Cell, root: Path, key: str) -> list[object]:
    """What each leg of a cell has for a dotted key."""
    found: list[object] = []
    for leg in cell.legs(root):
        place: object = leg.recipe
        for name in key.split("."):
            place = getattr(place, name)
        found.append(place)
    return found


@pytest.mark.parametrize("arm", ALL, ids=lambda arm: arm.name)
def test_every_shipped_arm_has_recipes_that_are_valid_and_compares_with_arms_that_are_there(arm):
    legs = Cell(arm, Base.of("tiny"), 3).legs(Path("runs"))
    assert [leg.recipe.seed for leg in legs] == [3] * len(legs)
    for other in arm.against:
        assert other in NAMES or other.partition("@")[0] in NAMES, other


def test_every_arm_of_the_issue_is_there():
    wanted = "base rl rise no_self no_expert no_order no_replay sft_image sft_text sft_mixed cold cold_rl alternated"
    parts = "own_first cold_all rl_symmetric rl_kl rl_no_filter rl_sequence rl_no_overlong rl_g4 rl_g16"
    assert {*wanted.split(), *parts.split()} <= set(shipped_arms())


def test_no_two_shipped_arms_do_the_same():
    known = [identity(arm) for arm in ALL]
    assert len(set(known)) == len(known)


def test_arms_come_in_the_order_of_their_places():
    assert [arm.name for arm in ALL][:4] == ["base", "rl", "rl_long", "rise@30"]


def test_a_sweep_is_an_arm_for_each_value(tmp_path: Path):
    path = write(
        tmp_path, "against: [rise]\nsweep: {key: expert.max_problems, values: [5, null]}\nlegs: [{}, {last: rl}]"
    )
    first, second = load_arms([path])
    assert (first.name, first.title, first.against) == ("one@5", "One, 5", ("rise@5",))
    assert (second.name, second.title) == ("one@all", "One, all")
    assert values(Cell(first, Base.of("tiny"), 0), tmp_path, "expert.max_problems") == [5, 5]
    assert values(Cell(second, Base.of("tiny"), 0), tmp_path, "expert.max_problems") == [None, None]


def test_a_leg_begins_with_the_model_of_the_one_before(tmp_path: Path):
    path = write(tmp_path, "settings: {rounds: 2}\nlegs: [{}, {last: rl, settings: {rounds: 1}}, {}]")
    cell = Cell(load_arms([path])[0], Base.of("some/base-1.5"), 7)
    names = [f"one-{identity(cell.arm)[:6]}.{number}.base-1-5.7" for number in (1, 2, 3)]
    root = tmp_path / "runs"
    assert [leg.recipe.name for leg in cell.legs(root)] == names
    assert values(cell, root, "model.path") == [
        "some/base-1.5",
        str(root / names[0] / "round-2" / "5-sft" / "model"),
        str(root / names[1] / "1-rl" / "model"),
    ]


def test_what_an_arm_sets_itself_stays_and_all_else_can_be_set(tmp_path: Path):
    path = write(tmp_path, "settings: {rl.steps: 0}\nlegs: [{settings: {rl.group_size: 4}}, {}]")
    (arm,) = load_arms([path], {"rl.steps": 9, "rl.group_size": 6, "seed": 5})
    cell = Cell(arm, Base.of("tiny"), 1)
    assert values(cell, tmp_path, "rl.steps") == [0, 0]
    assert values(cell, tmp_path, "rl.group_size") == [4, 6]
    assert values(cell, tmp_path, "seed") == [1, 1]


def test_a_part_of_what_an_arm_sets_can_be_set(tmp_path: Path):
    path = write(tmp_path, "settings: {sft.stages: [{name: expert, data: [expert], epochs: 3}]}")
    (arm,) = load_arms([path], {"sft.stages.0.epochs": 9})
    assert values(Cell(arm, Base.of("tiny"), 1), tmp_path, "sft.stages")[0][0].epochs == 9


def test_an_arm_is_known_by_what_it_does(tmp_path: Path):
    def known(settings: str, legs: str = "") -> str:
        return identity(load_arms([write(tmp_path, f"settings: {{{settings}}}\n{legs}")])[0])

    assert known("rl.steps: 5") == known("rl.steps: 5, threads: 3, rl.checkpoint_every: 2, seed: 4")
    assert len({known("rl.steps: 5"), known("rl.steps: 6"), known("rl.steps: 5", "legs: [{last: rl}]")}) == 3


def test_cells_of_a_base_and_seed_stand_together():
    arms = load_arms(["base", "rl"])
    found = [cell.key for cell in cells(arms, [Base.of("tiny"), Base.of("b")], [0, 1])]
    assert found[:4] == [("base", "tiny", 0), ("rl", "tiny", 0), ("base", "b", 0), ("rl", "b", 0)] and len(found) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lgs: []", "one.yaml: lgs: Extra inputs"),
        ("legs: []", "one.yaml: legs"),
        ("legs: [{last: evaluate}]", r"one.yaml: legs.0.last: Input should be 'rl' or 'sft'"),
        ("group: a b", "the key group stands twice"),
    ],
)
def test_a_faulty_arm_file_is_named_with_its_key(tmp_path: Path, text: str, said: str):
    with pytest.raises(InputError, match=said):
        load_arms([write(tmp_path, text)])


def test_arms_that_are_not_there_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="risse: no such arm; shipped: alternated, base"):
        load_arms(["risse"])
    with pytest.raises(InputError, match=r"none\.yaml: cannot read the arm: No such file"):
        load_arms([str(tmp_path / "none.yaml")])
    with pytest.raises(InputError, match="another arm of the name rl"):
        load_arms(["rl", write(tmp_path, "", "rl")])


def test_names_that_no_run_can_have_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="arm my arm: its file's name, and values of a sweep, may have"):
        load_arms([write(tmp_path, "", "my arm")])
    with pytest.raises(InputError, match=r"arm one@\[1, 2\]: its file's name"):
        load_arms([write(tmp_path, "sweep: {key: problems.world.levels, values: [[1, 2]]}")])
    assert load_arms([write(tmp_path, "sweep: {key: rl.learning_rate, values: [1e-5]}")])[0].name == "one@1e-05"


def test_arms_are_chosen_by_name_pattern_and_group():
    assert [arm.name for arm in chosen(ALL, ["cold"])] == ["cold@30", "cold@60", "cold@120", "cold@240"]
    assert [arm.name for arm in chosen(ALL, ["*@60"])] == [name for name in map(lambda a: a.name, ALL) if "@60" in name]
    assert {arm.group for arm in chosen(ALL, ["grpo", "parts"])} == {"grpo", "parts"}
    with pytest.raises(InputError, match=r"--only nothing: no such arm; arms: base, .*; groups: main"):
        chosen(ALL, ["nothing"])


def test_seeds_and_bases_are_lists():
    assert _seeds("0, 2,10") == [0, 2, 10]
    assert [base.name for base in _bases("tiny,build/second")] == ["tiny", "second"]
    for text in ("0,0", "a", "", "-1"):
        with pytest.raises(InputError, match="--seeds"):
            _seeds(text)
    for text in ("tiny,x/tiny", ""):
        with pytest.raises(InputError, match="--bases"):
            _bases(text)


def test_a_folder_is_one_base_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bases" / "base-1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    written = ["bases/base-1", "./bases/base-1/", "bases/../bases/base-1", str(tmp_path / "bases" / "base-1")]
    assert {Base.of(each) for each in written} == {Base("base-1", str(tmp_path / "bases" / "base-1"))}
    monkeypatch.chdir("bases/base-1")
    assert Base.of(".").name == "base-1"
    assert Base.of("tiny") == Base("tiny", "tiny") and Base.of("owner/model") == Base("model", "owner/model")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["rl.steps"], "must be KEY=VALUE"),
        (["seed=3"], "--set seed=3: is not an arm's to set; give --seeds and --bases"),
        (["model.path=x"], "give --seeds and --bases"),
        (["rl.steps=3", "rl.steps=4"], "--set rl.steps=4: rl.steps is set twice"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: list[str], said: str):
    with pytest.raises(InputError, match=said):
        _given(settings)


def test_the_folder_of_the_runs_is_one_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A later leg's recipe names the model of the one before, and would else not be taken up again."""
    found: list[Experiment] = []
    monkeypatch.setattr(doing, "do_all", lambda cells, experiment: found.append(experiment))
    monkeypatch.chdir(tmp_path)
    for root in (Path("runs"), Path("x/../runs"), tmp_path / "runs"):
        begin(tmp_path, root=root)
    assert {each.root for each in found} == {tmp_path / "runs"}


def begin(folder: Path, *settings: str, root: Path) -> None:
    ablate(
        ["rl"],
        seeds="0",
        bases="tiny",
        results=folder / "r.jsonl",
        only=(),
        settings=settings,
        root=root,
        on="test",
        samples=1,
        minutes=None,
    )


def test_a_setting_that_no_recipe_has_ends_it_before_anything_is_done(tmp_path: Path):
    with pytest.raises(InputError, match=r"unknown key rl\.stepz"):
        begin(tmp_path, "rl.stepz=3", root=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


def test_the_list_says_how_many_results_there_are(tmp_path: Path):
    assert listed(["rl"], (), tmp_path / "r.jsonl") == "rl  main         0  RL only\n"


def test_what_sft_starts_from_is_first_read_by_sft():
    """Else the order control could not take over what RISE's RL and diagnosis found."""
    assert READ_FROM["sft"] == 4 and load_recipe("evidence").sft.start_from == "rl"
