"""Claims files: what is claimed of arms, which differences a claim rests on, and by what it is decided."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from metis_rise.ablation.arms import Arm
from metis_rise.ablation.tables import Reading
from metis_rise.errors import InputError
from metis_rise.recipe.base import Part, fault
from metis_rise.recipe.yaml_text import parse_yaml

_OF = re.compile(r"^(\S+) - (\S+)$")
# In a difference: the claim's value, and any of its values.
_VALUE, _ANY = "@N", "@*"
Readings = Annotated[tuple[Reading, ...], Field(strict=False, min_length=1)]


class Cells(Part):
    """The bases and seeds that the arms of a group are to have."""

    bases: Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
    """Names of bases, as results have them."""

    seeds: Annotated[tuple[int, ...], Field(strict=False, min_length=1)]
    """Seeds."""

    @property
    def all(self) -> set[tuple[str, int]]:
        """Each base with each seed."""
        return set(product(self.bases, self.seeds))


class Difference(Part):
    """One arm minus another one, on the same problems, bases and seeds."""

    of: Annotated[str, Field(pattern=_OF.pattern)]
    """ARM - OTHER. `@N` stands for the value that a part of the claim is of, `@*` for each of the claim's values."""

    split: str = "test"
    """The problems."""

    families: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Only the problems of these families."""

    each_base: bool = False
    """It must hold on each base as well."""

    level_on: str | None = None
    """Only of arms that are level on these problems."""

    @property
    def arms(self) -> tuple[str, str]:
        """The one, and the one that is taken from it."""
        one, _, other = self.of.partition(" - ")
        return one, other


class Rule(Part):
    """When a claim has an outcome: enough of its parts read so."""

    when: Readings
    """A part counts that reads one of these."""

    at_least: Annotated[int, Field(ge=1)] | None = None
    """So many parts must; all without it."""

    never: Annotated[tuple[Reading, ...], Field(strict=False)] = ()
    """No difference of the claim may read one of these."""


class Claim(Part):
    """A claim. Its parts are its differences, or its `values`, each of which then has all differences."""

    number: Annotated[int, Field(ge=1)]
    """By what it is called."""

    claim: Annotated[str, Field(min_length=1)]
    """What it says."""

    primary: bool = False
    """Whether its p is corrected, with those of all primary ones, and must stay below 0.05."""

    values: Annotated[tuple[int, ...], Field(strict=False)] = ()
    """What `@N` and `@*` stand for."""

    differences: Annotated[
        tuple[Annotated[Difference, BeforeValidator(lambda raw: {"of": raw} if isinstance(raw, str) else raw)], ...],
        Field(strict=False, min_length=1),
    ]
    """What it rests on; a text is one on the test problems."""

    supported: Rule
    """A part counts when all its differences read so."""

    refuted: Rule
    """A part counts when one of its differences reads so."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        texts = [each.of for each in self.differences]
        if any(mark in text for text in texts for mark in (_VALUE, _ANY)) != bool(self.values):
            said = f"values: must be given where a difference has {_VALUE} or {_ANY}, and only there"
            raise fault("values", list(self.values), said)
        if len({_VALUE in text for text in texts}) > 1:
            raise fault("differences", texts, f"differences: must have {_VALUE} in all of them or in none")
        most = len(self.parts)
        for name, rule in (("supported", self.supported), ("refuted", self.refuted)):
            if (rule.at_least or 0) > most:
                raise fault(name, rule.at_least, f"{name}.at_least: at most {most}, as many as there are parts")
        return self

    @property
    def parts(self) -> list[list[Difference]]:
        """What its rules count, each with its differences between single arms."""
        if any(_VALUE in each.of for each in self.differences):
            return [[_at(each, _VALUE, value) for each in self.differences] for value in self.values]
        return [list(self._each(one)) for one in self.differences]

    def _each(self, one: Difference) -> Iterator[Difference]:
        if _ANY not in one.of:
            yield one
            return
        for value in self.values:
            yield from self._each(_at(one, _ANY, value))


def _at(one: Difference, mark: str, value: int) -> Difference:
    """With a value in place of a mark: everywhere of `@N`, of the first `@*`."""
    return one.model_copy(update={"of": one.of.replace(mark, f"@{value}", -1 if mark == _VALUE else 1)})


class ClaimsFile(Part):
    """What a claims file holds."""

    cells: dict[str, Cells]
    """By group of arms."""

    claims: Annotated[tuple[Claim, ...], Field(strict=False, min_length=1)]
    """The claims."""

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        numbers = [each.number for each in self.claims]
        if len(set(numbers)) < len(numbers):
            raise fault("claims", numbers, "claims: must have different numbers")
        return self


@dataclass(frozen=True, slots=True)
class Protocol:
    """The claims of a file, and the cells that each arm is to have, by its name."""

    claims: Sequence[Claim]
    cells: Mapping[str, set[tuple[str, int]]]

    def known(self, claim: Claim) -> bool:
        """Whether all its arms are there."""
        return all(name in self.cells for name in names(claim))

    def both(self, one: Difference) -> list[tuple[str, int]]:
        """The cells that both arms are to have."""
        first, second = (self.cells[name] for name in one.arms)
        return sorted(first & second)


def names(claim: Claim) -> list[str]:
    """The arms of a claim."""
    return list(dict.fromkeys(name for part in claim.parts for each in part for name in each.arms))


def load_claims(path: Path | None, arms: Mapping[str, Arm]) -> Protocol:
    """The claims of a file, those of docs/evidence.md without one, on `arms`.

    Raises:
        InputError: an unreadable file, a wrong value, a group without cells, or an arm that is not among `arms` (of a
            file that was given: the claims that are shipped may be more than the arms that are looked at).
    """
    where = "claims of docs/evidence.md" if path is None else str(path)
    file = _parse(shipped_claims() if path is None else _read(path), where)
    if path is not None:
        _refuse_unknown(file, arms, where)
    cells = {name: file.cells[arm.group].all for name, arm in arms.items() if arm.group in file.cells}
    protocol = Protocol(file.claims, cells)
    for claim in filter(protocol.known, file.claims):
        for each in (one for part in claim.parts for one in part):
            if not protocol.both(each):
                said = "the groups of the two arms have no cell in common"
                raise InputError(f"{where}: claim {claim.number}: {each.of}: {said}; see cells")
    return protocol


def _refuse_unknown(file: ClaimsFile, arms: Mapping[str, Arm], where: str) -> None:
    for claim in file.claims:
        for name in names(claim):
            if name not in arms:
                raise InputError(f"{where}: claim {claim.number}: no such arm: {name}; arms: {', '.join(arms)}")
            if arms[name].group not in file.cells:
                raise InputError(f"{where}: cells: the group of arm {name} is missing: {arms[name].group}")


def shipped_claims() -> str:
    """The claims file inside the package."""
    return (resources.files("metis_rise") / "recipes" / "claims" / "evidence.yaml").read_text(encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = "not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise InputError(f"{path}: cannot read the claims: {why}") from error


def _parse(text: str, where: str) -> ClaimsFile:
    raw: Any = parse_yaml(text, where)
    try:
        return ClaimsFile.model_validate(raw)
    except ValidationError as error:
        lines = (f"{where}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InputError("\n".join(lines)) from error
