"""The rl section: stage 1, the GRPO variant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from metis_rise.recipe.base import Part, fault, said

Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


ClipLow = Annotated[
    Annotated[float, Field(gt=0, le=1)] | Literal["auto"], said("'auto' or a number above 0 and at most 1")
]
ClipHigh = Annotated[Positive | Literal["auto"], said("'auto' or a number above 0")]
_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
Function = Annotated[
    Annotated[str, StringConstraints(pattern=rf"^{_DOTTED}:{_DOTTED}$")] | None,
    said("a module and a function in it, such as my_rewards:brevity, or null"),
]


class RLConfig(Part):
    """Reinforcement learning with verified rewards."""

    steps: CountOrZero = 200
    """Policy steps; each samples problems, filters their groups and updates. 0 goes on with the model as it is."""

    prompts_per_step: Count = 128
    """Groups that one step trains on."""

    group_size: Annotated[int, Field(ge=2)] = 8
    """Completions per problem (G)."""

    learning_rate: Positive = 1e-6
    """AdamW learning rate after warm-up."""

    warmup_steps: CountOrZero = 5
    """Steps over which the learning rate rises from zero."""

    weight_decay: NonNegative = 0.0
    """AdamW weight decay."""

    max_grad_norm: Positive = 1.0
    """Gradients are scaled down to this norm."""

    adam_beta2: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """AdamW second-moment decay; short RL runs want it lower than 0.999."""

    minibatches: Count = 1
    """Optimizer updates per rollout."""

    micro_tokens: Count = 32_768
    """Packed tokens of one forward and backward pass: each prompt counted once, plus all its completions."""

    objective: Literal["grpo", "dr_grpo", "gspo", "cispo"] = "grpo"
    """The policy loss; what it does by default is what `auto` stands for in the four settings that follow."""

    clip_low: ClipLow = "auto"
    """The probability ratio is clipped below 1 - clip_low, not at all for 1; `auto` is the objective's own value."""

    clip_high: ClipHigh = "auto"
    """The ratio is clipped above 1 + clip_high, and more than clip_low keeps entropy up; `auto` is the objective's."""

    advantage_scale: Literal["auto", "std", "none"] = "auto"
    """Divide a group's centred rewards by their standard deviation, or leave them; `auto` is the objective's way."""

    loss_aggregation: Literal["auto", "token", "sequence", "constant"] = "auto"
    """Mean over all tokens of the batch, over sequences' means, or by a constant length; `auto` is the objective's."""

    kl_weight: NonNegative = 0.0
    """Weight of the KL penalty towards the base model; 0 loads no reference model."""

    filter_low: Share = 0.0
    """Groups whose mean accuracy is below this teach nothing and are dropped."""

    filter_high: Share = 1.0
    """Groups whose mean accuracy is above this are dropped."""

    filter_bounds: Literal["open", "closed"] = "open"
    """Whether the two bounds themselves are dropped (open) or kept; MM-EUREKA: 0.1, 0.9, closed."""

    refill_rounds: CountOrZero = 3
    """Further sampling rounds to fill a step after filtering; then the step is smaller."""

    carry_steps: CountOrZero = 1
    """Oldest age in steps at which a surplus group is still trained on; 0 discards the surplus."""

    max_staleness: Annotated[int, Field(ge=0, le=1)] = 0
    """0 samples with the weights that are trained next; 1 samples the next step's groups while a step is trained,
    with weights one step older. Needs engine.kind: server. Surplus groups may be older still (carry_steps)."""

    revisit: Share = 0.25
    """Probability of drawing again a problem whose last group was all right or all wrong."""

    accuracy_weight: NonNegative = 1.0
    """Weight of the accuracy reward, which is 1 for a right answer in the right format."""

    format_weight: NonNegative = 0.1
    """Weight of the format reward, which is 1 for the right format."""

    user_reward: Function = None
    """Your own reward, `module:function` (docs/design.md, "The GRPO variant"): its code is run; null for none."""

    user_weight: NonNegative = 1.0
    """Weight of your own reward."""

    overlong_buffer: CountOrZero = 512
    """The penalty for length rises over this many tokens before sampling.max_tokens; 0 switches it off."""

    overlong_weight: NonNegative = 0.5
    """Penalty of a completion that reaches sampling.max_tokens."""

    importance_cap: Positive = 2.0
    """Upper bound of the trainer-to-sampler importance weight per token."""

    old_logprobs: Literal["auto", "sampler", "trainer"] = "auto"
    """Whose log-probabilities the ratio starts from; `auto` takes the trainer's where the two can differ."""

    eval_every: Count = 10
    """Score the development problems, greedy and sampled, every so many steps."""

    eval_problems: Count = 200
    """Development problems scored each time, here and after each SFT stage."""

    checkpoint_every: Count = 10
    """Save a checkpoint every so many steps."""

    checkpoint_minutes: NonNegative = 30.0
    """Save one as well at the end of a step when the last one is so many minutes old; 0 saves by count alone."""

    keep_checkpoints: Count = 2
    """Newest checkpoints kept; that of the best step on dev, whose weights the next stages take, is kept besides."""

    max_bad_updates: Count = 5
    """Updates whose loss or gradient is not finite are skipped; so many in a row end the run."""

    @model_validator(mode="after")
    def _spans(self) -> RLConfig:
        if self.filter_low >= self.filter_high:
            raise fault("filter_low", self.filter_low, f"must be below rl.filter_high ({self.filter_high})")
        if self.minibatches > self.prompts_per_step:
            allowed = f"must not exceed rl.prompts_per_step ({self.prompts_per_step})"
            raise fault("minibatches", self.minibatches, allowed)
        if self.accuracy_weight + self.format_weight == 0 and (self.user_reward is None or self.user_weight == 0):
            raise fault("accuracy_weight", self.accuracy_weight, "must be above 0 where no other reward has a weight")
        return self
