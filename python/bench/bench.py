"""Speed of the environments, and what they keep of memory and of the interpreter's lock.

    python python/bench/bench.py --json bench.json

Things that are compared take turns, round after round; numbers are medians over the rounds, with the lowest and the
highest. `physics` is the program's CPU backend by itself, under the same actions: each thread carries 256 environments
through all slots of an episode. `numpy` is `numpy_env.py` beside this file: it is compared with `isacbench.make` over
episodes of the same draws before anything is timed. Slots are counted, not steps: of 101 steps of `make_vec`, as it is
by default, one only begins episodes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import isacbench
import numpy_env
from isacbench import _core
from isacbench.tasks import settings

ENVS = 4096
BEAM = "angles"
#: Slots of a step of `make_vec`, for each environment.
SHARE = numpy_env.T / (numpy_env.T + 1)


@dataclass
class Row:
    """Slots a second of `envs` environments: median, lowest and highest of the rounds."""

    what: str
    envs: int
    slots_per_s: float
    low: float
    high: float

    @property
    def step_us(self) -> float:
        return 1e6 * self.envs / self.slots_per_s

    def __str__(self) -> str:
        spread = f"{_short(self.low)} to {_short(self.high)}"
        return f"{self.what:<44} {self.envs:>5} {_short(self.slots_per_s):>9} {spread:>20} {self.step_us:>10.2f}"


def _short(x: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if x >= size:
            return f"{x / size:.3g} {unit}"
    return f"{x:.3g}"


def _actions(envs: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(envs, 6)).astype(np.float32)


def _timed(step: Callable[[int], Any], calls: int, slots: float) -> float:
    """Slots a second of `calls` calls, each of `slots`."""
    began = time.perf_counter()
    for i in range(calls):
        step(i)
    return calls * slots / (time.perf_counter() - began)


def _batched(envs: int, info_metrics: bool, copy: bool) -> Callable[[int], Any]:
    env = isacbench.make_vec("v2x", envs, seed=0, info_metrics=info_metrics, copy=copy, beam=BEAM)
    env.reset()
    # Several sets, so that no step finds its actions where the last one has put them.
    sets = [np.roll(_actions(envs), n) for n in range(4)]
    return lambda i: env.step(sets[i % 4])


def _single(env: gymnasium.Env[Any, Any]) -> Callable[[int], Any]:
    env.reset(seed=0)
    all_ = _actions(1000)

    def step(i: int) -> None:
        if env.step(all_[i % 1000])[3]:
            env.reset()

    return step


def measure(rounds: int, seconds: float) -> list[Row]:
    """Every contender for about `seconds` in each round."""
    contenders: list[tuple[str, int, Callable[[int], float]]] = []

    def add(what: str, envs: int, step: Callable[[int], Any]) -> None:
        slots = envs * SHARE if what.startswith("make_vec") else envs
        calls = max(20, int(seconds * _timed(step, 20, slots) / slots))
        contenders.append((what, envs, lambda _: _timed(step, calls, slots)))

    if hasattr(_core, "physics_rate"):
        actions, sets = _actions(ENVS), settings({"beam": BEAM})
        episodes = max(1, int(seconds * _core.physics_rate("v2x", sets, actions, numpy_env.T) / ENVS / numpy_env.T))
        slots = episodes * numpy_env.T
        contenders.append(("physics", ENVS, lambda _: _core.physics_rate("v2x", sets, actions, slots)))
    for metrics in (False, True):
        for copy in (False, True):
            what = f"make_vec, info_metrics={metrics}, copy={copy}"
            add(what, ENVS, _batched(ENVS, metrics, copy))
    add("make_vec, info_metrics=False, copy=False", 1, _batched(1, False, False))
    add("make_vec, info_metrics=True, copy=True", 1, _batched(1, True, True))
    add("make", 1, _single(isacbench.make("v2x", beam=BEAM)))
    add("numpy", 1, _single(numpy_env.V2xNumpyEnv(BEAM)))

    found: list[list[float]] = [[] for _ in contenders]
    for n in range(rounds):
        for i in range(len(contenders)):
            # Another one begins each round.
            at = (i + n) % len(contenders)
            found[at].append(contenders[at][2](n))
    return [Row(what, envs, statistics.median(x), min(x), max(x)) for (what, envs, _), x in zip(contenders, found)]


class Counter:
    """A Python thread that counts, and gives way now and then as one that waits for files or a network does."""

    def __init__(self) -> None:
        self.n, self._go = 0, True
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while self._go:
            for _ in range(1000):
                self.n += 1
            time.sleep(0)

    def __enter__(self) -> Counter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go = False
        self._thread.join()


def _resident_mb() -> float:
    """The resident set, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def endure(slots: float) -> dict[str, float]:
    """Memory over so many slots, with all that `make_vec` gives by default, while a Python thread counts."""
    step = _batched(ENVS, True, True)
    for i in range(1000):
        step(i)
    calls = int(slots / ENVS / SHARE) + 1
    with Counter() as counter:
        time.sleep(1)
        alone = counter.n
    with Counter() as counter:
        before, began = _resident_mb(), time.perf_counter()
        for i in range(calls):
            step(i)
        took, after = time.perf_counter() - began, _resident_mb()
        beside = counter.n / took
    return {
        "slots": calls * ENVS * SHARE,
        "seconds": took,
        "resident_mb_before": before,
        "resident_mb_after": after,
        "counts_per_s": beside,
        "counts_per_s_without_steps": float(alone),
        "slots_per_s": calls * ENVS * SHARE / took,
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "isacbench": isacbench.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gymnasium": gymnasium.__version__,
    }


