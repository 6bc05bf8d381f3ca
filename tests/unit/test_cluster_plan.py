"""Plans of real models on stated GPUs: what fits, what is advised, where more machines stop helping."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from metis_rise.cluster.advice import advice
from metis_rise.cluster.crowding import SERVER_CORES, crowding
from metis_rise.cluster.facts import ModelFacts, find_facts
from metis_rise.cluster.launch import launch_file
from metis_rise.cluster.layout import layout_of
from metis_rise.cluster.memory import Sharding
from metis_rise.cluster.plan import Asked, Plan, make_plan, notes_of
from metis_rise.cluster.prompts import TEXT_TOKENS, prompts_of
from metis_rise.cluster.rates import Decoding, Rates
from metis_rise.cluster.scaling import MOST_GPUS, scaling
from metis_rise.cluster.show import look
from metis_rise.cluster.stages import examples, stage_seconds
from metis_rise.cluster.workload import Workload, workload_of
from metis_rise.errors import InputError
from metis_rise.recipe import Recipe, load_recipe
from metis_rise.recipe.engine import EngineConfig
from metis_rise.run import read_jsonl, write_jsonl

NOWHERE = ["problems.train=nowhere.jsonl", "problems.test=nowhere.jsonl"]
SERVED = ["engine.kind=server", "engine.urls=[http://host:8000]", "engine.push=nccl"]
COLOCATED = ["engine.kind=server", "engine.urls=auto", "engine.colocated=true"]
SEVEN = [
    *NOWHERE,
    "model.path=Qwen/Qwen2.5-VL-7B-Instruct",
    "model.dtype=bfloat16",
    "model.device=auto",
    "model.max_pixels=802816",
    "sampling.max_tokens=4096",
    "rl.micro_tokens=16384",
    "sft.micro_tokens=16384",
    "rl.prompts_per_step=128",
    "cluster.gpu=h100-80gb",
]
CHECKPOINTED = "model.gradient_checkpointing=true"


def no_measuring(recipe: Recipe, facts: ModelFacts, work: Workload) -> Rates:
    raise AssertionError("a stated GPU is not measured")


def plan_of(*overrides: str, asked: Asked | None = None) -> Plan:
    recipe = load_recipe("user_jsonl", [*SEVEN, *overrides])
    return make_plan(recipe, asked or Asked(), no_measuring)


def test_seven_billion_parameters_fit_a_node_with_layers_computed_again():
    found = look(plan_of(CHECKPOINTED), Asked()).to_json()
    assert found["fits"] and found["advice"] == []
    parts = found["memory"]["trainer"]["parts_mb"]
    # Float32 masters, gradients, two moments over 8 ranks; the frozen tower in 16 bit.
    trained, frozen = found["trained"], found["parameters"] - found["trained"]
    state = parts["weights"] + parts["gradients"] + parts["optimizer"]
    assert state == pytest.approx((16 * trained + 2 * frozen) / 8 / 2**20, abs=1)
    assert set(found["seconds"]) == {"rl", "diagnose", "sft", "evaluate"}
    assert found["total_seconds"] == pytest.approx(sum(found["seconds"].values()), rel=1e-3)
    assert found["gpu_hours"] == pytest.approx(8 * found["total_seconds"] / 3600, rel=1e-3)
    json.dumps(found)


@pytest.mark.parametrize(
    "overrides",
    [
        ["cluster.gpu=a100-40gb"],
        ["cluster.gpu=rtx4090-24gb", CHECKPOINTED],
        ["rl.micro_tokens=65536", CHECKPOINTED, "cluster.gpu=a100-40gb"],
        [*SERVED, "model.path=Qwen2.5-VL-72B", "cluster.tensor_parallel=4", CHECKPOINTED],
    ],
)
def test_what_is_advised_makes_it_fit(overrides: list[str]):
    plan = plan_of(*overrides)
    assert not plan.training_memory().fits
    lines = advice(plan, Asked())
    assert lines
    for line in lines:
        settings = [word for word in line.split(":")[0].split() if "=" in word]
        assert settings
        assert plan_of(*overrides, *settings).training_memory().fits, line


def test_servers_whose_weights_are_too_large_are_told_their_tensor_parallel_size():
    served = [*SERVED, "model.path=Qwen2.5-VL-72B", "cluster.nodes=2", "cluster.server_nodes=1"]
    plan = plan_of(*served)
    memory = plan.serving_memory()
    assert memory is not None and not memory.fits
    line = next(line for line in advice(plan, Asked()) if "tensor_parallel" in line)
    wider = plan_of(*served, line.split(":")[0]).serving_memory()
    assert wider is not None and wider.fits


def test_a_model_too_large_to_sample_natively_is_to_be_served():
    lines = advice(plan_of("model.path=Qwen2.5-VL-72B", "cluster.nodes=16", CHECKPOINTED), Asked())
    assert len(lines) == 1 and lines[0].startswith("engine.kind=server")


def test_servers_on_the_trainers_gpus_take_their_memory_and_keep_some_of_it():
    apart, turns = (plan_of(*engine, CHECKPOINTED) for engine in (SERVED, COLOCATED))
    asleep = turns.training_memory().parts["server asleep"]
    assert asleep == 3 * 2**30 and "server asleep" not in apart.training_memory().parts
    assert turns.training_memory().total == apart.training_memory().total + asleep
    beside, alone = turns.serving_memory(), apart.serving_memory()
    assert beside is not None and alone is not None
    assert alone.limit == pytest.approx(0.9 * 80 * 2**30)
    # What the launch file tells the servers.
    text = launch_file("slurm", turns.recipe, ["user_jsonl"])
    share = float(text.split("--gpu-memory-utilization ")[1].split()[0])
    assert beside.limit == pytest.approx(share * 80 * 2**30) and share < 0.9
    assert turns.rows <= apart.rows
    # One trainer's state leaves nothing to a server.
    crowded = plan_of(*COLOCATED, CHECKPOINTED, "cluster.gpus_per_node=1").serving_memory()
    assert crowded is not None and not crowded.fits


def test_the_larger_pass_of_rl_and_sft_is_counted():
    wide = ["sft.micro_tokens=65536", "sft.stages.0.batch_size=1024"]
    activations = [
        plan_of(CHECKPOINTED, *extra).training_memory().parts["activations"]
        for extra in ([], wide, ["rl.micro_tokens=65536"])
    ]
    assert activations[1] > 2 * activations[0] and activations[2] > 2 * activations[0]
    lines = advice(plan_of(CHECKPOINTED, *wide, "cluster.gpu=a100-40gb"), Asked())
    assert any(line.startswith("sft.micro_tokens=") for line in lines), lines


@pytest.mark.parametrize(
    ("settings", "trains"),
    [
        (["cluster.gpus_per_node=2", "sampling.max_tokens=1024"], False),
        # The trainer fits, and leaves too little for a group of so many.
        (["cluster.gpus_per_node=4", "rl.group_size=128"], True),
    ],
)
def test_servers_in_turns_are_advised_with_their_trainers(settings: list[str], trains: bool):
    crowded = [*COLOCATED, CHECKPOINTED, *settings]
    assert not plan_of(*crowded).fits and plan_of(*crowded).training_memory().fits == trains
    lines = advice(plan_of(*crowded), Asked())
    assert any(line.startswith("cluster.nodes=") for line in lines)
    for line in lines:
        changes = [word for word in line.split(":")[0].split() if "=" in word] if "{" not in line else []
        assert not changes or plan_of(*crowded, *changes).fits, line


def test_copies_of_the_weights_are_advised_away():
    plan = plan_of(CHECKPOINTED, "parallel.shard=none")
    lines = advice(plan, Asked())
    assert "parallel={shard: full}: all ranks share one copy of the weights" in lines
    assert plan_of(CHECKPOINTED, "parallel={shard: full}").fits
    assert any(line.startswith("parallel.offload=true: slower, and ") for line in lines)
    # One process has nobody to share with.
    assert layout_of(plan_of("cluster.gpus_per_node=1", "parallel.offload=true").recipe).sharding == Sharding()


def test_more_gpus_than_are_simulated_are_a_plan_all_the_same():
    plan = plan_of(*SERVED, CHECKPOINTED, "cluster.nodes=2000", "cluster.server_nodes=1000")
    found = scaling(plan, Asked())
    assert found is not None
    assert [len(points) for points in (found.servers, found.trainers, found.best)] == [1, 1, 1]
    json.dumps(look(plan, Asked()).to_json(), allow_nan=False)


def test_what_the_data_sheet_does_not_speak_of_is_noted():
    assert not any("float32" in note or "device" in note for note in notes_of(plan_of()))
    notes = " | ".join(notes_of(plan_of("model.dtype=float32", "model.device=cpu")))
    assert "computed in float32" in notes and "model.device=cpu: planned for GPUs all the same" in notes


def test_float32_is_timed_by_the_cards_own_rate():
    half, whole = plan_of(*SERVED), plan_of(*SERVED, "model.dtype=float32")
    assert half.rates.flops == pytest.approx(0.3 * 989e12) and whole.rates.flops == pytest.approx(0.6 * 67e12)
    assert "60% of 67 TFLOP/s (float32) in training" in whole.rates.source
    mixed = plan_of(*SERVED, "model.dtype=float32", "model.autocast=true")
    assert mixed.rates == half.rates
    # Servers are sent 16 bit; the native sampler has the trainers' numbers.
    assert (whole.rates.prompt, whole.rates.decoding) == (half.rates.prompt, half.rates.decoding)
    native = [plan_of(*dtype).rates for dtype in ([], ["model.dtype=float32"])]
    assert native[1].prompt > 10 * native[0].prompt
    assert 1.5 < native[1].decoding.fixed / native[0].decoding.fixed < 2
    assert plan_of(*SERVED, "model.dtype=float32", asked=Asked(utilisation=0.1)).rates.flops == pytest.approx(67e11)


def test_sft_pays_for_pictures_and_not_for_a_reference():
    plain, penalty = (plan_of(CHECKPOINTED, *extra) for extra in ([], ["rl.kl_weight=0.1"]))
    assert plain.tuning().flops(900, 1) == penalty.tuning().flops(900, 1) > plain.update().flops(900, 1)
    assert penalty.update().flops(900, 1) > plain.update().flops(900, 1)


def test_every_rank_keeps_as_many_features_of_pictures_as_it_has_room_for():
    assert plan_of(CHECKPOINTED).training_memory().parts["picture features"] == 2**30


def test_more_machines_help_until_something_else_holds_up():
    served = [*SERVED, CHECKPOINTED, "cluster.nodes=2", "cluster.server_nodes=1", "rl.max_staleness=1"]
    found = scaling(plan_of(*served), Asked())
    assert found is not None
    assert max(point.gpus for point in found.best) <= MOST_GPUS < 2 * max(point.gpus for point in found.best)
    # Best splits never get slower with more nodes.
    steps = [point.step for point in found.best]
    assert all(later <= 1.02 * earlier for earlier, later in pairwise(steps))
    by_servers = {point.servers: point.step for point in found.servers}
    until = found.servers_until
    assert by_servers[2 * until] > 0.9 * by_servers[until]
    assert until == 1 or by_servers[until] <= 0.9 * by_servers[until // 2]
    assert scaling(plan_of(CHECKPOINTED), Asked()) is None


def test_twice_the_trainers_halve_the_update_where_groups_are_many():
    one, two = (plan_of(CHECKPOINTED, f"cluster.nodes={n}").update().seconds([8000.0] * 256, 8) for n in (1, 2))
    assert one / two == pytest.approx(2, rel=0.1)
    few = [plan_of(CHECKPOINTED, f"cluster.nodes={n}").update().seconds([8000.0] * 8, 8) for n in (1, 2)]
    assert few[0] == pytest.approx(few[1], rel=0.1)


def test_a_frozen_tower_and_adapters_cost_less_arithmetic():
    whole, frozen, adapters = (
        plan_of(CHECKPOINTED, *extra).update().flops(4000.0, 8)
        for extra in (["model.freeze_vision=false"], [], ["model.lora={}"])
    )
    assert whole > frozen > adapters
    # Forward, backward of two, recomputation: against one less.
    assert frozen / adapters == pytest.approx(4 / 3, rel=0.01)


def test_layouts():
    assert layout_of(load_recipe("tiny")).sharding == Sharding()
    two = layout_of(load_recipe("tiny", [*SERVED, "engine.urls=[http://a:1, http://b:1]"]))
    assert (two.servers, two.native) == (2, False)
    turns = layout_of(load_recipe("user_jsonl", [*SEVEN, *COLOCATED, "cluster.tensor_parallel=2"]))
    assert (turns.turns, turns.servers, turns.gpus) == (True, 4, 8)
    # Servers of another job, named one by one.
    elsewhere = layout_of(load_recipe("user_jsonl", [*SEVEN, *SERVED, "engine.urls=[http://a:1, http://b:1]"]))
    assert (elsewhere.turns, elsewhere.servers, elsewhere.sharding.ranks, elsewhere.gpus) == (False, 2, 8, 10)
    apart = layout_of(load_recipe("user_jsonl", [*SEVEN, *SERVED, "cluster.nodes=8", "cluster.server_nodes=3"]))
    assert (apart.turns, apart.servers, apart.sharding.ranks, apart.gpus) == (False, 24, 40, 64)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cluster.nodes=2", "cluster.server_nodes=1"], "cluster.server_nodes = 1: nothing is served with engine.kind"),
        (["model.path=nobody/nothing"], "model.path = 'nobody/nothing': its config is not here"),
        (["model.path=/no/such/folder"], "model.path = '/no/such/folder': its config is not here"),
        (["model.path=/nowhere"], "model.path = '/nowhere': its config is not here"),
        (["parallel={shard: hybrid, shard_size: 3}"], "8 processes cannot share copies of 3 each; give a divisor"),
    ],
)
def test_contradictions_are_told(overrides: list[str], said: str):
    with pytest.raises(InputError) as caught:
        plan_of(*overrides)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["cluster.gpu=null", "cluster.nodes=2"], "cluster.gpu = null: must name the kind of GPU"),
        (["cluster.gpu=h100"], "cluster.gpu = 'h100': must be 'a100-40gb'"),
        (["cluster.nodes=2", "cluster.server_nodes=2"], "cluster.server_nodes = 2: must be below cluster.nodes (2)"),
        (["cluster.tensor_parallel=3"], "cluster.tensor_parallel = 3: must divide cluster.gpus_per_node (8)"),
        (["cluster.tensor_parallel=16"], "cluster.tensor_parallel = 16: must not exceed the GPUs that sample"),
    ],
)
def test_faults_of_the_cluster_section(overrides: list[str], said: str):
    with pytest.raises(InputError) as caught:
        load_recipe("user_jsonl", [*SEVEN, *overrides])
    assert said in str(caught.value)


def test_prompts_are_read_from_problem_files(tmp_path: Path):
    Image.new("RGB", (280, 140)).save(tmp_path / "wide.png")
    rows = [
        {"question": "word " * 80, "answer": "1", "answer_type": "number", "images": ["wide.png"]},
        {"question": "word " * 160, "answer": "1", "answer_type": "number"},
    ]
    for name, count in (("train", 3), ("test", 1)):
        write_jsonl(tmp_path / f"{name}.jsonl", rows * count)
    files = [f"problems.{name}={tmp_path}/{name}.jsonl" for name in ("train", "test")]
    recipe = load_recipe("user_jsonl", [*SEVEN, *files, "prompt.system=null", "problems.limit_train=5"])
    vision = find_facts(recipe.model.path).vision
    found = prompts_of(recipe, vision)
    assert (found.train, found.test, found.pictured) == (5, 2, 0.5)
    # 10 x 5 image tokens in every other prompt; 400 and 800 characters.
    assert found.image == 25
    assert found.text == pytest.approx(150 + 20, abs=0.5)
    small = load_recipe("user_jsonl", [*SEVEN, *files, "model.max_pixels=15680", "model.min_pixels=3136"])
    assert prompts_of(small, vision).image == pytest.approx(9, abs=1)
    (tmp_path / "broken.png").write_text("no picture")
    (tmp_path / "train.jsonl").write_text('{"question": "?", "images": ["broken.png"]}\n')
    with pytest.raises(InputError, match=r"broken\.png: the picture's size cannot be read"):
        prompts_of(recipe, vision)


GOOD = '{"question": "q", "answer": "1", "answer_type": "number"}\n'


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [
        ("\n", GOOD, "train.jsonl: the file has no rows that can be used"),
        (GOOD, "", "test.jsonl: the file has no rows that can be used"),
        ('{"question": "q", "images": 7}\n', GOOD, "train.jsonl, row 1: images is not a list of paths"),
        ('{"question": "q", "images": ["none.png"]}\n', GOOD, "train.jsonl, row 1: "),
        (GOOD + '{"question": "q", "choices": 7}\n', GOOD, "train.jsonl, row 2: choices is not a list"),
        ('{"question": 3}\n', GOOD, "train.jsonl, row 1: question is "),
        ("[1]\n", GOOD, "train.jsonl, row 1: not a JSON object"),
        (b"\xff\n", GOOD, "train.jsonl, row 1: not UTF-8"),
    ],
)
def test_faults_of_problem_files_are_told_as_a_run_tells_them(train: str | bytes, test: str, said: str, tmp_path: Path):
    (tmp_path / "train.jsonl").write_bytes(train.encode() if isinstance(train, str) else train)
    (tmp_path / "test.jsonl").write_text(test)
    files = [f"problems.{name}={tmp_path}/{name}.jsonl" for name in ("train", "test")]
    with pytest.raises(InputError) as caught:
        plan_of(*files)
    assert said in str(caught.value)
    if said.startswith("train.jsonl, row 2"):
        assert plan_of(*files, "problems.skip_bad=true").work.prompts.longest > 0


def test_a_folder_in_place_of_problems_is_no_file_that_is_absent(tmp_path: Path):
    with pytest.raises(InputError, match="this is a folder"):
        plan_of(f"problems.train={tmp_path}", f"problems.test={tmp_path}")


def test_what_is_not_here_is_assumed_and_said():
    recipe = load_recipe("user_jsonl", SEVEN)
    work = workload_of(recipe, find_facts(recipe.model.path).vision)
    assert (work.prompts.image, work.prompts.text) == (1024, TEXT_TOKENS)
    notes = " | ".join(work.notes)
    assert "nowhere.jsonl is not here" in notes and "40% of sampling.max_tokens, assumed" in notes
    known = workload_of(recipe, find_facts(recipe.model.path).vision, completion=900, teaching=0.7)
    assert (known.mean_tokens, known.teaching) == (900, 0.7)
    assert "pass the filter" not in " | ".join(known.notes)


def run_like(folder: Path, recipe: Recipe, **values: float) -> Path:
    folder.mkdir()
    (folder / "recipe.json").write_text(recipe.model_dump_json())
    row = {
        "seconds": 10.0,
        "waiting": 0.6,
        "push_seconds": 1.0,
        "groups_kept": 12.0,
        "groups_sampled": 24.0,
        "filter_rate": 0.5,
        "length": 30.0,
        "tokens_unique": 12 * (45 + 8 * 30.0),
    }
    rows = [{"stage": "rl", "step": step, "values": row | values} for step in range(1, 9)]
    write_jsonl(folder / "metrics.jsonl", rows)
    return folder


def guessed(recipe: Recipe, facts: ModelFacts, work: Workload) -> Rates:
    return Rates(1e10, 0.01, Decoding(0.001, 0.001), 0.001, "guessed")


def test_a_plan_like_a_run_takes_as_long_as_the_run(tmp_path: Path):
    recipe = load_recipe("tiny", SERVED)
    run = run_like(tmp_path / "run", recipe)
    plan = make_plan(recipe, Asked(like=run), guessed)
    found = plan.outcome()
    assert (plan.work.mean_tokens, plan.work.teaching, found.push) == (30, 0.5, 1)
    assert found.sampling == pytest.approx(6, rel=0.02)
    assert found.update == pytest.approx(3, rel=0.15)
    # The same machine with another layout: two servers, and ahead.
    two = make_plan(load_recipe("tiny", [*SERVED, "engine.urls=[http://a:1, http://b:1]"]), Asked(like=run), guessed)
    assert 2.5 < two.outcome().sampling < 5
    ahead = make_plan(load_recipe("tiny", [*SERVED, "rl.max_staleness=1"]), Asked(like=run), guessed)
    assert ahead.outcome().step == pytest.approx(6 + 1, rel=0.1)


def served(*hosts: str) -> EngineConfig:
    return EngineConfig(kind="server", urls=tuple(f"http://{host}:{8000 + at}" for at, host in enumerate(hosts)))


def test_servers_on_this_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch):
    assert crowding(EngineConfig(), cores=1) == crowding(served("node7", "node8"), cores=1) == 1
    assert crowding(served("127.0.0.1", "localhost", "[::1]"), cores=2) == pytest.approx(3 * SERVER_CORES / 2)
    assert crowding(served("127.0.0.1", "node7"), cores=2) == 1
    monkeypatch.setattr("socket.gethostname", lambda: "Node7")
    assert crowding(served("0.0.0.0", "[::]", "node7"), cores=2) == pytest.approx(3 * SERVER_CORES / 2)


def test_a_second_server_on_two_cores_brings_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    urls = ["http://127.0.0.1:8000", "http://127.0.0.1:8001"]
    one, two = (load_recipe("tiny", ["engine.kind=server", f"engine.urls={given}"]) for given in (urls[:1], urls))
    run = run_like(tmp_path / "run", one)

    def sampling(recipe: Recipe, cores: int) -> float:
        monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
        return make_plan(recipe, Asked(like=run), guessed).outcome().sampling

    # A single one has the cores that it needs, however many there are.
    assert sampling(one, 2) == sampling(one, 64) == pytest.approx(6, rel=0.02)
    assert sampling(two, 64) < 4
    assert 1.5 < sampling(two, 2) / sampling(two, 64) <= SERVER_CORES


def test_runs_that_say_too_little_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no metrics of an RL step"):
        make_plan(load_recipe("tiny"), Asked(like=tmp_path), guessed)
    (tmp_path / "metrics.jsonl").write_text('{"stage": "rl", "step": 1, "values": {"length": 3}}\n')
    with pytest.raises(InputError, match="lacks a figure"):
        make_plan(load_recipe("tiny"), Asked(like=tmp_path), guessed)
    for lacking in ("waiting", "seconds", "tokens_unique", "groups_kept"):
        run = run_like(tmp_path / lacking, load_recipe("tiny", SERVED))
        rows = [
            row | {"values": {k: v for k, v in row["values"].items() if k != lacking}}
            for row in read_jsonl(run / "metrics.jsonl")
        ]
        write_jsonl(run / "metrics.jsonl", rows)
        with pytest.raises(InputError, match=rf"metrics\.jsonl: an RL step lacks a figure \('{lacking}'\); name a run"):
            make_plan(load_recipe("tiny", SERVED), Asked(like=run), guessed)
    run = run_like(tmp_path / "busy", load_recipe("tiny", SERVED), waiting=0.0)
    with pytest.raises(InputError, match="log no time for sampling, or none for updates"):
        make_plan(load_recipe("tiny", SERVED), Asked(like=run), guessed)
    write_jsonl(run / "metrics.jsonl", [{"stage": "rl", "step": 1, "values": [3]}])
    with pytest.raises(InputError, match="an RL step has no values"):
        make_plan(load_recipe("tiny", SERVED), Asked(like=run), guessed)
    run = run_like(tmp_path / "ahead", load_recipe("tiny", [*SERVED, "rl.max_staleness=1"]))
    with pytest.raises(InputError, match="sampled ahead, which hides how long sampling took"):
        make_plan(load_recipe("tiny", SERVED), Asked(like=run), guessed)


def test_stages_scale_with_what_they_do():
    def seconds(*overrides: str) -> Mapping[str, float]:
        plan = plan_of(CHECKPOINTED, *overrides)
        return stage_seconds(plan, plan.outcome())

    once = seconds()
    twice = seconds("rounds=2")
    assert twice == pytest.approx({name: (1 if name == "evaluate" else 2) * value for name, value in once.items()})
    longer = seconds("rl.steps=400", "rl.eval_every=400", "sft.stages.1.epochs=8")
    assert longer["rl"] == pytest.approx(2 * seconds("rl.steps=200", "rl.eval_every=200")["rl"], rel=0.02)
    assert longer["sft"] > once["sft"]
    assert longer["diagnose"] == once["diagnose"]
    assert seconds("evaluate.greedy=false")["evaluate"] == pytest.approx(once["evaluate"] / 2)


def test_examples_are_those_of_the_stages_data_and_replay():
    plan = plan_of()
    own, expert = plan.recipe.sft.stages
    # 8,000 problems, 30 % inconsistent with two trajectories each, 30 % absent; as many again replayed.
    assert examples(plan, own) == pytest.approx(8000 * 0.3 * 2 * (1 + own.replay))
    assert examples(plan, expert) == pytest.approx(8000 * 0.3 * (1 + expert.replay))
