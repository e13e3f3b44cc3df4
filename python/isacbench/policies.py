"""Trained policies of the program, for Python."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from . import _core
from .spaces import seed_of

__all__ = ["Policy", "load_checkpoint"]


class Policy:
    """A trained policy, as `load_checkpoint` gives it. It is also a function of observations, as `evaluate_policy`
    wants one."""

    def __init__(self, path: str, replica: int) -> None:
        self._path, self._core = path, _core.load(path, replica)
        self._obs, self._actions, self._memory, self._phases = self._core.sizes
        self._clock = 0
        self._state: np.ndarray | None = None

    @property
    def task(self) -> str:
        """Name of its task."""
        return self._core.task

    @property
    def agent(self) -> str:
        """Id of its agent, as in docs/agents.md."""
        return self._core.agent

    @property
    def config(self) -> str:
        """Configuration that it was trained with, TOML."""
        return self._core.config

    @property
    def seeds(self) -> list[int]:
        """Training seeds of all replicas of the checkpoint."""
        return self._core.seeds

    @property
    def replica(self) -> int:
        """Which of them this is."""
        return self._core.replica

    @property
    def state_dim(self) -> int:
        """Numbers that outlive a slot; 0 of most agents."""
        return self._memory

    def act(
        self,
        obs: Any,
        state: np.ndarray | None = None,
        *,
        deterministic: bool = True,
        seed: int = 0,
        phases: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions float32 `(B, A)` for observations `(B, O)`, or `(A,)` for `(O,)`, and the state after the slot.

        `state` is what the last call gave, `None` at the start of an episode: h and c of an LSTM, carried membrane
        potentials; empty of agents without memory. `deterministic`: the mean of a Gaussian, or what is more probable;
        else a sample, which is another one with each call. `phases`: actions of a misac agent with the phases of its
        beams behind the cameras, as `make("misac", phases=True)` takes them.
        """
        array = np.ascontiguousarray(obs, dtype=np.float32)
        single = array.ndim == 1
        rows = array[None] if single else array
        if rows.ndim != 2:
            raise ValueError(f"obs: shape {array.shape} instead of (B, {self._obs})")
        if phases and not self._phases:
            raise ValueError(f"phases: agent '{self.agent}' sets none")
        if state is None:
            state = np.zeros((len(rows), self._memory), np.float32)
        state = np.ascontiguousarray(state, dtype=np.float32)
        before = state[None] if single and state.ndim == 1 else state
        found = self._core.act(rows, before, deterministic, seed_of(seed), self._clock, phases)
        self._clock = (self._clock + 1) % 2**32
        action, phi, after = found
        if phi is not None:
            action = np.concatenate([action, np.remainder(phi + np.pi, 2 * np.pi) - np.pi], axis=1)
        return (action[0], after[0]) if single else (action, after)

    def export(self, path: str | os.PathLike[str], *, format: str = "onnx", raw: bool = False) -> None:
        """Writes the policy to a file, as `isacbench export` does (docs/export.md).

        `onnx`: opset 17, dynamic batch, without exploration; the whole decision by default: estimates in physical units
        in, angles, powers, beams, cameras and phases out. With `raw` the networks alone: observations as environments
        give them in, raw actions out. `torch`: safetensors, which `torch_module` loads. `nir`: a spiking network.

        ValueError: another format, and what cannot be written.
        """
        if format == "onnx":
            data = self._core.onnx(raw)
        elif format == "torch":
            data = self._core.torch()
        elif format == "nir":
            data, told = self._core.nir()
            for text in told:
                warnings.warn(text, stacklevel=2)
        else:
            raise ValueError(f"format: {format!r} (there are: onnx, torch, nir)")
        with open(path, "wb") as file:
            file.write(data)

    def reset(self, num_envs: int | None = None) -> None:
        """Episodes begin: what calls of this policy as a function remember is forgotten."""
        self._state = None

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        """Actions by the mean or what is more probable. An agent with memory goes on from call to call; `reset` begins
        episodes, and so does another number of observations."""
        if self._state is not None and np.shape(obs)[:-1] != self._state.shape[:-1]:
            self._state = None
        action, self._state = self.act(obs, self._state)
        return action

    def __reduce__(self) -> tuple[Any, ...]:
        return (Policy, (self._path, self.replica))

    def __repr__(self) -> str:
        return f"<{self.agent} of task {self.task}, replica {self.replica} of {self._core.replicas}, {self._path}>"


def load_checkpoint(path: str | os.PathLike[str], replica: int = 0) -> Policy:
    """The policy of a checkpoint: a file, or the folder of a training.

    ValueError: what is wrong with the file, and a replica that it does not have.
    """
    path = os.fsdecode(path)
    if os.path.isdir(path):
        path = os.path.join(path, "checkpoint.safetensors")
    if isinstance(replica, (bool, np.bool_)) or not isinstance(replica, (int, np.integer)) or replica < 0:
        raise ValueError(f"replica: {replica!r} must be a whole number of at least 0")
    return Policy(os.path.abspath(path), int(replica))
