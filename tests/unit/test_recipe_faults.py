from __future__ import annotations

import json
from pathlib import Path

import pytest

from metis_rise.errors import InputError
from metis_rise.recipe import Recipe, load_recipe, resolved


def fault(overrides: list[str], recipe: str = "tiny") -> str:
    with pytest.raises(InputError) as caught:
        load_recipe(recipe, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("rl.groupsize=3", "rl.group_size"),
        ("group_size=3", "rl.group_size"),
        ("rl.max_tokens=3", "sampling.max_tokens"),
        ("problems.train_per_level=3", "problems.world.train_per_level"),
        ("sft.stages.1.epoch=3", "sft.stages.0.epochs"),
        ("smapling.top_p=1", "sampling"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(override: str, nearest: str):
    message = fault([override])
    assert message.startswith(f"override {override}: unknown key ")
    assert message.endswith(f"the nearest known key is {nearest}")


def test_an_unknown_key_in_a_file_names_the_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nproblems: {kind: world}\nrl: {step: 3}\n", encoding="utf-8")
    assert fault([], str(path)) == f"{path}: unknown key rl.step; the nearest known key is rl.steps"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rl.group_size=1", "rl.group_size = 1: must be greater than or equal to 2"),
        ("rl.steps=many", "rl.steps = 'many': must be a valid integer"),
        ("rl.steps=true", "rl.steps = true: must be a valid integer"),
        ("rl.learning_rate=.nan", "rl.learning_rate = nan: must be a finite number"),
        ("rl.learning_rate=0", "rl.learning_rate = 0: must be greater than 0"),
        ("model.device=gpu", "model.device = 'gpu': must be 'auto', 'cpu' or 'cuda'"),
        ("model.freeze_vision=1", "model.freeze_vision = 1: must be a valid boolean"),
        ("name=../x", "name = '../x': must match"),
        ("rl=3", "rl = 3: must be a section of keys"),
        ("problems.world.levels=[1, 6]", "problems.world.levels.1 = 6: must be less than or equal to 5"),
        ("problems.world.levels=[2, 2]", "problems.world.levels = [2, 2]: must name each level once"),
        ("diagnose.samples=0", "diagnose.samples = 0: must be above 0 unless diagnose.max_samples is 0"),
        ("sft.stages=[]", "sft.stages = []: must have at least 1 item"),
        ("sft.stages.1.data=[own]", "sft.stages.1.data.0 = 'own': must be 'self', 'expert' or 'mastered'"),
        ("sft.stages.1.data=[self, self]", "sft.stages.1.data = ['self', 'self']: must name each kind of data once"),
        (
            "sft.stages.1.solve_rates=[0.1, 0.9]",
            "sft.stages.1.solve_rates = [0.1, 0.9]: holds no problem of its data (expert): those of expert have at "
            "most diagnose.absent_at (0.0)",
        ),
        ("sft.stages.0.solve_rates=[0, 0]", "sft.stages.0.solve_rates = [0.0, 0.0]: holds no problem of its data"),
        ("sft.stages.1.name=self", "sft.stages.1.name = 'self': must be unique"),
        ("rl.filter_low=1", "rl.filter_low = 1.0: must be below rl.filter_high (1.0)"),
        ("rl.clip_low=1.5", "rl.clip_low = 1.5: must be 'auto' or a number above 0 and at most 1"),
        ("rl.clip_low=0", "rl.clip_low = 0: must be 'auto' or a number above 0 and at most 1"),
        ("rl.clip_low=true", "rl.clip_low = true: must be 'auto' or a number above 0 and at most 1"),
        ("rl.clip_high=own", "rl.clip_high = 'own': must be 'auto' or a number above 0"),
        ("rl.clip_high=.inf", "rl.clip_high = inf: must be 'auto' or a number above 0"),
        ("rl.objective=ppo", "rl.objective = 'ppo': must be 'grpo', 'dr_grpo', 'gspo' or 'cispo'"),
        ("rl.advantage_scale=mean", "rl.advantage_scale = 'mean': must be 'auto', 'std' or 'none'"),
        ("rl.loss_aggregation=row", "rl.loss_aggregation = 'row': must be 'auto', 'token', 'sequence' or 'constant'"),
        ("rl.minibatches=13", "rl.minibatches = 13: must not exceed rl.prompts_per_step (12)"),
        ("sampling.max_tokens=0", "sampling.max_tokens = 0: must be 'auto' or a whole number of at least 1"),
        ("rl.micro_tokens=80", "rl.micro_tokens = 80: must exceed sampling.max_tokens (80), with room for a prompt"),
        ("sft.micro_tokens=7", "sft.micro_tokens = 7: must exceed sampling.max_tokens (80), with room for a prompt"),
        ("rl.overlong_buffer=81", "rl.overlong_buffer = 81: must not exceed sampling.max_tokens (80)"),
        ("diagnose.mastered_at=0", "diagnose.mastered_at = 0: must be greater than 0"),
        ("diagnose.absent_at=1", "diagnose.absent_at = 1: must be less than 1"),
        ("problems.train=a.jsonl", "problems.train = 'a.jsonl': must be null for problems.kind=world"),
        ("engine.kind=server", "engine.urls = []: must name at least one server with engine.kind=server"),
        ("engine.urls=[http://a:1]", "engine.urls = ['http://a:1']: must be empty unless engine.kind=server"),
        ("engine.urls=[a:8000]", "engine.urls.0 = 'a:8000': must match"),
        ("engine.urls=[http://a:80000]", "engine.urls.0 = 'http://a:80000': must be an address such as http://host:80"),
        ("engine.urls=[http://a:b]", "engine.urls.0 = 'http://a:b': must be an address"),
        ("engine.urls=[http://:8000]", "engine.urls.0 = 'http://:8000': must be an address"),
        ("engine.urls=[http://a:1/]", "engine.urls.0 = 'http://a:1/': must be an address such as http://host"),
        ("expert.experts=[{name: a, url: 'http://a:b/v1'}]", "experts.0.url = 'http://a:b/v1': must be an address"),
        ("expert.experts=[{name: a, url: 'a:8000'}]", "expert.experts.0.url = 'a:8000': must match"),
        ("expert.experts=[{name: a, model: m}]", "expert.experts.0.url = null: must be given for the endpoint 'a'"),
        ("expert.experts=[{name: a, url: 'http://h/v1'}]", "expert.experts.0.model = null: must be given"),
        ("expert.experts=[{name: world, model: m}]", "expert.experts.0.model = 'm': must be left out for 'world'"),
        (
            "expert.experts=[{name: a, url: 'http://h/v1', model: m, samples: 2, temperatures: [0.0]}]",
            "expert.experts.0.samples = 2: must be 1 with a temperature of 0",
        ),
        (
            "expert.experts=[{name: world}, {name: world}]",
            "expert.experts = 'world, world': must name each expert once",
        ),
        ("expert.knowledge=[answer]", "expert.knowledge.0 = 'answer': must be 'reference_answer'"),
        ("rl.max_staleness=1", "rl.max_staleness = 1: must be 0 unless engine.kind=server"),
        ("rl.max_staleness=2", "rl.max_staleness = 2: must be less than or equal to 1"),
        ("problems.kind=jsonl", "problems.train = null: must be a JSONL file"),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(override: str, said: str):
    message = fault([override])
    assert said in message
    assert "\n" not in message


def test_rules_across_fields():
    assert "model.min_pixels = 9: must not be above model.max_pixels (4)" in fault(
        ["model.min_pixels=9", "model.max_pixels=4"]
    )
    assert "diagnose.absent_at = 0.5: must be below diagnose.mastered_at (0.5)" in fault(
        ["diagnose.absent_at=0.5", "diagnose.mastered_at=0.5"]
    )
    assert "there is nothing to score" in fault(["evaluate.greedy=false", "evaluate.sampled=false"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("sampling.top_p=0.9", "sampling.top_p = 0.9: must be 1 with engine.kind=server: RL's importance correction"),
        ("sampling.top_k=20", "sampling.top_k = 20: must be 0 with engine.kind=server: RL's importance correction"),
        ("rl.old_logprobs=sampler", "rl.old_logprobs = 'sampler': must be 'auto' or 'trainer' with engine.kind=server"),
        ("engine.urls=[http://a:1, http://a:1]", "must name each server once"),
    ],
)
def test_what_servers_cannot_be_combined_with(override: str, said: str):
    servers = ["engine.kind=server", "engine.urls=[http://a:1, http://b:1]"]
    assert said in fault([*servers, override])
    assert load_recipe("tiny", [*servers, "rl.max_staleness=1"]).engine.urls == ("http://a:1", "http://b:1")


def test_a_size_of_copies_goes_with_copies():
    assert "parallel.shard_size = 4: goes with parallel.shard=hybrid alone, not with full" in fault(
        ["parallel.shard_size=4"]
    )
    assert load_recipe("tiny", ["parallel.shard=hybrid", "parallel.shard_size=4"]).parallel.shard_size == 4


AUTO = ["engine.kind=server", "engine.urls=auto"]
GPUS = ["cluster.gpu=h100-80gb", "cluster.nodes=2"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AUTO, "engine.urls = 'auto': needs cluster.gpu"),
        (["engine.kind=server", "engine.urls=any"], "engine.urls = 'any': must be 'auto' or a list of addresses"),
        (["engine.urls=auto"], "engine.urls = 'auto': must be empty unless engine.kind=server"),
        ([*AUTO, *GPUS], "engine.colocated = false: must be true with engine.urls=auto and cluster.server_nodes=0"),
        (
            [*AUTO, *GPUS, "cluster.server_nodes=1", "engine.colocated=true"],
            "engine.colocated = true: must be false with cluster.server_nodes=1",
        ),
        (
            [*AUTO, *GPUS, "cluster.nodes=4", "cluster.server_nodes=2", "cluster.tensor_parallel=16"],
            "cluster.tensor_parallel = 16: must not exceed cluster.gpus_per_node (8) with engine.urls=auto",
        ),
        (["engine.colocated=true"], "engine.colocated = true: must be false unless engine.kind=server"),
        (
            [*AUTO, *GPUS, "engine.colocated=true", "engine.push=nccl"],
            "engine.push = 'nccl': must be disk with engine.colocated",
        ),
        (
            [*AUTO, *GPUS, "engine.colocated=true", "rl.max_staleness=1"],
            "rl.max_staleness = 1: must be 0 with engine.colocated",
        ),
    ],
)
def test_servers_that_are_to_be_found_need_machines_that_hold_them(settings: list[str], said: str):
    assert said in fault(settings)


