"""`isacbench/V2x-v0`, `isacbench/Misac-v0` and whatever tasks this wheel has, for `gymnasium.make`."""

from __future__ import annotations

import gymnasium

from .tasks import tasks

__all__ = ["register"]


def register() -> None:
    """Registers every task; once is enough."""
    for task in tasks():
        name = f"isacbench/{task.capitalize()}-v0"
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="isacbench.envs:IsacEnv",
                vector_entry_point="isacbench.vector:IsacVectorEnv",
                kwargs={"task": task},
            )
