"""Training, sweeps and tuning. Each is the program itself as a child process: it survives whatever happens to it, and
an interrupt ends it in order, so that the same call with `resume=True` goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .frames import read
from .policies import Policy, load_checkpoint
from .progress import Bar
from .results import Evaluation, evaluate
from .tasks import in_python, settings

__all__ = ["Report", "Run", "Sweep", "Tuning", "reproduce", "sweep", "train", "tune"]


class _Folder:
    """What a job has left in a folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.fsdecode(path))

    @property
    def manifest(self) -> dict[str, Any]:
        """Command, configuration, revision, device and times."""
        found: dict[str, Any] = json.loads((self.path / "manifest.json").read_text(encoding="utf-8"))
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} in {self.path}>"

    def __fspath__(self) -> str:
        return os.fsdecode(self.path)


class Run(_Folder):
    """A training."""

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint.safetensors"

    def policy(self, replica: int = 0) -> Policy:
        """The trained policy of a seed."""
        return load_checkpoint(self.checkpoint, replica)

    def evaluate(self, **arguments: Any) -> Evaluation:
        """As `isacbench.evaluate` of its checkpoint."""
        policy = self.policy()
        return evaluate(policy.task, policy.agent, checkpoint=self.checkpoint, **arguments)

    def curves(self, library: str = "polars") -> Any:
        """Learning curves: a row for each update and seed."""
        return read(self.path / "curves.parquet", library)


class Sweep(_Folder):
    """A sweep's dataset."""

    def rows(self, library: str = "polars") -> Any:
        """A row for each point and seed."""
        return read(self.path / "data", library)


class Tuning(Sweep):
    """A tuning's dataset."""

    def chosen(self, agent: str) -> Path:
        """The settings of the best trial, a file for `config=`."""
        return self.path / f"chosen-{agent}.toml"


