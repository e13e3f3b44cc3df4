"""A beamformer of one's own in numpy, nothing learned: complex beams and powers, judged as the program's agents are.

    pip install ../../python        # Python 3.11 or newer, for tomllib
    python classical.py

It predicts each vehicle's angle and distance from its last two echoes, makes regularised zero-forcing beams there, and
fills power like water. `last-estimate` aims matched beams at the last echo, `ekf-zf` has a Kalman filter and plain
zero-forcing, `genie-zf` the true angles.
"""

from __future__ import annotations

import argparse
import tomllib

import numpy as np

import isacbench


class Beamformer:
    """`policy(obs)` of `isacbench.evaluate_policy`, with the last echo as its memory."""

    def __init__(self, **task_keys) -> None:
        spec = isacbench.make("v2x", beam="direct", **task_keys).spec_dict()
        self.task = tomllib.loads(spec["config"])["task"]
        self.vehicles, self.antennas = self.task["vehicles"], self.task["antennas_tx"]
        self.p_max = 10 ** (self.task["p_max_dbm"] / 10) / 1000
        self.noise = 10 ** (self.task["noise_comm_dbm"] / 10) / 1000
        self.last: np.ndarray | None = None

    def reset(self, num_envs: int) -> None:
        self.last = None

    def echo(self, obs: np.ndarray) -> np.ndarray:
        """Angle, distance, speed and log10 of the SINR `(4, B, K)`; an observation has (x - shift) · scale of them."""
        parts = obs.astype(np.float64).reshape(len(obs), 4, self.vehicles).swapaxes(0, 1)
        shift, scale = (np.array(self.task[key])[:, None, None] for key in ("obs_shift", "obs_scale"))
        return parts / scale + shift

    def predict(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angles and distances in the slot to come, by (14): θ + v Δt sin θ / d, d - v Δt cos θ."""
        theta, d, v, decades = self.echo(obs)
        sinr, dt, mean = 10**decades, self.task["slot_s"], v
        if self.last is not None:
            # The turn between two clear echoes is another measurement of the speed.
            before, far, was = self.last
            turned = (theta - before) * far / (dt * np.sin(before))
            mean = np.where((sinr > 1) & (was > 1), 0.5 * (v + turned), v)
        self.last = np.stack([theta, d, sinr])
        floor = self.task["distance_floor_m"]
        d = np.maximum(d, floor)
        return theta + mean * dt * np.sin(theta) / d, np.maximum(d - mean * dt * np.cos(theta), floor)

    def snr(self, d: np.ndarray) -> np.ndarray:
        """SNR of a matched beam of 1 W."""
        gain = 10 ** (self.task["path_gain_1m_db"] / 10) * d ** -self.task["path_loss_exponent"]
        return self.antennas * gain / self.noise

    def beams(self, theta: np.ndarray, snr: np.ndarray) -> np.ndarray:
        """F `(B, N, K)` = A (Aᴴ A + diag(K / (P_max s)))⁻¹, columns of norm 1."""
        n = np.arange(self.antennas)[:, None]
        a = np.exp(-1j * np.pi * n * np.cos(theta)[:, None, :]) / np.sqrt(self.antennas)
        gram = a.conj().swapaxes(1, 2) @ a
        load = np.eye(self.vehicles) * (self.vehicles / (self.p_max * snr))[:, None, :]
        f = a @ np.linalg.inv(gram + load)
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        self.gain = np.abs((a.conj() * f).sum(axis=1)) ** 2
        return f

    def powers(self, snr: np.ndarray) -> np.ndarray:
        """Water-filling `(B, K)`: p = max(level - 1 / s, 0), which adds up to P_max."""
        depth = np.sort(1 / snr, axis=1)
        count = np.arange(1, self.vehicles + 1)
        levels = (self.p_max + depth.cumsum(axis=1)) / count
        served = (levels > depth).sum(axis=1)
        level = levels[np.arange(len(snr)), served - 1]
        return np.maximum(level[:, None] - 1 / snr, 0)

    def __call__(self, obs: np.ndarray) -> np.ndarray:
        theta, d = self.predict(obs)
        snr = self.snr(d)
        f = self.beams(theta, snr)
        # A little less than P_max, since actions are in single precision.
        return isacbench.beams_action(f, self.powers(snr * self.gain) * (1 - 1e-6))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=100, help="slots of an episode")
    parser.add_argument("--seed", type=int, default=1000, help="of the episodes")
    parser.add_argument("--episodes", type=int, default=4096)
    parser.add_argument("--dbm", type=float, nargs="+", default=[0.0, 20.0, 40.0], help="P_max")
    args = parser.parse_args()

    for dbm in args.dbm:
        keys = {"p_max_dbm": dbm, "slots": args.slots}
        judged = isacbench.evaluate_policy(
            "v2x",
            Beamformer(**keys),
            name="own",
            episodes=args.episodes,
            seed=args.seed,
            beside=("last-estimate", "ekf-zf", "genie", "genie-zf", "upper-bound"),
            beam="direct",
            **keys,
        )
        print(f"{dbm:g} dBm, bps/Hz")
        for one in judged:
            print(f"  {one.agent:14} {one['sum_rate_bps_hz']}")


if __name__ == "__main__":
    main()
