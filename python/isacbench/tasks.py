"""Tasks and their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _core

__all__ = ["in_python", "settings", "spoken", "tasks"]


def tasks() -> dict[str, dict[str, Any]]:
    """The tasks of this wheel: `{"v2x": {"agents": [...], "learned": [...], "metric": "sum_rate_bps_hz"}, ...}`."""
    found = json.loads(_core.tasks())
    return {task.pop("name"): task for task in found}


def in_python(text: str) -> str:
    """What the program says, with the arguments that stand here for its options."""
    for option, argument in (
        ("--set: ", ""),
        ("--resume", "resume=True"),
        ("--force", "force=True"),
        ("--checkpoint FILE", "checkpoint=…"),
        ("another --out", "another out=…"),
    ):
        text = text.replace(option, argument)
    return text


@contextmanager
def spoken() -> Iterator[None]:
    """Errors of the program in Python's words."""
    try:
        yield
    except ValueError as e:
        text = in_python(str(e))
        if text == str(e):
            raise
        raise ValueError(text) from None


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as Python has them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def settings(task_keys: dict[str, Any], section: str = "task") -> list[str]:
    """`--set` words of keyword arguments. A key of `section`, the preset, or a dotted key of any section, such as
    `{"evaluate.episodes": 512}`; a dictionary stands for a section, as in `ppo={"clip": 0.1}`."""
    words = []
    for key, value in task_keys.items():
        value = _plain(value)
        if key == "preset" or "." in key or isinstance(value, dict):
            name = key
        else:
            name = f"{section}.{key}" if section else key
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(f"config key '{name}': {value!r} is no number, text, list or table") from None
        words.append(_core.setting(name, text))
    return words
