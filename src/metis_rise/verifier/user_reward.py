"""A reward of the user's own, named in a recipe as `module:function`."""

from __future__ import annotations

import importlib
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

from metis_rise.errors import InputError
from metis_rise.types import Problem, Verdict

SETTING = "rl.user_reward"


@dataclass(frozen=True, slots=True)
class RewardInput:
    """What a reward may look at: one completion of a problem, with what the verifier says of it.

    `tokens`: the completion's length, its end token included. `max_tokens`: the longest one allowed. `ended`: it
    ended by itself and was not cut off.
    """

    problem: Problem
    text: str
    verdict: Verdict
    tokens: int
    max_tokens: int
    ended: bool


RewardFunction = Callable[[RewardInput], float]
"""Higher is better. It is called once for every sampled completion, by one thread at a time; its result must be
finite, and should depend on its input alone: a run that is killed computes some rewards again."""


@dataclass(frozen=True, slots=True)
class UserReward:
    """A loaded reward function; `name` is what the recipe calls it."""

    name: str
    function: RewardFunction

    def __call__(self, given: RewardInput) -> float:
        """What the function gives. Raises InputError where it fails, or gives anything but a finite number."""
        try:
            value: object = self.function(given)
        except Exception as error:  # a stranger's code: whatever it raises is to be told with the completion's name
            raise InputError(f"{self._place(given)} raised {type(error).__name__}: {error}; mend it") from error
        if not isinstance(value, Real):
            raise InputError(f"{self._place(given)} gave {type(value).__name__} {_short(value)}; it must give a float")
        if not math.isfinite(value):
            raise InputError(f"{self._place(given)} gave {float(value)}; it must give a finite float")
        return float(value)

    def _place(self, given: RewardInput) -> str:
        return f"{SETTING} = {self.name!r}: for a completion of problem {given.problem.id!r} it"


@lru_cache(maxsize=8)
def load_reward(name: str) -> UserReward:
    """The function that `module:function` names, imported once.

    Modules are looked for where Python looks, then in the present folder. Importing one runs its code. Raises
    InputError if the module cannot be imported, or has no such function.
    """
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:  # importing runs the user's code
        raise InputError(
            f"{SETTING} = {name!r}: module {module_name} cannot be imported ({type(error).__name__}: {error}); "
            "start rise where the module's file is, or put its folder on PYTHONPATH"
        ) from error
    for part in function_name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise InputError(f"{SETTING} = {name!r}: module {module_name} has no {function_name}; name a function in it")
    if not callable(found):
        raise InputError(f"{SETTING} = {name!r}: {function_name} is {type(found).__name__}, which cannot be called")
    return UserReward(name, found)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
