"""Many environments at once as `gymnasium.vector.VectorEnv`."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.error import ClosedEnvironmentError
from gymnasium.utils.seeding import np_random
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from . import _core
from .spaces import ACTION_BOUND, Spec, actions_of, fresh_seed, seed_of

try:
    from gymnasium.vector import AutoresetMode
except ImportError:  # Gymnasium before 1.1
    AutoresetMode = None  # type: ignore[assignment, misc]

__all__ = ["IsacVectorEnv", "make_vec"]

_MODES = ("next_step", "same_step", "disabled")


def _mode_name(mode: Any) -> str:
    """`next_step` of `AutoresetMode.NEXT_STEP`, `"NextStep"` and itself."""
    text = str(getattr(mode, "value", mode))
    plain = text.lower().replace("_", "").replace("-", "")
    for name in _MODES:
        if plain == name.replace("_", ""):
            return name
    raise ValueError(f"autoreset_mode: {mode!r} (there are: {', '.join(_MODES)})")


class IsacVectorEnv(VectorEnv):
    """Environments of a task that are stepped together, by all cores, without the interpreter's lock.

    Environment i goes through the same numbers whatever `num_envs` is. `autoreset_mode` is one of Gymnasium's:
    `next_step` (its default), `same_step` (`final_obs` and `final_info` in `info`) or `disabled` (reset by
    `options={"reset_mask": mask}`). Metrics of the slot stand in `info`, arrays `(B,)`, unless `info_metrics` is False.

    With `copy=False`, each step overwrites the arrays that the last one gave.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    # Gymnasium before 1.0 asks for both.
    is_vector_env = True
    viewer = None

    def __init__(
        self,
        task: str,
        num_envs: int = 1,
        *,
        seed: int | None = None,
        autoreset_mode: Any = "next_step",
        phases: bool = False,
        action_bound: float = ACTION_BOUND,
        info_metrics: bool = True,
        copy: bool = True,
        render_mode: None = None,
        **task_keys: Any,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode: {render_mode!r}, these environments draw nothing")
        if isinstance(num_envs, (bool, np.bool_)) or not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
            raise ValueError(f"num_envs: {num_envs!r} must be a whole number of at least 1")
        if num_envs >= 2**48:
            raise ValueError(f"num_envs: {num_envs} environments do not fit into memory")
        self._task = Spec(task, task_keys, phases, action_bound)
        self._mode = _mode_name(autoreset_mode)
        self.num_envs = int(num_envs)
        self.render_mode = None
        self.closed = False
        self.copy = bool(copy)
        self.info_metrics = bool(info_metrics)
        # Sizes that no memory holds are refused before anything else takes that much.
        self._core = self._fresh()
        self.single_observation_space = self._task.observation_space()
        self.single_action_space = self._task.action_space()
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        # Clients look for it in both places.
        self.autoreset_mode: Any = self._mode if AutoresetMode is None else AutoresetMode(_camel(self._mode))
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self._first_seed = None if seed is None else seed_of(seed)
        self._np_random_seed: int | None = self._first_seed
        self._seeded = False
        self._out: tuple[Any, ...] | None = None
        self._last: np.ndarray | None = None

    def _fresh(self) -> _core.Envs:
        return _core.Envs(self._task.task, self._task.sets, self._task.phases, self.num_envs, self._mode, 0)

    @property
    def unwrapped(self) -> IsacVectorEnv:
        return self

    @property
    def np_random_seed(self) -> int | None:
        """The seed that all environments are of; None before there is one and where each has its own."""
        return self._np_random_seed

    def spec_dict(self) -> dict[str, Any]:
        """Names, units and bounds of observation and action, meanings of the metrics, and the configuration as TOML."""
        return deepcopy(self._task.dict)

    # ---- Reset ----

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """First observations `(B, O)` of fresh episodes.

        `seed`: environment i is environment i of this seed; of a list, what `make(...)` is with its own. Without, the
        next episodes of the seed before; the first time that of `make_vec`, else one that is drawn and kept in
        `np_random_seed`. `options["reset_mask"]`, bool `(B,)`: which environments.
        """
        self._open()
        mask = self._mask(options)
        if seed is None and not self._seeded:
            seed = fresh_seed() if self._first_seed is None else self._first_seed
        if seed is not None:
            self._seed(seed, mask)
        if mask is None or self._last is None:
            obs = np.zeros((self.num_envs, self._task.obs_dim), np.float32)
        else:
            obs = self._last.copy()
        self._core.reset(obs, mask)
        if self._mode == "disabled":
            self._last = obs.copy()
        return obs, {}

    def _mask(self, options: dict[str, Any] | None) -> np.ndarray | None:
        if options is not None and not isinstance(options, dict):
            raise ValueError(f"options: {type(options).__name__} instead of a dict")
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return None
        if self._mode != "disabled":
            raise ValueError(f"reset_mask: with autoreset_mode={self._mode!r} environments begin anew by themselves")
        array = np.asarray(mask)
        if array.dtype != np.bool_ or array.shape != (self.num_envs,):
            raise ValueError(
                f"reset_mask: {array.dtype} of shape {array.shape} instead of bool of shape ({self.num_envs},)"
            )
        if not array.any():
            raise ValueError("reset_mask: no environment is to be reset")
        if not self._seeded and not array.all():
            raise ValueError("reset_mask: the first reset is one of all environments")
        return np.ascontiguousarray(array)

    def _seed(self, seed: int | Sequence[int | None], mask: np.ndarray | None) -> None:
        chosen = list(range(self.num_envs)) if mask is None else np.flatnonzero(mask).tolist()
        if isinstance(seed, (list, tuple, range)) or (isinstance(seed, np.ndarray) and seed.ndim > 0):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed: {len(seed)} seeds for {self.num_envs} environments")
            own = [(i, seed_of(seed[i])) for i in chosen if seed[i] is not None]
            if not self._seeded and len(own) < len(chosen):
                raise ValueError("seed: None among seeds of environments that have none yet")
            self._core.seed([i for i, _ in own], [s for _, s in own], [0] * len(own))
            self._np_random_seed = None
        else:
            seed = seed_of(seed)
            self._np_random, _ = np_random(seed)
            self._core.seed(chosen, [seed] * len(chosen), chosen)
            self._np_random_seed = seed
        self._seeded = True

    # ---- Step ----

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One slot under `actions` `(B, A)`: observations float32 `(B, O)`, rewards float64 `(B,)`, flags `(B,)`."""
        self._open()
        b = self.num_envs
        actions = actions_of(actions, (b, self._task.action_dim))
        obs, final, reward, terminated, truncated, rows = self._arrays()
        self._core.step(actions, obs, final, reward, terminated, truncated, rows)
        if self._mode == "disabled":
            self._last = obs.copy()
        info: dict[str, Any] = {}
        if rows is not None:
            _put(info, self._named(rows), self._all)
        if self._mode == "same_step":
            done = terminated | truncated
            if done.any():
                info["final_obs"], info["_final_obs"] = final, done
                told: dict[str, Any] = {}
                if rows is not None:
                    _put(told, self._named(rows), done)
                info["final_info"], info["_final_info"] = told, done
        return obs, reward.astype(np.float64), terminated, truncated, info

    def _named(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        return {name: rows[i] for name, i in zip(self._task.metrics, self._task.metric_rows)}

    def _arrays(self) -> tuple[Any, ...]:
        if not self.copy and self._out is not None:
            return self._out
        b, o = self.num_envs, self._task.obs_dim
        rows = np.empty((self._core.metric_rows(), b), np.float32) if self.info_metrics else None
        out = (
            np.empty((b, o), np.float32),
            np.zeros((b, o), np.float32) if self._mode == "same_step" else self._unused,
            np.empty(b, np.float32),
            np.empty(b, np.bool_),
            np.empty(b, np.bool_),
            rows,
        )
        if not self.copy:
            self._out = out
        return out

    @property
    def _unused(self) -> np.ndarray:
        if not hasattr(self, "_final"):
            self._final = np.zeros((self.num_envs, self._task.obs_dim), np.float32)
        return self._final

    @property
    def _all(self) -> np.ndarray:
        if not hasattr(self, "_everyone"):
            self._everyone = np.ones(self.num_envs, np.bool_)
            self._everyone.flags.writeable = False
        return self._everyone

    # ---- What clients ask of all environments ----

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The method or attribute `name` of these environments, once for each."""
        found = getattr(self, name)
        return tuple(found(*args, **kwargs) if callable(found) else found for _ in range(self.num_envs))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        return (getattr(self, name),) * self.num_envs

    def set_attr(self, name: str, values: Any) -> None:
        """Sets an attribute of these environments, which are one object: a value, or as many equal ones."""
        if isinstance(values, (list, tuple)):
            if len(values) != self.num_envs or any(v != values[0] for v in values):
                raise ValueError(f"values: {len(values)} values for {self.num_envs} environments that share them")
            values = values[0]
        setattr(self, name, values)

    def close_extras(self, **kwargs: Any) -> None:
        self._out = None

    def _open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("these environments are closed: make others")

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_core"], state["_out"] = self._core.save(), None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        saved, self._core = state["_core"], self._fresh()
        self._core.load(saved)


def _camel(mode: str) -> str:
    return "".join(part.capitalize() for part in mode.split("_"))


def _put(info: dict[str, Any], values: dict[str, np.ndarray], mask: np.ndarray) -> None:
    for name, row in values.items():
        info[name], info[f"_{name}"] = row, mask


def make_vec(
    task: str,
    num_envs: int = 1,
    *,
    seed: int | None = None,
    autoreset_mode: Any = "next_step",
    phases: bool = False,
    action_bound: float = ACTION_BOUND,
    info_metrics: bool = True,
    copy: bool = True,
    **task_keys: Any,
) -> IsacVectorEnv:
    """Environments of a task that are stepped together:
    `isacbench.make_vec("v2x", num_envs=4096, seed=0, beam="tracking", p_max_dbm=30.0)`.

    Arguments are those of `IsacVectorEnv`; `task_keys` are keys of `[task]` as in the program's TOML files, and
    `preset`.

    ValueError: what the program says of a wrong key.
    """
    return IsacVectorEnv(
        task,
        num_envs,
        seed=seed,
        autoreset_mode=autoreset_mode,
        phases=phases,
        action_bound=action_bound,
        info_metrics=info_metrics,
        copy=copy,
        **task_keys,
    )
