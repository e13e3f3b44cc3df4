"""Task v2x as somebody would write it for Gymnasium: one environment in numpy, vectorised over its vehicles.

What `bench.py` compares the environments of `isacbench` with. The equations are those of the module's preset `fast`
(motion as printed, γ̂ as the vehicles report it, the reward as value times indicator) with the beams `angles` or
`tracking`; array gains are taken in closed form, which numpy does faster than the sums over the antennas. There is
nothing in a step that the reward or the observation does not need.

Run by itself, it compares itself with `isacbench.make` over whole episodes of the same draws.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import isacbench

# Vehicles, antennas, slots of an episode.
K, N, T = 3, 32, 100
SLOT_S, LIGHT_M_S, CARRIER_HZ = 0.02, 3e8, 30e9
# Standard deviations of a slot's motion: rad, m, m/s.
SIGMA_THETA, SIGMA_D, SIGMA_V = math.radians(0.02), 0.2, 0.5
START_X_M, ROAD_Y_M = np.array([-5.0, -15.0, -25.0]), 10.0
SPEED_M_S = (10.0, 14.0)
D_FLOOR_M, COS_FLOOR = 1.0, 0.1
# Noise of vehicle and radar, W.
NOISE_W = 1e-3 * 10 ** (-80 / 10)
PATH_GAIN_1M, PATH_LOSS_EXPONENT = 10 ** (-70 / 10), 2.55
KAPPA2, XI = 10.0**2 + 10.0**2, 10.0
ALPHA_TAU_S, ALPHA_MU_HZ = 1e-9, 2e3
# Caps of the standard deviations of the echo: rad, m, m/s.
CAPS = np.array([[1.0], [5.0], [5.0]])
EPS_THETA_RAD2, EPS_D_M2 = 1e-10, 0.04
TRACKING_RAD = 0.1
OBS_SHIFT = np.array([[1.5708], [15.0], [12.0], [1.5]])
OBS_SCALE = np.array([[1.6], [0.1667], [0.4], [0.6]])

COMM_GAIN = N * PATH_GAIN_1M / NOISE_W
RADAR_GAIN = N * N * KAPPA2 / 4 / NOISE_W
CRLB_THETA_SCALE = XI * NOISE_W * 4 / (XI**2 * N * N * KAPPA2)
CRLB_D_SCALE = (ALPHA_TAU_S * LIGHT_M_S / 2) ** 2
SIGMA_V_SCALE = ALPHA_MU_HZ * LIGHT_M_S / (2 * CARRIER_HZ)
START_THETA, START_D = np.arctan2(ROAD_Y_M, -START_X_M), np.hypot(START_X_M, ROAD_Y_M)


class V2xNumpyEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment. `beam`: `angles` or `tracking`."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, beam: str = "angles", p_max_dbm: float = 40.0) -> None:
        if beam not in ("angles", "tracking"):
            raise ValueError(f"beam: {beam!r} (there are: angles, tracking)")
        self.tracking = beam == "tracking"
        self.p_max_w = 1e-3 * 10 ** (p_max_dbm / 10)
        self.observation_space = spaces.Box(-np.inf, np.inf, (4 * K,), np.float32)
        self.action_space = spaces.Box(-4.0, 4.0, (2 * K,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.theta, self.d = START_THETA, START_D
        self.v = self.np_random.uniform(*SPEED_M_S, K)
        self.seen = np.array([self.theta, self.d, self.v, np.zeros(K)])
        self.slot = 0
        return self._observation(), {}

    def _observation(self) -> np.ndarray:
        obs: np.ndarray = (self.seen - OBS_SHIFT) * OBS_SCALE
        return obs.ravel().astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        moved, echoed = self.np_random.standard_normal((2, K, 3))
        # (14), all right-hand sides before the slot.
        advance = self.v * SLOT_S
        theta = self.theta + advance * np.sin(self.theta) / self.d + SIGMA_THETA * moved[:, 0]
        d = np.maximum(self.d - advance * np.cos(self.theta) + SIGMA_D * moved[:, 1], D_FLOOR_M)
        v = self.v + SIGMA_V * moved[:, 2]
        sin, cos = np.sin(theta), np.cos(theta)
        self.theta, self.d, self.v = theta, d, v

        # Beams and powers.
        aim, logits = action[:K], action[K:]
        phi = self.seen[0] + TRACKING_RAD * np.tanh(aim) if self.tracking else np.pi / (1 + np.exp(-aim))
        power = np.exp(logits - logits.max())
        power *= self.p_max_w / power.sum()

        # |aᴴ(θ_k) f_i|² `[k, i]` and |d aᴴ(θ_k)/dθ f_k|² in closed form, which is 0/0 at 0.
        x = np.pi / 2 * (cos[:, None] - np.cos(phi)) + 1e-9
        s, sn = np.sin(x), np.sin(N * x)
        response = sn / (N * s)
        gain = response * response
        own_x, own_s = x.diagonal(), s.diagonal()
        slope = (N * np.cos(N * own_x) * own_s - sn.diagonal() * np.cos(own_x)) / (2 * N * own_s * own_s)
        lever = (N - 1) / 2 * response.diagonal()
        slope2 = (np.pi * sin) ** 2 * (lever * lever + slope * slope)

        # (12), (13), (8), (23), (22), (28).
        inv_d2 = 1 / (d * d)
        own = power * gain.diagonal()
        path = COMM_GAIN * d**-PATH_LOSS_EXPONENT
        sinr = path * own / (path * (gain @ power - own) + 1)
        rate = np.log2(1 + sinr)
        lit = power * inv_d2
        echo = own * inv_d2
        radar = RADAR_GAIN * echo / (RADAR_GAIN * (gain @ lit - echo) + 1)
        crlb_theta, crlb_d = CRLB_THETA_SCALE / (lit * slope2), CRLB_D_SCALE / radar
        # (27)
        total = rate.sum()
        jain = total * total / (K * (rate @ rate))
        mean_theta, mean_d = crlb_theta.sum() / K, crlb_d.sum() / K
        holds = mean_theta <= EPS_THETA_RAD2 and mean_d <= EPS_D_M2
        reward = float(total * jain - mean_theta - mean_d) if holds else 0.0

        # The echo.
        std_v = SIGMA_V_SCALE / (np.sqrt(radar) * np.maximum(np.abs(cos), COS_FLOOR))
        std = np.minimum([np.sqrt(crlb_theta), np.sqrt(crlb_d), std_v], CAPS)
        self.seen[:3] = [theta, d, v] + std * echoed.T
        self.seen[3] = np.log10(1 + sinr)
        self.slot += 1
        return self._observation(), reward, False, self.slot == T, {}


class Draws:
    """The draws of `isacbench`, Philox4x32-10 counted by (block, slot, environment, stream), in numpy's place."""

    def __init__(self, seed: int) -> None:
        self.seed, self.slot = seed, 0

    def _words(self, stream: int, blocks: int) -> np.ndarray:
        c = np.zeros((4, blocks), np.uint64)
        c[0], c[1], c[3] = np.arange(blocks), self.slot, stream
        k0, k1 = self.seed, 0
        low, up = np.uint64(0xFFFFFFFF), np.uint64(32)
        for _ in range(10):
            a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
            c = np.array([(b >> up) ^ c[1] ^ np.uint64(k0), b & low, (a >> up) ^ c[3] ^ np.uint64(k1), a & low])
            k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
        words: np.ndarray = c.T
        return words.ravel()

    @staticmethod
    def _unit(words: np.ndarray) -> np.ndarray:
        bits: np.ndarray = words >> np.uint64(8)
        unit: np.ndarray = (bits + 0.5) * 2.0**-24
        return unit

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        """Of an episode's beginning."""
        speeds: np.ndarray = low + (high - low) * self._unit(self._words(0, -(-size // 4)))[:size]
        return speeds

    def standard_normal(self, size: tuple[int, int, int]) -> np.ndarray:
        """Of a slot: its motion, then its echo."""
        both = []
        for stream in (1, 2):
            w = self._words(stream, -(-size[1] * size[2] // 4)).reshape(-1, 2)
            radius, turn = np.sqrt(-2 * np.log(self._unit(w[:, 0]))), 2 * np.pi * self._unit(w[:, 1])
            both.append((radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1)).ravel()[: size[1] * size[2]])
        self.slot += 1
        return np.array(both).reshape(size)


def compare(beam: str, seed: int, episodes: int) -> tuple[int, int, float, float]:
    """Both environments under the same draws and actions: slots in which both hold the limits of (27), those in which
    one does, the largest relative difference of their rewards in the others, and that of the observations, absolute."""
    here, there = V2xNumpyEnv(beam), isacbench.make("v2x", beam=beam)
    here.np_random = Draws(seed)  # type: ignore[assignment]
    actions = np.random.default_rng(seed).normal(0, 0.05, (episodes, T, 2 * K)).astype(np.float32)
    both, one, off_reward, off_obs = 0, 0, 0.0, 0.0
    for episode in range(episodes):
        a = here.reset()[0]
        b = there.reset(seed=seed if episode == 0 else None)[0]
        off_obs = max(off_obs, float(np.abs(a - b).max()))
        # Beams `angles` are pointed at what was seen last, or they would hit nothing.
        for t in range(T):
            action = actions[episode, t].copy()
            if beam == "angles":
                share = np.clip((b[:K] / OBS_SCALE[0] + OBS_SHIFT[0]) / np.pi, 0.01, 0.99)
                action[:K] = np.log(share / (1 - share)) + 0.1 * action[:K]
            a, own, *_ = here.step(action)
            b, other, _, over, _ = there.step(action)
            off_obs = max(off_obs, float(np.abs(a - b).max()))
            if own != 0 and other != 0:
                both += 1
                off_reward = max(off_reward, abs(own - other) / abs(other))
            elif own != other:
                one += 1
        if not over:
            raise AssertionError(f"an episode of {T} slots has not ended")
    return both, one, off_reward, off_obs


def check(episodes: int = 5) -> list[str]:
    """What a comparison has found. AssertionError: the two differ by more than single precision accounts for."""
    found = []
    for beam in ("angles", "tracking"):
        both, one, reward, obs = compare(beam, 7, episodes)
        found.append(
            f"beam {beam}: {episodes * T} slots, {both} with a reward in both, {one} in one of them; rewards alike "
            f"within {reward:.1e}, observations within {obs:.1e}"
        )
        # At a limit the last bit decides, and there is hardly a slot there.
        if both < episodes * T // 2 or one > episodes * T // 100 or reward > 1e-4 or obs > 1e-3:
            raise AssertionError(found[-1])
    return found


if __name__ == "__main__":
    print("\n".join(check()))
