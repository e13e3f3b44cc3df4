"""What evaluations say."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from . import _core
from .frames import frame
from .progress import Bar
from .spaces import ACTION_BOUND, Spec, actions_of, seed_of
from .tasks import settings, spoken, tasks

__all__ = ["Comparison", "Evaluation", "Value", "evaluate", "evaluate_policy"]


@dataclass(frozen=True)
class Value:
    """A mean with its 95 % interval: over episodes of one replica, over seeds of several; NaN where there is none."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        if np.isnan(self.low):
            return f"{self.mean:.4g}"
        return f"{self.mean:.4g} ({self.low:.4g} to {self.high:.4g})"


def _value(told: Mapping[str, Any]) -> Value:
    mean, (low, high) = told["mean"], told.get("ci95") or (None, None)
    return Value(*(float("nan") if x is None else float(x) for x in (mean, low, high)))


class Evaluation(Mapping[str, Value]):
    """One agent: a mapping of metrics by name. `slots` has some of them slot by slot."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.task: str = told["task"]
        self.agent: str = told["agent"]
        self.device: str = told["device"]
        self.episodes: int = told["episodes"]
        self.replicas: int = told["replicas"]
        #: Of the evaluation, replica by replica.
        self.seeds: list[int] = told["seeds"]
        #: What the intervals are over, in words.
        self.intervals: str = told["intervals"]
        #: Where the weights lay; None of agents without.
        self.checkpoint: str | None = told["checkpoint"]
        #: The whole configuration, section by section.
        self.configuration: dict[str, Any] = told["configuration"]
        #: Revision of the program's sources, where it is known.
        self.revision: str | None = told["git_revision"]
        #: Means of each seed, by metric.
        self.per_seed: dict[str, list[float]] = {
            name: [float("nan") if x is None else float(x) for x in value.get("per_seed", [])]
            for name, value in told["metrics"].items()
        }
        values = {name: _value(value) for name, value in told["metrics"].items()}
        # What agents are judged by stands first.
        first = [n for n in (tasks()[self.task]["metric"], "reward") if n in values]
        self._metrics = {name: values[name] for name in [*first, *(n for n in values if n not in first)]}
        self.slots = {name: [_value(v) for v in all_] for name, all_ in told.get("slots", {}).items()}

    def __getitem__(self, name: str) -> Value:
        if name not in self._metrics:
            raise KeyError(f"no metric '{name}' (there are: {', '.join(self._metrics)})")
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each metric."""
        own = {"task": self.task, "agent": self.agent, "episodes": self.episodes, "replicas": self.replicas}
        return [{**own, "metric": n, "mean": v.mean, "low": v.low, "high": v.high} for n, v in self.items()]

    def to_polars(self) -> Any:
        return frame(self.rows(), "polars")

    def to_pandas(self) -> Any:
        return frame(self.rows(), "pandas")

    def __repr__(self) -> str:
        width = max(map(len, self._metrics))
        head = f"{self.agent}, task {self.task}, {self.episodes} episodes on {self.device}"
        return "\n".join([head, *(f"  {n:{width}}  {v}" for n, v in self.items())])

    def _repr_html_(self) -> str:
        return Comparison([self])._repr_html_()


