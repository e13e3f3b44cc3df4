"""Spaces of a task, with the names and units of their numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from gymnasium import spaces

from . import _core
from .tasks import settings, spoken

__all__ = ["Spec"]

#: Bound of raw numbers of an action that have none: what comes behind is a sigmoid, a tanh or a softmax, and off-policy
#: agents need finite ones. It is `ddpg.action_scale` of the program's presets.
ACTION_BOUND = 4.0


class Spec:
    """What Python knows of a configured task."""

    def __init__(self, task: str, task_keys: dict[str, Any], phases: bool, action_bound: float) -> None:
        if not isinstance(task, str):
            raise ValueError(f"task: {task!r} is no name of a task")
        number = isinstance(action_bound, (int, float, np.integer, np.floating)) and not isinstance(action_bound, bool)
        if not number or not 0 < action_bound <= 1e6:
            raise ValueError(f"action_bound: {action_bound!r} must be a number above 0, at most 1e6")
        self.task = task
        self.task_keys = dict(task_keys)
        if not isinstance(phases, (bool, np.bool_)):
            raise ValueError(f"phases: {phases!r} must be True or False")
        self.phases = bool(phases)
        self.action_bound = float(action_bound)
        self.sets = settings(task_keys)
        with spoken():
            self.dict: dict[str, Any] = json.loads(_core.spec(task, self.sets, self.phases))
        # Names and rows of what stands in `info`: the reward is a step's own, and clients have a place for it.
        rows = [m["name"] for m in self.dict["metrics"]]
        self.metrics = [name for name in rows if name != "reward"]
        self.metric_rows = [rows.index(name) for name in self.metrics]
        self.obs_dim = len(self.dict["observation"])
        self.action_dim = len(self.dict["action"])
        self.episode_slots: int = self.dict["episode_slots"]

    def _box(self, components: list[dict[str, Any]], bound: float) -> spaces.Box:
        low = [-bound if c["low"] is None else c["low"] for c in components]
        high = [bound if c["high"] is None else c["high"] for c in components]
        return spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)

    def observation_space(self) -> spaces.Box:
        return self._box(self.dict["observation"], np.inf)

    def action_space(self) -> spaces.Box:
        return self._box(self.dict["action"], self.action_bound)


def seed_of(seed: Any) -> int:
    """A seed as draws are counted by it, 32 bits."""
    if isinstance(seed, np.ndarray) and seed.ndim == 0:
        seed = seed[()]
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"seed: {seed!r} is no whole number")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: {seed} must be 0 to 4294967295")
    return int(seed)


def fresh_seed() -> int:
    """A seed that nobody chose."""
    return int(np.random.SeedSequence().generate_state(1)[0])


def actions_of(actions: Any, shape: tuple[int, ...], whose: str = "actions") -> np.ndarray:
    """Actions as the program reads them: contiguous float32 of this shape."""
    try:
        array = np.asarray(actions)
        if array.dtype.kind not in "fiub":
            raise TypeError
        # What is beyond single precision becomes infinite, and is refused as that.
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{whose}: {type(actions).__name__} is no array of numbers of shape {shape}") from None
    if array.shape != shape:
        raise ValueError(f"{whose}: shape {np.shape(actions)} instead of {shape}")
    return array
