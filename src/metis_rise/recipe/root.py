"""The whole recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from metis_rise.recipe.base import Part, fault
from metis_rise.recipe.cluster import ClusterConfig
from metis_rise.recipe.diagnose import DiagnoseConfig
from metis_rise.recipe.distill import DistillConfig
from metis_rise.recipe.engine import EngineConfig
from metis_rise.recipe.evaluate import EvaluateConfig
from metis_rise.recipe.expert import ExpertConfig
from metis_rise.recipe.judge import JudgeConfig
from metis_rise.recipe.model import ModelConfig
from metis_rise.recipe.parallel import ParallelConfig
from metis_rise.recipe.problems import ProblemsConfig
from metis_rise.recipe.prompt import PromptConfig
from metis_rise.recipe.rl import RLConfig
from metis_rise.recipe.sampling import SamplingConfig
from metis_rise.recipe.sft import SFTConfig
from metis_rise.recipe.tracking import TrackingConfig

# What a run may be taken up with other values of: they say how something is computed, not what. Results then are the
# same up to rounding. Items of lists go without their number.
MAY_CHANGE = frozenset(
    {
        "threads",
        "model.device",
        "model.attention",
        "model.gradient_checkpointing",
        "problems.picture_workers",
        "rl.checkpoint_every",
        "rl.checkpoint_minutes",
        "rl.keep_checkpoints",
        "rl.max_bad_updates",
        "sft.checkpoint_every",
        "sft.checkpoint_minutes",
        "sft.keep_checkpoints",
        "sft.max_bad_updates",
        "sampling.batch_tokens",
        "engine.urls",
        "engine.colocated",
        "engine.concurrency",
        "engine.timeout_s",
        "engine.push",
        "engine.weights_folder",
        "expert.experts.url",
        "expert.experts.api_key_env",
        "expert.experts.concurrency",
        "expert.experts.requests_per_minute",
        "expert.experts.tokens_per_minute",
        "expert.experts.timeout_s",
        "expert.experts.price_in",
        "expert.experts.price_out",
        "expert.budget.calls",
        "expert.budget.tokens",
        "expert.budget.money",
        "evaluate.data",
        "judge.url",
        "judge.api_key_env",
        "judge.concurrency",
        "judge.timeout_s",
        "cluster.gpu",
        "cluster.nodes",
        "cluster.gpus_per_node",
        "cluster.server_nodes",
        "cluster.tensor_parallel",
        "parallel.shard",
        "parallel.shard_size",
        "parallel.offload",
        "rl.micro_tokens",
        "sft.micro_tokens",
        "tracking.to",
        "tracking.project",
        "tracking.samples",
    }
)


class Recipe(Part):
    """What to do: one section per stage, and what the stages share. Defaults suit a 7B model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
    """Name of the recipe; a run is called so unless told otherwise."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of sampling, of orders and of every other random choice."""

    rounds: Annotated[int, Field(ge=1)] = 1
    """How often RL, diagnosis, distillation, expert and SFT are done, each round from the model of the one before."""

    threads: Annotated[int, Field(ge=0)] = 0
    """CPU threads; 0 takes all cores."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    """The model that is trained."""

    problems: ProblemsConfig
    """The problems."""

    prompt: PromptConfig = Field(default_factory=PromptConfig)
    """What is said to the model besides the problem."""

    sampling: SamplingConfig = Field(default_factory=SamplingConfig)
    """How completions are drawn."""

    engine: EngineConfig = Field(default_factory=EngineConfig)
    """Who samples them."""

    rl: RLConfig = Field(default_factory=RLConfig)
    """Stage 1, reinforcement learning."""

    diagnose: DiagnoseConfig = Field(default_factory=DiagnoseConfig)
    """Stage 2, solve rates."""

    distill: DistillConfig = Field(default_factory=DistillConfig)
    """Stage 3, own trajectories."""

    expert: ExpertConfig = Field(default_factory=ExpertConfig)
    """Stage 4, expert trajectories."""

    sft: SFTConfig = Field(default_factory=SFTConfig)
    """Stage 5, supervised fine-tuning."""

    judge: JudgeConfig = Field(default_factory=JudgeConfig)
    """A model that is asked about text answers, if any."""

    evaluate: EvaluateConfig = Field(default_factory=EvaluateConfig)
    """Stage 6, the comparison on test problems."""

    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    """The machines that a run is meant for."""

    parallel: ParallelConfig = Field(default_factory=ParallelConfig)
    """How several processes share the model, if there are several."""

    tracking: TrackingConfig = Field(default_factory=TrackingConfig)
    """Trackers that are told of the run's figures, if any."""

    @model_validator(mode="after")
    def _across(self) -> Recipe:
        if self.sampling.max_tokens != "auto" and self.rl.overlong_buffer > self.sampling.max_tokens:
            raise fault(
                "rl.overlong_buffer",
                self.rl.overlong_buffer,
                f"must not exceed sampling.max_tokens ({self.sampling.max_tokens})",
            )
        for part, budget in (("rl", self.rl.micro_tokens), ("sft", self.sft.micro_tokens)):
            if self.sampling.max_tokens != "auto" and budget <= self.sampling.max_tokens:
                allowed = f"must exceed sampling.max_tokens ({self.sampling.max_tokens}), with room for a prompt"
                raise fault(f"{part}.micro_tokens", budget, allowed)
        return self

    @model_validator(mode="after")
    def _solve_rates(self) -> Recipe:
        absent, mastered = self.diagnose.absent_at, self.diagnose.mastered_at
        for index, stage in enumerate(self.sft.stages):
            low, high = stage.solve_rates
            there = {"self": low < mastered and high > absent, "expert": low <= absent, "mastered": high >= mastered}
            if not any(there[name] for name in stage.data):
                allowed = (
                    f"holds no problem of its data ({', '.join(stage.data)}): those of expert have at most "
                    f"diagnose.absent_at ({absent}), those of mastered at least diagnose.mastered_at ({mastered}), "
                    "those of self lie between"
                )
                raise fault(f"sft.stages.{index}.solve_rates", [low, high], allowed)
        return self

    @model_validator(mode="after")
    def _over_servers(self) -> Recipe:
        if self.engine.kind == "native":
            if self.rl.max_staleness:
                allowed = "must be 0 unless engine.kind=server: one process cannot sample and train at once"
                raise fault("rl.max_staleness", self.rl.max_staleness, allowed)
            return self
        if self.rl.old_logprobs == "sampler":
            allowed = "must be 'auto' or 'trainer' with engine.kind=server, whose samplers compute a little differently"
            raise fault("rl.old_logprobs", "sampler", allowed)
        # What truncation never draws, no weight on what was drawn makes up for.
        for name, value, whole in (("top_p", self.sampling.top_p, 1), ("top_k", self.sampling.top_k, 0)):
            if value != whole:
                allowed = (
                    f"must be {whole} with engine.kind=server: RL's importance correction (rl.importance_cap) cannot "
                    "be combined with truncated sampling; diagnosis and evaluation share the setting"
                )
                raise fault(f"sampling.{name}", value, allowed)
        return self

    @model_validator(mode="after")
    def _on_a_cluster(self) -> Recipe:
        engine, cluster = self.engine, self.cluster
        if engine.colocated and self.rl.max_staleness:
            raise fault("rl.max_staleness", 1, "must be 0 with engine.colocated: servers sleep while the model trains")
        if engine.colocated and cluster.server_nodes:
            allowed = f"must be false with cluster.server_nodes={cluster.server_nodes}, which have GPUs of their own"
            raise fault("engine.colocated", True, allowed)
        if engine.urls != "auto":
            return self
        if cluster.gpu is None:
            allowed = "needs cluster.gpu and what goes with it, which say how many servers there are"
            raise fault("engine.urls", "auto", allowed)
        if not cluster.server_nodes and not engine.colocated:
            allowed = "must be true with engine.urls=auto and cluster.server_nodes=0: all GPUs train"
            raise fault("engine.colocated", False, allowed)
        if cluster.tensor_parallel > cluster.gpus_per_node:
            allowed = f"must not exceed cluster.gpus_per_node ({cluster.gpus_per_node}) with engine.urls=auto"
            raise fault("cluster.tensor_parallel", cluster.tensor_parallel, allowed)
        return self
