"""The program `isacbench`, as `pip` installs it and as `python -m isacbench`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import Any

from . import _core


def main() -> int:
    words = sys.argv[1:]
    if words[:1] == ["evaluate"] and any(w == "--policy" or w.startswith("--policy=") for w in words):
        return _policy(words[1:])
    # The program handles its own interrupts; Python's handler would only run when it has ended.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _core.main(["isacbench", *words])


def _policy(words: list[str]) -> int:
    """`isacbench evaluate --policy FILE.onnx`: what the program itself has no runtime for."""
    from .exchange import OnnxPolicy
    from .results import evaluate_policy

    parser = argparse.ArgumentParser(
        prog="isacbench evaluate", description="Judge a network in an ONNX file beside references and the bound."
    )
    parser.add_argument(
        "--policy", required=True, metavar="FILE", help="observations in, raw actions out (export --raw)"
    )
    parser.add_argument("--task", help="task to run [default: the one that the file names]")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the task (repeatable)"
    )
    parser.add_argument("--episodes", type=int, default=4096, metavar="N")
    parser.add_argument("--phases", action="store_true", help="take the phases of the beams from the file too")
    parser.add_argument("--out", metavar="FILE.html", help="also write a page")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    a = parser.parse_args(words)
    try:
        policy = OnnxPolicy(a.policy, phases=a.phases)
        task = a.task or policy.metadata.get("task")
        if task is None:
            raise ValueError("--task: the file names none")
        keys = {**_written(policy.metadata.get("configuration", "")), **dict(map(_key, a.set))}
        name = policy.metadata.get("agent", "policy")
        found = evaluate_policy(
            task, policy, name=f"{name}.onnx", episodes=a.episodes, phases=a.phases, progress=not a.json, **keys
        )
        if a.out:
            found.page(a.out)
    except (ValueError, ImportError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    if a.json:
        print(json.dumps({"task": task, "policy": a.policy, "rows": found.rows()}))
    else:
        print(found)
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _key(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set {text}: expected KEY=VALUE")
    return key.strip(), _value(value.strip())


def _written(configuration: str) -> dict[str, Any]:
    """The keys of `[task]` that an exported file was made with."""
    found, inside = {}, False
    for line in configuration.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[task]"
        elif inside and " = " in line:
            key, value = line.split(" = ", 1)
            if key != "name":
                found[f"task.{key}"] = _value(value)
    return found


if __name__ == "__main__":
    sys.exit(main())
