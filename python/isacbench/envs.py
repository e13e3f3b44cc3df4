"""One environment as `gymnasium.Env`."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError

from . import _core
from .spaces import ACTION_BOUND, Spec, actions_of, fresh_seed, seed_of

__all__ = ["IsacEnv", "make"]


class IsacEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment of a task.

    A slot is a step. Episodes have `task.slots` slots and end by truncation: bootstrap from the last observation.
    `info` has the metrics of the slot by name; units stand in their names, and `spec_dict()` has what they are.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    _np_random_seed: int | None = None

    def __init__(
        self,
        task: str,
        *,
        phases: bool = False,
        action_bound: float = ACTION_BOUND,
        render_mode: None = None,
        **task_keys: Any,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode: {render_mode!r}, these environments draw nothing")
        if "frameskip" in task_keys:
            # TorchRL's GymEnv asks whether an environment knows it, and wants this answer of one that does not.
            raise TypeError("IsacEnv got an unexpected keyword argument 'frameskip'")
        self._task = Spec(task, task_keys, phases, action_bound)
        self.render_mode = None
        self.observation_space = self._task.observation_space()
        self.action_space = self._task.action_space()
        self._core = _core.Envs(task, self._task.sets, self._task.phases, 1, "disabled", 0)
        self._seeded = False
        self._closed = False
        self._buffers()

    def _buffers(self) -> None:
        o = self._task.obs_dim
        self._final, self._reward = np.zeros((1, o), np.float32), np.zeros(1, np.float32)
        self._terminated, self._truncated = np.zeros(1, np.bool_), np.zeros(1, np.bool_)
        self._rows = np.zeros((self._core.metric_rows(), 1), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observation of a fresh episode. With the same seed it is the same episode; without one, the next of
        the seed before, which is drawn and kept in `np_random_seed` where there was none."""
        self._open()
        if seed is None and not self._seeded:
            seed = fresh_seed()
        if seed is not None:
            seed = seed_of(seed)
            super().reset(seed=seed)
            self._np_random_seed = seed
            self._core.seed([0], [seed], [0])
            self._seeded = True
        obs = np.empty((1, self._task.obs_dim), np.float32)
        self._core.reset(obs, None)
        return obs[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One slot under `action` `(A,)`."""
        self._open()
        action = actions_of(action, (self._task.action_dim,))
        obs = np.empty((1, self._task.obs_dim), np.float32)
        reward, rows = self._reward, self._rows
        self._core.step(action, obs, self._final, reward, self._terminated, self._truncated, rows)
        info = dict(zip(self._task.metrics, rows[self._task.metric_rows, 0].tolist()))
        return obs[0], float(reward[0]), bool(self._terminated[0]), bool(self._truncated[0]), info

    def close(self) -> None:
        self._closed = True

    def _open(self) -> None:
        if self._closed:
            raise ClosedEnvironmentError("this environment is closed: make another one")

    @property
    def np_random_seed(self) -> int | None:  # type: ignore[override]
        """The seed that episodes are of; None before there is one."""
        return self._np_random_seed

    def spec_dict(self) -> dict[str, Any]:
        """Names, units and bounds of observation and action, meanings of the metrics, and the configuration as TOML."""
        return copy.deepcopy(self._task.dict)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_core"] = self._core.save()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._core = _core.Envs(self._task.task, self._task.sets, self._task.phases, 1, "disabled", 0)
        self._core.load(state["_core"])
        self._buffers()


def make(task: str, *, phases: bool = False, action_bound: float = ACTION_BOUND, **task_keys: Any) -> IsacEnv:
    """One environment of a task: `isacbench.make("v2x", beam="zf", p_max_dbm=20.0)`.

    `task_keys` are keys of `[task]` as in the program's TOML files, and `preset`. `action_bound` bounds raw numbers of
    an action that have no bounds of their own. `phases` (task misac): actions also hold the phases of the beams.

    ValueError: what the program says of a wrong key.
    """
    return IsacEnv(task, phases=phases, action_bound=action_bound, **task_keys)
