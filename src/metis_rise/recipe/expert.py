"""The expert section: stage 4."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from metis_rise.recipe.base import KeyVariable, Part, Url, fault

FREE = ("world", "foreign", "solution")
IMPORTED = "imported"
Amount = Annotated[float, Field(ge=0)]
Knowledge = Literal["reference_answer", "reference_solution", "hints", "failed_attempts"]
Name = Annotated[str, Field(min_length=1)]


class ExpertEntry(Part):
    """One expert: `world`, `foreign` and `solution` are free, other names are models behind OpenAI-compatible APIs."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]
    """`world` (the procedural world's own expert), `foreign` (a stand-in for a real one there: in another style, and
    not always right), `solution` (the data's `solution` field), or your name for an endpoint."""

    url: Url | None = None
    """Of an endpoint: the base address of its API, such as https://HOST/v1."""

    model: Annotated[str, Field(min_length=1)] | None = None
    """Of an endpoint: the model's name there."""

    api_key_env: KeyVariable = ""
    """The environment variable that holds the endpoint's key (the key itself belongs in no recipe)."""

    temperatures: Annotated[tuple[Amount | None, ...], Field(strict=False, min_length=1)] = (None, 0.7, 1.0)
    """Sampling temperatures, in order: a problem whose replies are all refused is asked again with the next one; null
    leaves it to the endpoint."""

    samples: Annotated[int, Field(ge=1)] = 1
    """Answers per call; the first that is verified is kept."""

    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """Longest answer in tokens; budgets count on it until the reply says what was used."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls that limit: newer models of OpenAI know `max_completion_tokens` only."""

    concurrency: Annotated[int, Field(ge=1)] = 8
    """Calls in flight."""

    requests_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Most requests per minute, repeated ones included; null sets no limit."""

    tokens_per_minute: Annotated[float, Field(gt=0)] | None = None
    """Most tokens per minute, of prompts and answers together; null sets no limit."""

    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """Seconds until a call without a whole reply is given up and made again."""

    price_in: Amount | None = None
    """Price of a million prompt tokens, in the currency of `budget.money`; null where it is not known."""

    price_out: Amount | None = None
    """Price of a million answer tokens, likewise."""

    @property
    def free(self) -> bool:
        """Whether it costs nothing and calls nobody."""
        return self.name in FREE

    @model_validator(mode="after")
    def _kind(self) -> ExpertEntry:
        for key, value in (("url", self.url), ("model", self.model)):
            if not self.free and value is None:
                raise fault(key, value, f"must be given for the endpoint {self.name!r} (free: {', '.join(FREE)})")
            if self.free and value is not None:
                raise fault(key, value, f"must be left out for {self.name!r}, which is free; an endpoint needs a name")
        if self.samples > 1 and 0 in self.temperatures:
            raise fault(
                "samples", self.samples, "must be 1 with a temperature of 0, which gives the same answer each time"
            )
        return self


class BudgetConfig(Part):
    """What the expert stage may spend in all; no call is made that might pass a cap, those in flight counted."""

    tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of prompts and answers together; null sets no cap."""

    money: Annotated[float, Field(gt=0)] | None = None
    """Money, in the currency of the prices; null sets no cap."""

    calls: Annotated[int, Field(ge=1)] | None = None
    """Calls that are answered; null sets no cap."""


class ExpertConfig(Part):
    """Who solves the absent problems, what they are told, and what that may cost."""

    experts: Annotated[tuple[ExpertEntry, ...], Field(strict=False, min_length=1)] = (
        ExpertEntry(name="world"),
        ExpertEntry(name="solution"),
    )
    """Experts in order: a problem that one cannot solve goes on to the next."""

    max_problems: Annotated[int, Field(ge=0)] | None = None
    """Most absent problems given to the experts, drawn at random; null gives all, 0 asks nobody."""

    knowledge: Annotated[tuple[Knowledge, ...], Field(strict=False)] = (
        "reference_answer",
        "reference_solution",
        "hints",
    )
    """What endpoints are told besides the problem, where it is there. Failed attempts make prompts long, and are left
    out unless asked for; [] asks blind."""

    failed_attempts: Annotated[int, Field(ge=1)] = 2
    """Most of the policy's failed attempts in a prompt, with different answers."""

    failed_characters: Annotated[int, Field(ge=1)] = 1500
    """Most characters of each; the rest is left out."""

    template: Name = "full"
    """What an endpoint is asked with: `full`, `brief` (for small models), or a Jinja file of your own."""

    hints: Name = "shipped"
    """Domain hints by subject or family: `shipped`, or a YAML file of your own."""

    system: Name | None = "rise"
    """System prompt of endpoints: `rise` (our format, which is what is verified), null, or a text file."""

    budget: BudgetConfig = Field(default_factory=BudgetConfig)
    """What the stage may spend."""

    @model_validator(mode="after")
    def _across(self) -> ExpertConfig:
        names = [entry.name for entry in self.experts]
        if len(set(names)) < len(names):
            raise fault("experts", ", ".join(names), "must name each expert once")
        if IMPORTED in names:
            raise fault("experts", IMPORTED, "is what `rise import` brings, which needs no expert; choose another name")
        unpriced = [e.name for e in self.experts if not e.free and (e.price_in is None or e.price_out is None)]
        if self.budget.money is not None and unpriced:
            allowed = f"needs price_in and price_out of every endpoint; {unpriced[0]!r} has none"
            raise fault("budget.money", self.budget.money, allowed)
        return self

    @property
    def endpoints(self) -> tuple[ExpertEntry, ...]:
        """The experts that are asked over HTTP."""
        return tuple(entry for entry in self.experts if not entry.free)