def ratios(rows: list[Row]) -> list[tuple[str, float, str]]:
    """What is compared: in words, the number, and what it should be."""
    by = {(row.what, row.envs): row for row in rows}
    fast, default = (by[(f"make_vec, info_metrics={x}, copy={x}", ENVS)] for x in (False, True))
    alone, numpy = by[("make_vec, info_metrics=False, copy=False", 1)], by[("numpy", 1)]
    out = []
    if ("physics", ENVS) in by:
        physics = by[("physics", ENVS)].slots_per_s
        out.append(("make_vec without metrics and copies over physics", fast.slots_per_s / physics, "at least 0.7"))
        out.append(("make_vec as it is by default over physics", default.slots_per_s / physics, ""))
    out += [
        ("make_vec without metrics and copies over numpy", fast.slots_per_s / numpy.slots_per_s, "at least 50"),
        ("make_vec as it is by default over numpy", default.slots_per_s / numpy.slots_per_s, "at least 50"),
        ("make over numpy", by[("make", 1)].slots_per_s / numpy.slots_per_s, ""),
        ("batched step of one environment, µs", alone.step_us, "at most 15"),
    ]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the environments.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each contender in each round")
    parser.add_argument("--slots", type=float, default=1e8, help="over which memory is watched; 0: it is not")
    parser.add_argument("--json", type=Path, help="writes all numbers to this file")
    args = parser.parse_args()
    if args.rounds < 1 or args.seconds <= 0 or args.slots < 0:
        parser.error("--rounds, --seconds and --slots: numbers above 0")

    here = machine()
    print(", ".join(f"{k} {v}" for k, v in here.items()))
    checked = numpy_env.check()
    print("\n".join(f"numpy against make: {line}" for line in checked), flush=True)
    rows = measure(args.rounds, args.seconds)
    print(f"\n{'task v2x, beam ' + BEAM:<44} {'envs':>5} {'slots/s':>9} {'lowest to highest':>20} {'µs a step':>10}")
    print("\n".join(map(str, rows)))
    print()
    compared = ratios(rows)
    for what, number, wanted in compared:
        print(f"{what:<52} {number:>9.3g}" + (f"  ({wanted})" if wanted else ""))
    told: dict[str, Any] = {
        "machine": here,
        "checked": checked,
        "rounds": args.rounds,
        "rows": [{**asdict(row), "step_us": row.step_us} for row in rows],
        "ratios": {what: number for what, number, _ in compared},
    }
    if args.slots > 0:
        kept = told["endurance"] = endure(args.slots)
        print(
            f"\n{kept['slots']:.3g} slots of {ENVS} environments in {kept['seconds']:.1f} s: resident set "
            f"{kept['resident_mb_before']:.1f} MB before, {kept['resident_mb_after']:.1f} MB after"
        )
        print(
            f"a Python thread beside them counted {_short(kept['counts_per_s'])}/s; without steps "
            f"{_short(kept['counts_per_s_without_steps'])}/s"
        )
    if args.json is not None:
        args.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
