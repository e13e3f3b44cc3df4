"""Environments for Stable-Baselines3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from .spaces import ACTION_BOUND
from .vector import IsacVectorEnv

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

__all__ = ["sb3_vec_env"]


def sb3_vec_env(
    task: str,
    num_envs: int = 16,
    *,
    seed: int | None = None,
    phases: bool = False,
    action_bound: float = ACTION_BOUND,
    info_metrics: bool = False,
    **task_keys: Any,
) -> VecEnv:
    """Environments of a task as a `VecEnv` of Stable-Baselines3 (and SBX), stepped together.

    At the end of an episode, `infos` have `terminal_observation`, `TimeLimit.truncated` and `episode` with reward `r`,
    length `l`, time `t` and the mean of every metric; with `info_metrics`, every slot's metrics too.
    """
    return _kind()(
        task,
        num_envs,
        seed=seed,
        phases=phases,
        action_bound=action_bound,
        info_metrics=info_metrics,
        **task_keys,
    )


_made: Any = None


def _kind() -> Any:
    """The class, made when the library is there."""
    global _made
    if _made is not None:
        return _made
    try:
        from stable_baselines3.common.vec_env import VecEnv
    except ImportError as e:
        raise ImportError("sb3_vec_env needs stable-baselines3: pip install 'isacbench[sb3]'") from e

    class IsacVecEnv(VecEnv):  # type: ignore[misc]
        def __init__(self, task: str, num_envs: int, *, info_metrics: bool, **kwargs: Any) -> None:
            self.envs = IsacVectorEnv(task, num_envs, autoreset_mode="same_step", info_metrics=True, **kwargs)
            self.info_metrics = info_metrics
            self.render_mode = None
            self._next_seed: int | None = None
            self._actions: Any = None
            self._begin = time.time()
            self._metrics = self.envs._task.metrics
            self._sums = np.zeros((len(self._metrics), num_envs))
            self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
            super().__init__(num_envs, self.envs.single_observation_space, self.envs.single_action_space)

        def seed(self, seed: int | None = None) -> list[int | None]:
            self._next_seed = seed
            return [seed] * self.num_envs

        def reset(self) -> np.ndarray:
            obs, _ = self.envs.reset(seed=self._next_seed)
            self._next_seed = None
            self._reset_seeds()
            self._reset_options()
            self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for sums in (self._sums, self._returns, self._lengths):
                sums[...] = 0
            return obs

        def step_async(self, actions: np.ndarray) -> None:
            self._actions = actions

        def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
            obs, rewards, terminated, truncated, info = self.envs.step(self._actions)
            rows = np.stack([info[name] for name in self._metrics])
            self._returns += rewards
            self._lengths += 1
            self._sums += rows
            infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            if self.info_metrics:
                for i, column in enumerate(rows.T.tolist()):
                    infos[i].update(zip(self._metrics, column))
            dones = terminated | truncated
            if dones.any():
                self._end(np.flatnonzero(dones), info["final_obs"], truncated & ~terminated, infos)
            return obs, rewards.astype(np.float32), dones, infos

        def _end(self, ended: np.ndarray, final: np.ndarray, cut: np.ndarray, infos: list[dict[str, Any]]) -> None:
            passed = round(time.time() - self._begin, 6)
            means = self._sums[:, ended] / self._lengths[ended]
            for i, mean in zip(ended.tolist(), means.T.tolist()):
                infos[i]["terminal_observation"] = final[i]
                infos[i]["TimeLimit.truncated"] = bool(cut[i])
                told = {"r": float(self._returns[i]), "l": int(self._lengths[i]), "t": passed}
                infos[i]["episode"] = {**dict(zip(self._metrics, mean)), **told}
            self._sums[:, ended] = 0
            self._returns[ended], self._lengths[ended] = 0, 0

        def close(self) -> None:
            self.envs.close()

        def _count(self, indices: Any) -> int:
            return len(list(self._get_indices(indices)))

        def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
            return [getattr(self.envs, attr_name)] * self._count(indices)

        def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
            if self._count(indices) != self.num_envs:
                raise ValueError("indices: an attribute is that of all environments, which are stepped together")
            setattr(self.envs, attr_name, value)

        def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            return [getattr(self.envs, method_name)(*args, **kwargs) for _ in range(self._count(indices))]

        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
            return [False] * self._count(indices)

    _made = IsacVecEnv
    return _made
