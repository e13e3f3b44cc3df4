"""Networks of other programs, and exported ones, as policies: ONNX files by onnxruntime."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

__all__ = ["OnnxPolicy"]

#: What the names of states end with when they are given out for the next slot.
NEXT = "_next"


class OnnxPolicy:
    """A network in an ONNX file as a policy for `evaluate_policy`: `OnnxPolicy("ppo.onnx")`.

    The file takes observations `[N, O]` as environments give them and gives raw actions `[N, A]`: what `isacbench
    export --raw` writes, or anybody's network. An input `x` with an output `x_next` is a state, 0 at the start of an
    episode. Of the other inputs and outputs there is one each, but for exported schedules (`logit`, `phase_rad`), which
    become cameras and, with `phases=True`, their phases. `evaluate_policy` refuses a file that names another task.

    ImportError without onnxruntime. ValueError: a file that is no such network.
    """

    def __init__(self, path: str | os.PathLike[str], *, phases: bool = False) -> None:
        try:
            import onnxruntime
        except ImportError as e:
            raise ImportError("ONNX files are run by onnxruntime: pip install onnxruntime") from e
        self.path = os.fsdecode(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(self.path, options, providers=["CPUExecutionProvider"])
        except Exception as e:
            # Its exceptions have no common base; their first line says what is wrong.
            raise ValueError(f"'{self.path}': {str(e).splitlines()[0]}") from e
        outputs = [o.name for o in self._session.get_outputs()]
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self._states = {n: shape[1:] for n, shape in inputs.items() if n + NEXT in outputs}
        main = [n for n in inputs if n not in self._states]
        given = [n for n in outputs if not n.endswith(NEXT)]
        self._schedule = given == ["logit", "phase_rad"]
        if len(main) != 1 or (len(given) != 1 and not self._schedule):
            what = f"inputs {', '.join(main)}, outputs {', '.join(given)}"
            raise ValueError(
                f"'{self.path}': {what}, where observations and actions are wanted (isacbench export --raw)"
            )
        if phases and not self._schedule:
            raise ValueError(f"'{self.path}': phases: the file has no output phase_rad")
        self._main, self._outputs, self._phases = main[0], outputs, phases
        #: What the file says of itself.
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self._held: dict[str, np.ndarray] = {}

    def reset(self, num_envs: int | None = None) -> None:
        """Episodes begin."""
        self._held = {}

    def outputs(self, obs: Any) -> dict[str, np.ndarray]:
        """What the file gives for observations `[N, O]`, by name, without the states, which are kept for the next
        slot.

        ValueError: the runtime refuses them.
        """
        obs = np.ascontiguousarray(obs, dtype=np.float32)
        for name, shape in self._states.items():
            held = self._held.get(name)
            if held is None or len(held) != len(obs):
                self._held[name] = np.zeros((len(obs), *shape), np.float32)
        try:
            given = self._session.run(None, {self._main: obs, **self._held})
        except Exception as e:
            raise ValueError(f"'{self.path}': {str(e).splitlines()[0]}") from e
        found = dict(zip(self._outputs, given))
        self._held = {n: found.pop(n + NEXT) for n in self._states}
        return found

    def __call__(self, obs: Any) -> np.ndarray:
        """Raw actions `[N, A]`."""
        found = self.outputs(obs)
        if not self._schedule:
            return np.asarray(next(iter(found.values())), np.float32)
        cameras = (found["logit"] > 0).astype(np.float32)
        if not self._phases:
            return np.asarray(cameras)
        phases = np.remainder(found["phase_rad"] + np.pi, 2 * np.pi) - np.pi
        whole: np.ndarray = np.concatenate([cameras, phases.astype(np.float32)], axis=1)
        return whole