def test_servers_to_be_found_survive_json():
    for settings in (["engine.colocated=true"], ["cluster.server_nodes=1", "rl.max_staleness=1"]):
        recipe = load_recipe("tiny", [*AUTO, *GPUS, *settings])
        assert recipe.engine.urls == "auto"
        assert Recipe.model_validate(json.loads(json.dumps(resolved(recipe)))) == recipe


def test_a_cap_on_money_needs_prices():
    entry = "{name: a, url: 'http://h/v1', model: m%s}"
    assert "expert.budget.money = 5.0: needs price_in and price_out of every endpoint; 'a' has none" in fault(
        ["expert.budget.money=5", f"expert.experts=[{entry % ', price_in: 1'}]"]
    )
    priced = [f"expert.experts=[{entry % ', price_in: 1, price_out: 0'}]", "expert.budget.money=5"]
    assert load_recipe("tiny", priced).expert.budget.money == 5


def test_a_folder_for_weights_is_refused_where_there_are_no_files():
    servers = ["engine.kind=server", "engine.urls=[http://a:1]", "engine.weights_folder=/w"]
    assert load_recipe("tiny", servers).engine.weights_folder == "/w"
    said = "engine.weights_folder = '/w': must be null with engine.push=nccl"
    assert said in fault([*servers, "engine.push=nccl"])