class Comparison(Sequence[Evaluation]):
    """Agents beside each other, on the same episodes; the first is the one that was asked about."""

    def __init__(self, evaluations: Sequence[Evaluation], settings: Sequence[str] = ()) -> None:
        self._all = list(evaluations)
        self.settings = list(settings)

    @overload
    def __getitem__(self, which: int | str) -> Evaluation: ...

    @overload
    def __getitem__(self, which: slice) -> list[Evaluation]: ...

    def __getitem__(self, which: int | str | slice) -> Evaluation | list[Evaluation]:
        if isinstance(which, str):
            for evaluation in self._all:
                if evaluation.agent == which:
                    return evaluation
            raise KeyError(f"no agent '{which}' (there are: {', '.join(e.agent for e in self._all)})")
        return self._all[which]

    def __len__(self) -> int:
        return len(self._all)

    def metrics(self) -> list[str]:
        """Metrics of the first agent; the others have them too, but for bounds, which have those that they bound."""
        return [n for n in self._all[0] if not n.startswith("energy_") and "_layer_" not in n]

    def rows(self) -> list[dict[str, Any]]:
        return [row for evaluation in self._all for row in evaluation.rows()]

    def to_polars(self) -> Any:
        return frame(self.rows(), "polars")

    def to_pandas(self) -> Any:
        return frame(self.rows(), "pandas")

    def _table(self) -> list[list[str]]:
        names = self.metrics()
        head = ["metric", *(e.agent for e in self._all)]
        return [head, *([n, *(str(e[n]) if n in e else "" for e in self._all)] for n in names)]

    def __repr__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in table]
        first = self._all[0]
        return "\n".join([f"task {first.task}, {first.episodes} episodes, means with 95 % intervals", *lines])

    def _repr_html_(self) -> str:
        def cells(row: list[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row)

        head, *rows = self._table()
        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
        return f"<table><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table>"

    def markdown(self) -> str:
        """The page as Markdown."""
        first = self._all[0]
        title = f"# {_plain(first.agent)} in task {first.task}\n"
        said = f"{first.episodes} episodes of each agent under the same draws, on {first.device}"
        head, *rows = ["| " + " | ".join(map(_plain, row)) + " |" for row in self._table()]
        table = [head, "|" + "---|" * (1 + len(self._all)), *rows]
        main = tasks()[first.task]["metric"]
        parts = [title, f"{said}; means with 95 % intervals.\n", *self._placed(main), "\n".join(table), ""]
        if self.settings:
            parts += ["## Configuration\n", "```", *self.settings, "```", ""]
        return "\n".join([*parts, f"isacbench {_core.__version__}\n"])

    def _placed(self, metric: str) -> list[str]:
        """Where the first agent stands among the others."""
        first, *others = self._all
        if metric not in first:
            return []
        own = first[metric].mean
        beside = [e for e in others if metric in e and e[metric].mean]
        times = ", ".join(f"{own / e[metric].mean:.3g} times {e.agent}" for e in beside)
        return [f"Its `{metric}` is {first[metric]}" + (f": {times}." if times else ".") + "\n"]

    def page(self, path: str | os.PathLike[str]) -> None:
        """Writes one HTML file that needs nothing beside it."""
        first = self._all[0]
        text = _core.page(self.markdown(), f"{first.agent} in task {first.task}", [])
        with open(path, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)


def _plain(text: str) -> str:
    """Text as it is, in Markdown that may hold HTML and tables."""
    return html.escape(text, quote=False).replace("|", "\\|").replace("`", "\\`").replace("*", "\\*")


#: What a policy is shown beside where nobody says so, the bound last.
BESIDE = {
    "v2x": ("random", "last-estimate", "ekf", "ekf-zf", "genie", "upper-bound"),
    "misac": ("vision-only", "radar-only", "best-periodic", "dp-optimal"),
}


def _count(name: str, value: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: {value!r} must be a whole number of at least 1")
    return int(value)


def evaluate(
    task: str,
    agent: str,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    episodes: int | None = None,
    seed: int | None = None,
    deterministic: bool | None = None,
    device: str = "cpu",
    progress: bool = False,
    **task_keys: Any,
) -> Evaluation:
    """What an agent of the program does: `evaluate("v2x", "ekf-zf", p_max_dbm=20.0)`.

    `checkpoint`: weights of a learned agent, a file or the folder of its training; task keys then vary what it was
    trained in. `deterministic`: mean action or sampled, where a policy has both. `device`: `cpu`, `auto`, `gpu` or part
    of an adapter's name or interface.

    ValueError: what the program says of a wrong name or key. KeyboardInterrupt ends it.
    """
    if "," in str(agent):
        raise ValueError(f"agent: {agent!r} are several; evaluate each by itself, or use `isacbench evaluate`")
    words = ["--task", str(task), "--agent", str(agent), "--device", str(device)]
    if checkpoint is not None:
        path = os.fsdecode(checkpoint)
        words += ["--checkpoint", os.path.join(path, "checkpoint.safetensors") if os.path.isdir(path) else path]
    if episodes is not None:
        words += ["--episodes", str(_count("episodes", episodes))]
    if deterministic is not None:
        words.append("--greedy" if deterministic else "--sampled")
    sets = settings(task_keys)
    if seed is not None:
        sets += settings({"evaluate.seed": seed_of(seed)})
    for word in sets:
        words += ["--set", word]
    if device != "cpu" and not any(v in os.environ for v in ("NODEVICE_SELECT", "MESA_VK_DEVICE_SELECT", "DRI_PRIME")):
        # Mesa's layer that picks adapters would look for a desktop session, and say that there is none.
        os.environ["NODEVICE_SELECT"] = "1"
    with Bar(f"evaluate {agent}", progress) as bar, spoken():
        return Evaluation(json.loads(_core.evaluate(words, bar.to if progress else None)))


def evaluate_policy(
    task: str,
    policy: Callable[[np.ndarray], Any],
    *,
    name: str = "policy",
    episodes: int = 4096,
    seed: int | None = None,
    beside: Sequence[str] | None = None,
    phases: bool = False,
    progress: bool = False,
    **task_keys: Any,
) -> Comparison:
    """Judges somebody's policy as the program's own agents are, under the same draws.

    `policy(obs)` gives actions `(B, A)` for observations float32 `(B, O)`, those of `make_vec` with the same keys; it
    is called slot by slot for up to 4096 episodes at once, so that all rows are in the same slot. A policy with memory
    has `reset(num_envs)`, which is called before their first slot. `beside`: agents of the program that need no
    weights, in the order of the table, `()` for none; by default references and the bound.

    Gives a `Comparison`: print it, `.to_polars()`, `.to_pandas()`, `.page("mine.html")`.

    ValueError: wrong names, keys and actions. What `policy` raises comes through.
    """
    if not callable(policy):
        raise ValueError(f"policy: {type(policy).__name__} is no function of observations")
    said = getattr(policy, "metadata", None)
    if isinstance(said, dict) and said.get("task", task) != task:
        raise ValueError(f"policy: made for task {said['task']}, not {task}")
    if beside is None:
        beside = BESIDE.get(task, ())
    _names(task, name, beside)
    episodes = _count("episodes", episodes)
    sets = settings({**task_keys, "evaluate.episodes": episodes})
    if seed is not None:
        sets += settings({"evaluate.seed": seed_of(seed)})
    spec = Spec(task, task_keys, phases, ACTION_BOUND)
    calls = -(-episodes // 4096) * spec.episode_slots
    with Bar(f"judge {name}", progress) as bar, spoken():
        asked = _Policy(policy, spec.action_dim, lambda n: bar.to(n, calls))
        own = json.loads(_core.judge(task, sets, spec.phases, name, asked))
    own_keys = {k: v for k, v in task_keys.items() if k not in ("beam", "task.beam")}
    others = [evaluate(task, other, episodes=episodes, seed=seed, progress=progress, **own_keys) for other in beside]
    return Comparison([Evaluation(own), *others], sets)


def _names(task: str, name: str, beside: Sequence[str]) -> None:
    """That a table of these agents can be made."""
    known = tasks().get(task)
    if known is None:
        raise ValueError(f"task: no task {task!r}; there are: {', '.join(tasks())}")
    if not isinstance(name, str) or not name or name in beside:
        raise ValueError(f"name: {name!r} must be a name that no other agent of the table has")
    if isinstance(beside, str):
        raise ValueError(f"beside: {beside!r} is one name, not a list of them")
    for other in beside:
        if other not in known["agents"]:
            raise ValueError(f"beside: no agent '{other}' in task {task}; there are: {', '.join(known['agents'])}")
        if other in known["learned"]:
            raise ValueError(f"beside: agent '{other}' has weights; evaluate it by itself")


class _Policy:
    """A policy whose answers are float32 arrays, and who counts how often it was asked."""

    def __init__(self, policy: Callable[[np.ndarray], Any], actions: int, told: Callable[[int], None]) -> None:
        self._policy, self._actions, self._told, self._asked = policy, actions, told, 0
        reset = getattr(policy, "reset", None)
        if callable(reset):
            self.reset = reset

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        actions = self._policy(obs)
        if hasattr(actions, "detach"):
            actions = actions.detach().cpu().numpy()
        self._asked += 1
        self._told(self._asked)
        return actions_of(actions, (len(obs), self._actions), "policy")