def _program(words: Sequence[str], what: str, progress: bool) -> list[str]:
    """Runs the program; what it says on standard output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "isacbench", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "ISACBENCH_PROGRESS": "json"},
        # An interrupt reaches this process alone, which passes it on once.
        start_new_session=True,
    )
    said: list[str] = []
    out: list[str] = []
    with process, Bar(what, progress) as bar:
        assert process.stdout is not None and process.stderr is not None
        # Beside the other pipe, so that neither fills up.
        reader = threading.Thread(target=out.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            for line in process.stderr:
                said.append(_heard(line.rstrip("\n"), bar, progress))
            code = process.wait()
        except BaseException:
            _end(process)
            raise
        finally:
            reader.join()
    if code != 0:
        errors = [line for line in said if line.startswith("error: ")]
        if code < 0 or not errors:
            raise RuntimeError(f"the program ended with exit code {code}")
        raise ValueError(in_python(errors[-1].removeprefix("error: ")))
    return [line.rstrip("\n") for line in out]


def _heard(line: str, bar: Bar, progress: bool) -> str:
    if line.startswith("{"):
        try:
            told = json.loads(line)
            bar.to(told["done"], told["total"], f"{told['what']} {told['note']}".strip())
            return ""
        except (ValueError, KeyError):
            pass
    if progress and line and not line.startswith("error: "):
        print(line, file=sys.stderr)
    return line


def _end(process: subprocess.Popen[str]) -> None:
    """Ends the program in order: it writes what it has, and a second interrupt or a minute kills it."""
    if os.name != "nt":
        # There the console's Ctrl-C has reached it already.
        process.send_signal(signal.SIGINT)
    if process.stderr is not None:
        # Whoever writes into a full pipe does not end.
        threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        process.wait(timeout=60)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _common(
    device: str,
    out: str | os.PathLike[str],
    sets: Sequence[str],
    config: str | os.PathLike[str] | None = None,
) -> list[str]:
    words = ["--device", str(device), "--out", os.fsdecode(out)]
    if config is not None:
        words += ["--config", os.fsdecode(config)]
    for word in sets:
        words += ["--set", word]
    return words


def _again(resume: bool, force: bool = False) -> list[str]:
    if resume and force:
        raise ValueError("resume, force: one of them at most")
    return ["--resume"] * resume + ["--force"] * force


def train(
    task: str,
    agent: str,
    *,
    out: str | os.PathLike[str],
    updates: int | None = None,
    seeds: Sequence[int] | int | None = None,
    config: str | os.PathLike[str] | None = None,
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    tensorboard: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **task_keys: Any,
) -> Run:
    """Trains an agent, all seeds at once, and keeps checkpoint and curves in the folder `out`.

    `device="auto"` takes a GPU where there is one. Task keys are those of `[task]`; a dictionary is another section:
    `train("v2x", "ppo", out="runs/ppo", updates=50, beam="tracking", ppo={"clip": 0.1})`.

    ValueError: what the program says. KeyboardInterrupt ends it; `resume=True` goes on from its last checkpoint.
    """
    own: dict[str, Any] = dict(task_keys)
    if updates is not None:
        own["train.updates"] = updates
    if seeds is not None:
        own["train.seeds"] = np.atleast_1d(np.asarray(seeds)).tolist()
    words = ["train", "--task", str(task), "--agent", str(agent), *_common(device, out, settings(own), config)]
    words += _again(resume, force)
    if tensorboard is not None:
        words += ["--tensorboard", os.fsdecode(tensorboard)]
    _program(words, f"train {agent}", progress)
    return Run(out)


def sweep(
    file: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    device: str = "auto",
    shard: str = "1/1",
    resume: bool = False,
    progress: bool = True,
) -> Sweep:
    """Trains and evaluates a grid of configurations × agents × seeds, as the TOML file says (docs/sweeps.md)."""
    words = ["sweep", os.fsdecode(file), "--device", str(device), "--out", os.fsdecode(out), "--shard", shard]
    _program([*words, *_again(resume)], "sweep", progress)
    return Sweep(out)


def tune(
    task: str,
    agents: str | Sequence[str],
    *,
    trials: int,
    budget: int,
    out: str | os.PathLike[str],
    halving: int | None = None,
    seeds: Sequence[int] = (),
    space: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    device: str = "auto",
    resume: bool = False,
    progress: bool = True,
    **task_keys: Any,
) -> Tuning:
    """Searches the settings of learned agents: as many trials, slots and seeds for each (docs/tune.md)."""
    names = [agents] if isinstance(agents, str) else list(agents)
    words = ["tune", str(task), "--agent", ",".join(names), "--trials", str(trials), "--budget", str(budget)]
    words += _common(device, out, settings(task_keys), config)
    if halving is not None:
        words += ["--halving", str(halving)]
    if len(seeds):
        words += ["--seeds", ",".join(map(str, seeds))]
    if space is not None:
        words += ["--space", os.fsdecode(space)]
    _program([*words, *_again(resume)], "tune", progress)
    return Tuning(out)


class Report(_Folder):
    """What `reproduce` has left: `report.html`, figures and rows."""

    @property
    def html(self) -> Path:
        return self.path / "report.html"

    def rows(self, table: str = "evals", library: str = "polars") -> Any:
        """A table: `evals`, `curves`, `slots`, `energy` or `activity`."""
        return read(self.path / f"{table}.parquet", library)


def reproduce(
    experiment: str,
    *,
    out: str | os.PathLike[str],
    scale: str = "quick",
    device: str = "auto",
    resume: bool = False,
    force: bool = False,
    progress: bool = True,
    **keys: Any,
) -> Report:
    """Trains and evaluates all that a paper shows, with figures and tables beside the printed values."""
    words = ["reproduce", experiment, "--scale", scale, *_common(device, out, settings(keys))]
    _program([*words, *_again(resume, force)], f"reproduce {experiment}", progress)
    return Report(out)
