"""How a score came about: what the model was shown, how it answered, who judged. It goes with every number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from metis_rise import __version__
from metis_rise.errors import InputError

GIVEN = "given"
"""The protocol of a file of verdicts: somebody else judged, and nothing says how."""
NO_SYSTEM = "none"
"""`system_sha` where no system prompt was sent."""
COMPARED = (
    "protocol",
    "style",
    "system_sha",
    "judge",
    "min_pixels",
    "max_pixels",
    "decoding",
    "max_tokens",
    "engine",
    "dtype",
)
"""What must be the same for two scores to be compared; versions, data and truncation are shown only."""
_OF_ONE_SET = ("truncated", "data", "subset")
"""Parts of the line that belong to one benchmark's data and answers."""
_PACKAGES = ("torch", "transformers")
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(("protocol", "style", "system_sha", "engine", "dtype", "data_md5", "subset"), (str, "a string")),
    **dict.fromkeys(("judge", "decoding", "versions"), (dict, "an object")),
    **dict.fromkeys(("min_pixels", "max_pixels", "max_tokens"), (int, "a whole number")),
    "truncated": ((int, float), "a share from 0 to 1"),
}


@dataclass(frozen=True, slots=True)
class ProtocolRecord:
    """What is known of how a score came about; None is "unknown", and is said so.

    protocol: rule, official, judge, or `GIVEN`; None until the answers are scored.
    style: rise or vlmevalkit.
    system_sha: `system_sha(prompt)` of the system prompt, or `NO_SYSTEM`.
    judge: what `judge` was, with `model` at least; None where no model judged.
    min_pixels, max_pixels: bounds of a picture's area.
    decoding: temperature, top_p, top_k, samples, seed.
    max_tokens: of an answer.
    versions: of packages, by name.
    truncated: share of the answers that were cut at `max_tokens`, 0 to 1.
    data_md5: of the data file.
    subset: "n/N" rows, None for the whole official file.
    """

    protocol: str | None = None
    style: str | None = None
    system_sha: str | None = None
    judge: Mapping[str, Any] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    decoding: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    engine: str | None = None
    dtype: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    truncated: float | None = None
    data_md5: str | None = None
    subset: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any], place: str) -> ProtocolRecord:
        """The record that `to_json` wrote.

        Raises:
            InputError: a key that no record has, or a value of another type; `place` is named.
        """
        for name, value in row.items():
            if name not in _KINDS:
                raise InputError(f"{place}: unknown key {name!r}; known are {', '.join(_KINDS)}")
            types, words = _KINDS[name]
            if value is not None and (isinstance(value, bool) or not isinstance(value, types)):
                raise InputError(f"{place}: {name} is {value!r}; write {words}, or null where it is unknown")
        return replace(cls(), **{name: value for name, value in row.items() if value is not None})

    def line(self) -> str:
        """Everything in one line, as it is printed under each score; what is not known is named at its end."""
        return _joined(self._parts())

    def conditions(self) -> str:
        """How a model was asked and judged, as in `line`, and not what was read or came out."""
        return _joined({name: part for name, part in self._parts().items() if name not in _OF_ONE_SET})

    def _parts(self) -> dict[str, str | None]:
        return {
            "protocol": self._protocol(),
            "style": _said("style {}", self.style),
            "system prompt": "no system prompt"
            if self.system_sha == NO_SYSTEM
            else _said("system {}", self.system_sha),
            "pixels": self._pixels(),
            "decoding": " ".join(f"{name}={value}" for name, value in (self.decoding or {}).items()),
            "tokens": _said("at most {} tokens", self.max_tokens),
            "truncated": None if self.truncated is None else f"{100 * self.truncated:.1f} % truncated",
            "engine": _said("engine {}", self.engine),
            "dtype": self.dtype,
            "versions": " ".join(f"{name} {number}" for name, number in self.versions.items()),
            "data": _said("data {:.8}", self.data_md5),
            "subset": "whole set" if self.subset is None else f"subset {self.subset}",
        }

    def differences(self, other: ProtocolRecord) -> tuple[str, ...]:
        """Names of what two records do not share, out of `COMPARED`; an unknown is not the same as anything known."""
        return tuple(name for name in COMPARED if getattr(self, name) != getattr(other, name))

    def _protocol(self) -> str | None:
        if self.judge is None:
            return _said("protocol {}", self.protocol)
        return f"protocol {self.protocol} by {self.judge.get('model', 'an unknown model')}"

    def _pixels(self) -> str | None:
        bounds = (_said("at least {}", self.min_pixels), _said("at most {}", self.max_pixels))
        said = " and ".join(filter(None, bounds))
        return f"{said} pixels" if said else None


def _joined(parts: Mapping[str, str | None]) -> str:
    unknown = [name for name, part in parts.items() if not part]
    said = " · ".join(part for part in parts.values() if part)
    return f"{said} · unknown: {', '.join(unknown)}" if unknown else said


def system_sha(prompt: str | None) -> str:
    """Name of a system prompt: the first 12 hex digits of its SHA-256, `NO_SYSTEM` without one."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12] if prompt else NO_SYSTEM


def versions() -> dict[str, str]:
    """Versions of what makes and judges answers, by package name; nothing is imported."""
    found = {"metis-rise": __version__}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # scoring needs neither
            continue
    return found


def _said(words: str, value: str | int | None) -> str | None:
    return None if value is None else words.format(value)