def test_several_faults_are_one_line_each():
    lines = fault(["rl.group_size=1", "rl.steps=-1", "sampling.topp=1"]).splitlines()
    assert len(lines) == 3
    assert {line.partition(":")[0] for line in lines} == {
        "override rl.group_size=1",
        "override rl.steps=-1",
        "override sampling.topp=1",
    }


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("rl.steps", "must be KEY=VALUE"),
        ("=3", "must be KEY=VALUE"),
        ("rl.steps.x=1", "the key before 'x' holds a single value"),
        ("sft.stages.2.epochs=1", "'2' must be an item number from 0 to 1"),
        ("sft.stages.self.epochs=1", "'self' must be an item number from 0 to 1"),
        ("rl.steps=[1", "not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_applied(override: str, said: str):
    message = fault([override])
    assert message.startswith(f"override {override}")
    assert said in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [x\n", "row 2: not valid YAML"),
        ("name: x\nseed: 1\nname: y\n", "row 3: not valid YAML: the key name stands twice"),
        ("- a\n- b\n", "must be a mapping"),
        ("", "must be a mapping"),
        ("seed: 1\nproblems: {kind: world}\n", "name is missing"),
        ("name: x\n", "problems is missing"),
        ("name: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    message = fault([], str(path))
    assert message.startswith(str(path))
    assert said in message


def test_a_file_that_cannot_be_read(tmp_path: Path):
    assert "No such file" in fault([], str(tmp_path / "none.yaml"))
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\u00e9\n".encode("latin-1"))
    assert "not UTF-8" in fault([], str(latin))


def test_an_unknown_name_lists_the_shipped_recipes():
    message = fault([], "tinny")
    assert "did you mean tiny?" in message
    assert "user_jsonl" in message


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("1E3", 1000.0), ("2.5e+1", 25.0), (".5", 0.5), ("3", 3.0), ("1_0.5", 10.5)],
)
def test_numbers_are_read_as_people_write_them(text: str, value: float):
    assert load_recipe("tiny", [f"rl.learning_rate={text}"]).rl.learning_rate == value


def test_a_date_is_text_and_not_a_date():
    assert load_recipe("tiny", ["name=2026-01-31"]).name == "2026-01-31"
