"""Independent float64 reference of task v2x (one-step ISAC beamforming for K vehicles).

Written from the paper's equations and the project's task specification alone; it shares no code and no
closed form with the Rust implementation. Every array gain is the printed sum over antennas of complex
steering vectors, and (22) uses the explicit sum for d/dtheta a^H(theta). Equation numbers are the paper's.

Makes, in the folder given by --out:
  v2x_agents.json        Monte Carlo means and standard errors per kinematics, power and reference agent
  v2x_protocols.json     the same of the protocols of figure 2, with net rate and overhead
  v2x_steps.safetensors  single slots from re-injected states

    OMP_NUM_THREADS=1 python3 tests/reference/v2x_reference.py --out tests/golden --seed 20250

`--only check` runs the self-checks alone (slow scalar loops, finite differences, KKT conditions);
they also run before anything is written.

Array shapes: E episodes (or cases), K vehicles, N antennas. Units: rad, m, m/s, s, W.
"""

import argparse
import cmath
import json
import math
import os
import platform
import shlex
import sys
import time

import numpy as np

# ---------------------------------------------------------------------------------------------------------
# Constants (paper section V-A; the choices of spec.md)
# ---------------------------------------------------------------------------------------------------------
K = 3
N_TA = 32
N_RA = 32
F_C = 30e9
C = 3e8
DT = 0.02
T_SLOTS = 100
KAPPA = 10 + 10j
XI = 10.0
SIGMA_Z2 = 1e-3 * 10 ** (-80 / 10)  # W
SIGMA_C2 = 1e-3 * 10 ** (-80 / 10)  # W
SIGMA_Y2 = XI * SIGMA_Z2  # [choice]
ALPHA_TAU = 1e-9
ALPHA_MU = 2e3
SIGMA_THETA = math.radians(0.02)
SIGMA_D = 0.2
SIGMA_V = 0.5
ALPHA_0 = 10 ** (-70 / 10)  # [choice] path loss at 1 m
PL_EXPONENT = 2.55  # [choice]
START_X = np.array([-5.0, -15.0, -25.0])
ROAD_Y = 10.0
V_RANGE = (10.0, 14.0)
D_FLOOR = 1.0
COS_FLOOR = 0.1
CAP_THETA, CAP_D, CAP_V = 1.0, 5.0, 5.0  # caps of the measurement standard deviations
EPS_THETA = 1e-10
EPS_D = 0.04
JAIN_SCALE = 1.0

# Figure 2: pilots, reports and waiting [choice: 5G NR at 120 kHz]
SYMBOL_S = 8.93e-6
PILOT_SAMPLES = 127
STAGE_SYMBOLS = 36
UPLINK_W = 1e-3 * 10 ** (23 / 10)

E2 = float(N_TA * N_RA)  # squared array gain of the echo, (2)
EBAR2 = float(N_TA)  # squared array gain of the downlink, (11)

KINEMATICS = ("paper", "cartesian")
POWERS_DBM = (0, 10, 20, 30, 40)
AGENTS = ("random", "last-estimate", "ekf", "genie", "genie-zf", "upper-bound", "ekf-zf", "ukf")
PROTOCOLS = ("beam-training", "two-stage", "channel-history", "beam-training-4")  # the last sweeps in every fourth slot
STREAMS = AGENTS[:7] + PROTOCOLS + AGENTS[7:]  # the place of each is part of its stream
EPISODES = {"paper": 4000, "cartesian": 2000}
PROTOCOL_POWERS_DBM = (0, 20, 40)
PROTOCOL_EPISODES = {"paper": 1000, "cartesian": 500}
CHUNK = 250  # episodes handled at once; part of the definition of the random streams


# ---------------------------------------------------------------------------------------------------------
# Array
# ---------------------------------------------------------------------------------------------------------
def steering(theta):
    """(3): a(theta)[n] = exp(-j pi n cos theta) / sqrt(N), n = 0..N-1. Shape [..., N]."""
    phase = np.multiply.outer(np.cos(theta), np.pi * np.arange(N_TA))
    a = np.empty(phase.shape, dtype=np.complex128)
    a.real = np.cos(phase)
    a.imag = -np.sin(phase)
    a /= math.sqrt(N_TA)
    return a


def beam_gains(a_theta, f):
    """|a^H(theta_k) f_i|^2, the sum over antennas. a_theta, f: [E,K,N] -> [E,K,K], index (vehicle k, beam i)."""
    g = np.matmul(a_theta.conj(), np.swapaxes(f, -1, -2))
    return g.real**2 + g.imag**2


def derivative_gains(theta, a_theta, f):
    """|d/dtheta a^H(theta_k) f_k|^2. conj(a_n) = exp(+j pi n cos theta)/sqrt(N), so its derivative is
    (-j pi n sin theta) conj(a_n). Shape [E,K]."""
    n = np.arange(N_TA)
    da_h = (-1j * np.pi * n) * np.sin(theta)[..., None] * a_theta.conj()
    s = np.sum(da_h * f, axis=-1)
    return s.real**2 + s.imag**2


# ---------------------------------------------------------------------------------------------------------
# Motion
# ---------------------------------------------------------------------------------------------------------
def move(kinematics, theta, d, v, n_dyn):
    """One slot of motion; n_dyn [E,K,3] standard normals for (theta, d, v). All right-hand sides are old values."""
    w = n_dyn * np.array([SIGMA_THETA, SIGMA_D, SIGMA_V])
    if kinematics == "paper":  # (14)
        theta1 = theta + v * DT * np.sin(theta) / d + w[..., 0]
        d1 = np.maximum(d - v * DT * np.cos(theta) + w[..., 1], D_FLOOR)
    elif kinematics == "cartesian":  # the road: x moves, y is fixed; the theta noise is not used
        x1 = -d * np.cos(theta) + v * DT + w[..., 1]
        theta1 = np.arctan2(ROAD_Y, -x1)
        d1 = np.maximum(np.hypot(x1, ROAD_Y), D_FLOOR)
    else:
        raise ValueError(kinematics)
    return theta1, d1, v + w[..., 2]


def reset(rng, episodes):
    """Start of an episode: theta, d, v, each [E,K]."""
    theta = np.broadcast_to(np.arctan2(ROAD_Y, -START_X), (episodes, K)).copy()
    d = np.broadcast_to(np.hypot(START_X, ROAD_Y), (episodes, K)).copy()
    v = rng.uniform(*V_RANGE, size=(episodes, K))
    return theta, d, v


# ---------------------------------------------------------------------------------------------------------
# One slot after the motion: (8)-(13), (22), (23), (27), (28) and the echo
# ---------------------------------------------------------------------------------------------------------
def path_gain(d):
    """alpha_k^2 = alpha_0 (d/1 m)^-2.55."""
    return ALPHA_0 * d**-PL_EXPONENT


def evaluate(theta, d, f, p):
    """Everything that follows from the state after the motion and the action. theta, d, p [E,K], f [E,K,N]."""
    a = steering(theta)
    gain = beam_gains(a, f)  # [E,k,i]
    own = np.eye(K, dtype=bool)
    alpha2 = path_gain(d)
    beta2 = abs(KAPPA) ** 2 / (4.0 * d**2)

    # (12): every beam reaches vehicle k through k's own channel
    rx = EBAR2 * alpha2[:, :, None] * p[:, None, :] * gain
    comm_sinr = rx[:, own] / (np.where(own, 0.0, rx).sum(-1) + SIGMA_C2)
    rate = np.log2(1.0 + comm_sinr)

    # (8): as printed, the interference of beam i carries beta_i and a(theta_k)
    ry = E2 * (p * beta2)[:, None, :] * gain
    radar_sinr = ry[:, own] / (np.where(own, 0.0, ry).sum(-1) + SIGMA_Z2)

    with np.errstate(divide="ignore"):
        var_tau = ALPHA_TAU**2 / radar_sinr  # (9)
        var_mu = ALPHA_MU**2 / radar_sinr  # (10)
        crlb_d = var_tau * (C / 2.0) ** 2  # (23)
        info = XI**2 * E2 * p * beta2 * derivative_gains(theta, a, f)
        crlb_theta = SIGMA_Y2 / info  # (22)
    sigma_v = np.sqrt(var_mu) * C / (2.0 * F_C * np.maximum(np.abs(np.cos(theta)), COS_FLOOR))

    s = rate.sum(-1)
    jain = JAIN_SCALE * s**2 / (K * (rate**2).sum(-1))  # (28)
    mean_ct, mean_cd = crlb_theta.mean(-1), crlb_d.mean(-1)
    indicator = (mean_cd <= EPS_D) & (mean_ct <= EPS_THETA)
    with np.errstate(invalid="ignore"):
        reward = np.where(indicator, s * jain - mean_ct - mean_cd, 0.0)  # (27)

    return {
        "gain": gain,
        "comm_sinr": comm_sinr,
        "rate": rate,
        "radar_sinr": radar_sinr,
        "crlb_theta": crlb_theta,
        "crlb_d": crlb_d,
        "jain": jain,
        "reward": reward,
        "indicator": indicator.astype(np.float64),
        "std_theta": np.minimum(np.sqrt(crlb_theta), CAP_THETA),
        "std_d": np.minimum(np.sqrt(crlb_d), CAP_D),
        "std_v": np.minimum(sigma_v, CAP_V),
    }


def echo(theta, d, v, out, n_meas):
    """Step 5: noisy measurements; n_meas [E,K,3] standard normals for (theta, d, v)."""
    return (
        theta + out["std_theta"] * n_meas[..., 0],
        d + out["std_d"] * n_meas[..., 1],
        v + out["std_v"] * n_meas[..., 2],
    )


# ---------------------------------------------------------------------------------------------------------
# Power
# ---------------------------------------------------------------------------------------------------------
def water_fill(c, p_max):
    """argmax sum log2(1 + p_k c_k), sum p = p_max, p >= 0. c [E,K] > 0, p_max [E] or scalar."""
    inv = 1.0 / c
    order = np.sort(inv, axis=-1)
    m = np.arange(1, c.shape[-1] + 1)
    # level with the m best channels in use; the right m is the largest whose worst channel is under water
    level = (np.asarray(p_max)[..., None] + np.cumsum(order, axis=-1)) / m
    used = np.maximum((level > order).sum(-1), 1)
    mu = np.take_along_axis(level, used[..., None] - 1, axis=-1)
    return np.maximum(mu - inv, 0.0)


def upper_bound(d, p_max):
    """Matched beams without interference, power water-filled; sum-rate [E]."""
    c = EBAR2 * path_gain(d) / SIGMA_C2
    p = water_fill(c, p_max)
    return np.log2(1.0 + p * c).sum(-1)


# ---------------------------------------------------------------------------------------------------------
# Agents. act(...) -> f [E,K,N], p [E,K]
# ---------------------------------------------------------------------------------------------------------
def equal_power(shape, p_max):
    return np.broadcast_to(np.asarray(p_max)[..., None] / K, shape)


def zero_forcing(theta, d, p_max):
    """F = A (A^H A)^-1 with unit-norm columns and water-filled power.
    With A = QR, A (A^H A)^-1 = Q R^-H, which avoids forming A^H A."""
    a_cols = np.swapaxes(steering(theta), -1, -2)  # [E,N,K]
    q, r = np.linalg.qr(a_cols)
    f = np.matmul(q, np.linalg.inv(np.conj(np.swapaxes(r, -1, -2))))
    f = np.swapaxes(f, -1, -2)  # [E,K,N]
    f = f / np.linalg.norm(f, axis=-1, keepdims=True)
    g = np.abs(np.sum(steering(theta).conj() * f, axis=-1)) ** 2
    c = EBAR2 * path_gain(d) * g / SIGMA_C2
    return f, water_fill(c, p_max)


class Ekf:
    """Extended Kalman filter on (theta, d, v) per vehicle: model (14), measurements of step 5 (H = I)."""

    q = np.diag([SIGMA_THETA**2, SIGMA_D**2, SIGMA_V**2])

    def __init__(self, theta, d, v):
        self.x = np.stack([theta, d, v], axis=-1)  # [E,K,3]
        self.p = np.zeros(self.x.shape + (3,))
        self.floored = 0

    def update(self, z, var):
        """z, var [E,K,3]: the echo and the variances it was drawn with."""
        eye = np.eye(3)
        r = var[..., :, None] * eye
        s = self.p + r
        gain = np.swapaxes(np.linalg.solve(s, self.p), -1, -2)  # P S^-1 (both symmetric)
        self.x = self.x + np.einsum("...ij,...j->...i", gain, z - self.x)
        i_k = eye - gain  # Joseph form keeps P symmetric and positive
        self.p = i_k @ self.p @ np.swapaxes(i_k, -1, -2) + gain @ r @ np.swapaxes(gain, -1, -2)
        self._floor()

    @staticmethod
    def jacobian(x):
        th, d, v = x[..., 0], x[..., 1], x[..., 2]
        f = np.zeros(x.shape + (3,))
        f[..., 0, 0] = 1.0 + v * DT * np.cos(th) / d
        f[..., 0, 1] = -v * DT * np.sin(th) / d**2
        f[..., 0, 2] = DT * np.sin(th) / d
        f[..., 1, 0] = v * DT * np.sin(th)
        f[..., 1, 1] = 1.0
        f[..., 1, 2] = -DT * np.cos(th)
        f[..., 2, 2] = 1.0
        return f

    def predict(self):
        f = self.jacobian(self.x)
        th, d, v = move("paper", self.x[..., 0], self.x[..., 1], self.x[..., 2], np.zeros(self.x.shape))
        self.x = np.stack([th, d, v], axis=-1)
        self.p = f @ self.p @ np.swapaxes(f, -1, -2) + self.q
        self.floored += int((d <= D_FLOOR).sum())

    def _floor(self):
        """The distance estimate is kept at or above the floor of the task (it divides in (14))."""
        self.floored += int((self.x[..., 1] < D_FLOOR).sum())
        self.x[..., 1] = np.maximum(self.x[..., 1], D_FLOOR)


class Ukf(Ekf):
    """The same filter with the scaled unscented transform (Wan and van der Merwe 2000) of the motion: alpha = 1, beta = 0,
    kappa = 3 - n. All 2n + 1 points with their weights as printed there, of the covariance's lower Cholesky factor."""

    def predict(self):
        n = self.x.shape[-1]
        alpha, beta, kappa = 1.0, 0.0, 3.0 - n
        lam = alpha**2 * (n + kappa) - n
        root = np.linalg.cholesky((n + lam) * (self.p + 1e-30 * np.eye(n)))
        offsets = np.swapaxes(root, -1, -2)  # [E,K,column,state]
        x = self.x[..., None, :]
        points = np.concatenate([x, x + offsets, x - offsets], axis=-2)
        w_mean = np.full(2 * n + 1, 0.5 / (n + lam))
        w_cov = w_mean.copy()
        w_mean[0] = lam / (n + lam)
        w_cov[0] = w_mean[0] + 1.0 - alpha**2 + beta
        th, d, v = move("paper", points[..., 0], points[..., 1], points[..., 2], np.zeros(points.shape))
        moved = np.stack([th, d, v], axis=-1)
        self.x = np.einsum("i,...ij->...j", w_mean, moved)
        off = moved - self.x[..., None, :]
        self.p = np.einsum("i,...ij,...ik->...jk", w_cov, off, off) + self.q
        self.floored += int((d <= D_FLOOR).sum())


# ---------------------------------------------------------------------------------------------------------
# The protocols of figure 2
# ---------------------------------------------------------------------------------------------------------
def pilot_noise(rng, shape):
    """Of the mean of a pilot's samples: circular, SIGMA_C2 over their number."""
    return np.sqrt(SIGMA_C2 / PILOT_SAMPLES / 2.0) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))


CODEBOOK = np.arccos((2.0 * np.arange(N_TA) + 1.0) / N_TA - 1.0)  # [N], half a step from end-fire


def sweep(rng, theta, d, p_max):
    """Angle of the beam that each vehicle hears best, of N_TA sent with the whole power. theta, d [E,K]."""
    response = np.matmul(steering(theta).conj(), steering(CODEBOOK).T)  # [E,K,N], a^H(theta) f_b
    y = np.sqrt(p_max * EBAR2 * path_gain(d))[..., None] * response + pilot_noise(rng, response.shape)
    return CODEBOOK[np.argmax(np.abs(y), axis=-1)]


def uplink_angle(rng, theta, d):
    """Angle by the mean phase step between neighbouring antennas of an uplink pilot. theta, d [E,K]."""
    h = math.sqrt(N_TA) * np.sqrt(UPLINK_W * path_gain(d))[..., None] * steering(theta)  # [E,K,N]
    y = h + pilot_noise(rng, h.shape)
    step = np.angle(np.sum(y[..., :-1].conj() * y[..., 1:], axis=-1))
    return np.arccos(-step / np.pi)


def overhead(agent, t):
    """Share of slot t without data."""
    symbols = {
        "beam-training": N_TA + K + STAGE_SYMBOLS,
        "beam-training-4": (N_TA + K + STAGE_SYMBOLS) if t % 4 == 0 else 0,
        "two-stage": K + K + STAGE_SYMBOLS,
        "channel-history": K,
    }
    return symbols[agent] * SYMBOL_S / DT



# ---------------------------------------------------------------------------------------------------------
# Episodes
# ---------------------------------------------------------------------------------------------------------
METRICS = (
    "sum_rate_bps_hz",
    "jain",
    "reward",
    "indicator_share",
    "angle_mse_rad2",
    "distance_mse_m2",
    "angle_crlb_rad2",
    "distance_crlb_m2",
    "pointing_mse_rad2",
    "rate_0",
    "rate_1",
    "rate_2",
)


def run_chunk(kinematics, p_max, agent, rng, episodes):
    """Per-episode means over the slots, {metric: [E]}, the sum-rate of every slot [E,T], and the absolute errors of
    every slot and vehicle, {error: [E,T,K]}."""
    theta, d, v = reset(rng, episodes)
    obs_theta, obs_d, obs_v = theta, d, v  # at reset: the truth
    ekf = {"ekf": Ekf, "ekf-zf": Ekf, "ukf": Ukf}.get(agent, lambda *start: None)(theta, d, v)
    var = None
    held, past = None, []
    p_vec = np.full(episodes, p_max)
    acc = {m: np.zeros(episodes) for m in METRICS}
    slots = np.empty((episodes, T_SLOTS))
    errors = {
        e: np.empty((episodes, T_SLOTS, K)) for e in ("angle_error_rad", "distance_error_m", "pointing_error_rad")
    }
    long_run = {bound: np.zeros(episodes) for bound in ("angle", "distance")}
    info = {"ekf_floored": 0, "truth_floored": 0, "zf_unserved": 0}

    for t in range(T_SLOTS):
        n_dyn = rng.standard_normal((episodes, K, 3))
        theta1, d1, v1 = move(kinematics, theta, d, v, n_dyn)
        info["truth_floored"] += int((d1 <= D_FLOOR).sum())

        if agent == "upper-bound":
            slots[:, t] = upper_bound(d1, p_vec)
            theta, d, v = theta1, d1, v1
            continue

        p = equal_power((episodes, K), p_vec)
        if agent == "random":
            phi = rng.uniform(0.0, np.pi, size=(episodes, K))
            f = steering(phi)
            p = p_max * rng.dirichlet(np.ones(K), size=episodes)
        elif agent == "last-estimate":
            phi = obs_theta
            f = steering(phi)
        elif ekf is not None:
            if t > 0:
                ekf.update(np.stack([obs_theta, obs_d, obs_v], axis=-1), var)
            ekf.predict()
            phi = ekf.x[..., 0]
            if agent in ("ekf", "ukf"):
                f = steering(phi)
            else:
                f, p = zero_forcing(phi, ekf.x[..., 1], p_vec)
                info["zf_unserved"] += int((p == 0.0).sum())
        elif agent == "genie":
            phi = theta1
            f = steering(phi)
        elif agent == "genie-zf":
            phi = theta1
            f, p = zero_forcing(theta1, d1, p_vec)
            info["zf_unserved"] += int((p == 0.0).sum())
        elif agent in ("beam-training", "beam-training-4"):
            if agent == "beam-training" or t % 4 == 0:
                held = sweep(rng, theta1, d1, p_max)
            phi = held
            f = steering(phi)
        elif agent == "two-stage":
            phi = obs_theta + obs_v * DT * np.sin(obs_theta) / np.maximum(obs_d, D_FLOOR)
            f = steering(phi)
        elif agent == "channel-history":
            past = [uplink_angle(rng, theta, d)] + past[:1]
            phi = 2.0 * past[0] - past[1] if len(past) == 2 else past[0]
            f = steering(phi)
        else:
            raise ValueError(agent)

        out = evaluate(theta1, d1, f, p)
        n_meas = rng.standard_normal((episodes, K, 3))
        obs_theta, obs_d, obs_v = echo(theta1, d1, v1, out, n_meas)
        var = np.stack([out["std_theta"], out["std_d"], out["std_v"]], axis=-1) ** 2
        theta, d, v = theta1, d1, v1

        slots[:, t] = out["rate"].sum(-1)
        acc["jain"] += out["jain"]
        acc["reward"] += out["reward"]
        acc["indicator_share"] += out["indicator"]
        acc["angle_mse_rad2"] += ((obs_theta - theta) ** 2).mean(-1)
        acc["distance_mse_m2"] += ((obs_d - d) ** 2).mean(-1)
        acc["angle_crlb_rad2"] += np.minimum(out["crlb_theta"], CAP_THETA**2).mean(-1)
        acc["distance_crlb_m2"] += np.minimum(out["crlb_d"], CAP_D**2).mean(-1)
        acc["pointing_mse_rad2"] += ((phi - theta) ** 2).mean(-1)
        errors["angle_error_rad"][:, t] = np.abs(obs_theta - theta)
        errors["distance_error_m"][:, t] = np.abs(obs_d - d)
        errors["pointing_error_rad"][:, t] = np.abs(phi - theta)
        long_run["angle"] += out["crlb_theta"].mean(-1)  # (24a), (24b): the bounds as they are, not capped
        long_run["distance"] += out["crlb_d"].mean(-1)
        for k in range(K):
            acc[f"rate_{k}"] += out["rate"][:, k]

    if ekf is not None:
        info["ekf_floored"] = ekf.floored
    res = {m: a / T_SLOTS for m, a in acc.items()}
    res["sum_rate_bps_hz"] = slots.mean(-1)
    res["long_run_angle_share"] = (long_run["angle"] / T_SLOTS <= EPS_THETA).astype(np.float64)
    res["long_run_distance_share"] = (long_run["distance"] / T_SLOTS <= EPS_D).astype(np.float64)
    if agent == "upper-bound":
        res, errors = {"sum_rate_bps_hz": res["sum_rate_bps_hz"]}, {}
    if agent in PROTOCOLS:
        free = np.array([1.0 - overhead(agent, t) for t in range(T_SLOTS)])
        res["net_rate_bps_hz"] = (slots * free).mean(-1)
        res["overhead_share"] = np.full(episodes, 1.0 - free.mean())
    return res, slots, errors, info


def run_agent(kinematics, p_dbm, agent, seed, episodes):
    """Independent random streams for every (kinematics, power, agent, chunk)."""
    p_max = 1e-3 * 10 ** (p_dbm / 10)
    res, slots, errors, info = [], [], [], []
    for chunk in range(0, episodes, CHUNK):
        key = [seed, KINEMATICS.index(kinematics), p_dbm, STREAMS.index(agent), chunk // CHUNK]
        rng = np.random.default_rng(np.random.SeedSequence(key))
        r, s, e, i = run_chunk(kinematics, p_max, agent, rng, min(CHUNK, episodes - chunk))
        res.append(r)
        slots.append(s)
        errors.append(e)
        info.append(i)
    merged = {m: np.concatenate([r[m] for r in res]) for m in res[0]}
    counts = {c: sum(i[c] for i in info) for c in info[0]}
    return merged, np.concatenate(slots), quantiles(errors), counts


def quantiles(chunks):
    """Median and 90 % quantile of each error over episodes, slots and vehicles, {metric: (value, standard error)}. Slots of
    an episode hang together: the error is that of the mean over chunks of episodes, ten in place of each where there
    are few."""
    out = {}
    if len(chunks) < 10:
        parts = [{n: np.array_split(x, 10) for n, x in c.items()} for c in chunks]
        chunks = [{n: x[i] for n, x in c.items()} for c in parts for i in range(10)]
    for name in chunks[0] if chunks else {}:
        stem, unit = name.rsplit("_", 1)
        for q, word in ((0.5, "median"), (0.9, "p90")):
            each = np.array([np.quantile(c[name], q) for c in chunks])
            whole = np.quantile(np.concatenate([c[name].ravel() for c in chunks]), q)
            out[f"{stem}_{word}_{unit}"] = (whole, np.std(each, ddof=1) / math.sqrt(len(each)))
    return out


def sig(x):
    return float(f"{float(x):.12g}")


def mean_se(x):
    """Mean and standard error over axis 0 (episodes)."""
    return np.mean(x, axis=0), np.std(x, axis=0, ddof=1) / math.sqrt(x.shape[0])


def make_agents(path, seed, made_by, episodes, agents=AGENTS, powers=POWERS_DBM):
    results, per_slot, counts = {}, {}, {}
    for kin in KINEMATICS:
        results[kin] = {}
        for p_dbm in powers:
            row = results[kin][str(p_dbm)] = {}
            for agent in agents:
                t0 = time.time()
                res, slots, errors, info = run_agent(kin, p_dbm, agent, seed, episodes[kin])
                cell = row[agent] = {"episodes": episodes[kin]}
                for m, x in res.items():
                    mean, se = mean_se(x)
                    cell[m] = {"mean": sig(mean), "se": sig(se)}
                for m, (value, se) in errors.items():
                    cell[m] = {"mean": sig(value), "se": sig(se)}
                for c, n in info.items():
                    counts[c] = counts.get(c, 0) + n
                if kin == "paper" and p_dbm == 40:
                    mean, se = mean_se(slots)
                    per_slot[agent] = {"mean": [sig(x) for x in mean], "se": [sig(x) for x in se]}
                line = f"{kin:9} {p_dbm:2} dBm {agent:13} R={cell['sum_rate_bps_hz']['mean']:.4f}"
                print(f"{line}±{cell['sum_rate_bps_hz']['se']:.4f}  {time.time() - t0:.1f} s {info}", flush=True)
    doc = {
        "made_by": made_by,
        "layout": "results[kinematics][p_max_dbm][agent][metric] = {mean, se}; the unit of se is the episode "
        "(mean over its 100 slots); of a quantile (median, p90) mean is the quantile over episodes, slots and vehicles, and se "
        "that of the mean over chunks of 250 episodes. per_slot_sum_rate[agent]: paper kinematics, 40 dBm, slot 0 is the first.",
        "slots": T_SLOTS,
        "vehicles": K,
        "counts": counts,
        "results": results,
        "per_slot_sum_rate": per_slot,
    }
    with open(path, "w", encoding="utf-8") as fh:
        json.dump(doc, fh, indent=1, allow_nan=False)
        fh.write("\n")
    return doc


# ---------------------------------------------------------------------------------------------------------
# Single slots from re-injected states
# ---------------------------------------------------------------------------------------------------------
OUTPUTS = (
    "gain",
    "comm_sinr",
    "rate",
    "radar_sinr",
    "crlb_theta",
    "crlb_d",
    "jain",
    "reward",
    "indicator",
    "std_theta",
    "std_d",
    "std_v",
)


def one_step(kinematics, inp, action):
    """inp: float64 inputs; action(theta1, d1) -> f, p. All outputs of one slot."""
    theta1, d1, v1 = move(kinematics, inp["theta"], inp["d"], inp["v"], inp["n_dyn"])
    f, p = action(theta1, d1)
    out = evaluate(theta1, d1, f, p)
    obs = echo(theta1, d1, v1, out, inp["n_meas"])
    res = {"theta1": theta1, "d1": d1, "v1": v1}
    res.update({k: out[k] for k in OUTPUTS})
    res.update({"obs_theta": obs[0], "obs_d": obs[1], "obs_v": obs[2]})
    res["upper_bound"] = upper_bound(d1, inp["p_max_w"])
    return res, p


def make_steps(path, seed, made_by, cases=512):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(np.random.SeedSequence([seed, 99]))
    theta = rng.uniform(0.3, 2.8, (cases, K))
    near = np.arange(cases) % 2 == 0  # even cases point near the vehicles, odd ones anywhere
    on_road = np.arange(cases) % 4 == 0  # every fourth case lies on the road, so its beams also fit "cartesian"
    d = rng.uniform(5.0, 40.0, (cases, K))
    raw = {
        "theta": theta,
        "d": np.where(on_road[:, None], ROAD_Y / np.sin(theta), d),
        "v": rng.uniform(8.0, 16.0, (cases, K)),
        "p_max_w": rng.choice([1e-3, 1e-2, 0.1, 1.0, 10.0], size=cases),
        "phi": np.where(
            near[:, None],
            theta + rng.uniform(-0.05, 0.05, (cases, K)),
            rng.uniform(0.0, np.pi, (cases, K)),
        ),
    }
    raw["p"] = raw["p_max_w"][:, None] * rng.dirichlet(np.ones(K), size=cases)
    raw["n_dyn"] = rng.standard_normal((cases, K, 3))
    raw["n_meas"] = rng.standard_normal((cases, K, 3))
    # explicit beams: even cases a disturbed matched beam with a random common phase, odd ones complex Gaussian
    z = rng.standard_normal((cases, K, N_TA)) + 1j * rng.standard_normal((cases, K, N_TA))
    common = np.exp(1j * rng.uniform(0.0, 2.0 * np.pi, (cases, K, 1)))
    f = np.where(near[:, None, None], common * steering(theta) + 0.03 * z, z)
    f = f / np.linalg.norm(f, axis=-1, keepdims=True)
    raw["matrix.f_re"], raw["matrix.f_im"] = f.real, f.imag

    stored = {k: np.ascontiguousarray(x, dtype=np.float32) for k, x in raw.items()}
    inp = {k: x.astype(np.float64) for k, x in stored.items()}
    f_matrix = inp["matrix.f_re"] + 1j * inp["matrix.f_im"]  # as stored, not normalised again

    def angles(_theta1, _d1):
        return steering(inp["phi"]), inp["p"]

    def matrix(_theta1, _d1):
        return f_matrix, inp["p"]

    def zf(theta1, d1):
        return zero_forcing(theta1, d1, inp["p_max_w"])

    res = {}
    for prefix, kin, action in (
        ("", "paper", angles),
        ("cart.", "cartesian", angles),
        ("matrix.", "paper", matrix),
        ("zf.", "paper", zf),
    ):
        out, p = one_step(kin, inp, action)
        for k, x in out.items():
            res[prefix + k] = x
            assert not np.isnan(x).any(), prefix + k
        if prefix == "zf.":
            res["zf.p"] = p
            res["zf.cond"] = np.linalg.cond(np.swapaxes(steering(out["theta1"]), -1, -2)) ** 2
        margin = np.minimum(
            np.abs(out["crlb_theta"].mean(-1) / EPS_THETA - 1), np.abs(out["crlb_d"].mean(-1) / EPS_D - 1)
        ).min()
        print(f"steps {prefix or 'paper'}: indicator 1 in {out['indicator'].mean():.3f}, least margin {margin:.2e}")
    for k, x in res.items():
        assert k not in stored
        stored[k] = np.ascontiguousarray(x, dtype=np.float64)
    save_file(stored, path, metadata={"made_by": json.dumps(made_by)})
    os.chmod(path, 0o644)
    return stored


# ---------------------------------------------------------------------------------------------------------
# Self-checks: slow scalar loops and other formulations of the same mathematics
# ---------------------------------------------------------------------------------------------------------
def self_check():
    rng = np.random.default_rng(7)

    def a_of(theta):
        return [cmath.exp(-1j * math.pi * n * math.cos(theta)) / math.sqrt(N_TA) for n in range(N_TA)]

    def dot_h(theta, f):
        return sum(x.conjugate() * y for x, y in zip(a_of(theta), f))

    def close(x, y, tol):
        assert abs(x - y) <= tol * max(abs(x), abs(y)), (x, y)

    for case in range(40):
        theta = rng.uniform(0.3, 2.8, K)
        d = rng.uniform(5, 40, K)
        phi = theta + rng.uniform(-0.05, 0.05, K) if case % 2 else rng.uniform(0, math.pi, K)
        p = 10.0 ** rng.uniform(-3, 1) * rng.dirichlet(np.ones(K))
        out = {k: x[0] for k, x in evaluate(theta[None], d[None], steering(phi)[None], p[None]).items()}
        rates, ct, cd = [], [], []
        for k in range(K):
            fs = [a_of(phi[i]) for i in range(K)]
            g = [abs(dot_h(theta[k], fs[i])) ** 2 for i in range(K)]
            alpha2 = 1e-7 * d[k] ** -2.55
            num = 32 * p[k] * alpha2 * g[k]
            den = sum(32 * p[i] * alpha2 * g[i] for i in range(K) if i != k) + 1e-11
            close(out["comm_sinr"][k], num / den, 1e-9)
            rates.append(math.log2(1 + num / den))
            num = 1024 * p[k] * 200 / (4 * d[k] ** 2) * g[k]
            den = sum(1024 * p[i] * 200 / (4 * d[i] ** 2) * g[i] for i in range(K) if i != k) + 1e-11
            close(out["radar_sinr"][k], num / den, 1e-9)
            cd.append(1e-18 * (den / num) / (2 / 3e8) ** 2)
            # (22) through a fourth-order central difference of the noise-free y(theta) of (15)
            h = 1e-4
            y = lambda th: math.sqrt(1024 * p[k]) * (10 + 10j) / (2 * d[k]) * 10 * dot_h(th, fs[k])
            dy = (8 * (y(theta[k] + h) - y(theta[k] - h)) - (y(theta[k] + 2 * h) - y(theta[k] - 2 * h))) / (12 * h)
            ct.append(1 / (abs(dy) ** 2 / (10 * 1e-11)))
            close(out["crlb_theta"][k], ct[k], 1e-5)
            close(out["crlb_d"][k], cd[k], 1e-9)
            sv = 2e3 * math.sqrt(den / num) * 3e8 / (2 * 30e9 * max(abs(math.cos(theta[k])), 0.1))
            close(out["std_v"][k], min(sv, 5.0), 1e-9)
            close(out["std_d"][k], min(math.sqrt(cd[k]), 5.0), 1e-9)
        jain = sum(rates) ** 2 / (3 * sum(r * r for r in rates))
        close(out["jain"], jain, 1e-12)
        ok = sum(ct) / 3 <= 1e-10 and sum(cd) / 3 <= EPS_D
        assert bool(out["indicator"]) == ok
        reward = sum(rates) * jain - sum(ct) / 3 - sum(cd) / 3 if ok else 0.0
        assert abs(out["reward"] - reward) < 1e-9

        # water-filling: KKT conditions, and no random feasible point is better
        c = 10.0 ** rng.uniform(-2, 6, K)
        pm = 10.0 ** rng.uniform(-3, 1)
        w = water_fill(c[None], np.array([pm]))[0]
        close(w.sum(), pm, 1e-9)
        lam = (c / (1 + w * c)).max()
        assert all(w[k] == 0 or abs(c[k] / (1 + w[k] * c[k]) / lam - 1) < 1e-6 for k in range(K))
        best = np.log2(1 + w * c).sum()
        assert all(np.log2(1 + pm * q * c).sum() <= best + 1e-9 for q in rng.dirichlet(np.ones(K), 200))

        # zero-forcing: no leakage, unit norm, and equal to the printed normal-equation form
        f, pz = zero_forcing(theta[None], d[None], np.array([pm]))
        a = np.array([a_of(t) for t in theta]).T
        ref = a @ np.linalg.inv(a.conj().T @ a)
        ref = ref / np.linalg.norm(ref, axis=0)
        assert np.abs(f[0].T - ref).max() < 1e-7
        leak = np.abs(a.conj().T @ f[0].T) ** 2
        assert np.abs(leak - np.diag(np.diag(leak))).max() < 1e-24

        # EKF: Jacobian by central differences, update in information form
        x = np.array([theta[0], d[0], rng.uniform(8, 16)])
        jac = Ekf.jacobian(x)
        for j in range(3):
            e = np.zeros(3)
            e[j] = 1e-5
            hi = np.array(move("paper", *(x + e), np.zeros(3)))
            lo = np.array(move("paper", *(x - e), np.zeros(3)))
            assert np.abs((hi - lo) / 2e-5 - jac[:, j]).max() < 1e-8
        ekf = Ekf(x[None, None, 0], x[None, None, 1], x[None, None, 2])
        ekf.predict()
        ekf.update(ekf.x + 0.01, np.full((1, 1, 3), 1e-4))
        ekf.predict()
        x0, p0 = ekf.x[0, 0].copy(), ekf.p[0, 0].copy()
        var = 10.0 ** rng.uniform(-8, 0, 3)
        z = x0 + rng.standard_normal(3) * np.sqrt(var)
        ekf.update(z[None, None], var[None, None])
        pi = np.linalg.inv(np.linalg.inv(p0) + np.diag(1 / var))
        xi = pi @ (np.linalg.inv(p0) @ x0 + z / var)
        assert np.allclose(ekf.p[0, 0], pi, rtol=1e-6, atol=1e-14), (ekf.p[0, 0], pi)
        assert np.allclose(ekf.x[0, 0], xi, rtol=1e-8, atol=1e-10)

        # UKF: mean and covariance of the points of a linear map are exact; of a narrow state they are those of the
        # Jacobian
        wide = np.diag([1e-4, 1e-3, 1e-2])
        ukf = Ukf(*(s[None, None] for s in x))
        ukf.p = (wide @ (np.eye(3) + 0.3) @ wide)[None, None] * 1e-4
        want = jac @ ukf.p[0, 0] @ jac.T + Ekf.q
        ukf.predict()
        assert np.allclose(ukf.p[0, 0], want, rtol=1e-6, atol=1e-14), (ukf.p[0, 0], want)
        assert np.allclose(ukf.x[0, 0], move("paper", *x, np.zeros(3)), rtol=1e-9)

    # motion: without noise a cartesian vehicle keeps to the road, and (14) agrees with it to first order
    th, d, v = reset(rng, 1)
    t1, d1, _ = move("cartesian", th, d, v, np.zeros((1, K, 3)))
    assert np.allclose(d1 * np.sin(t1), 10.0) and np.allclose(-d1 * np.cos(t1), START_X + v * DT)
    t2, d2, _ = move("paper", th, d, v, np.zeros((1, K, 3)))
    assert np.abs(t2 - t1).max() < 1e-3 and np.abs(d2 - d1).max() < 1e-2
    # protocols: a loud pilot names the nearest beam, and the phase step is that of the angle
    angle = rng.uniform(0.3, 2.8, (200, K))
    near = np.abs(np.cos(CODEBOOK) - np.cos(angle)[..., None]).argmin(-1)
    assert (sweep(rng, angle, np.full_like(angle, 10.0), 1e9) == CODEBOOK[near]).all()
    assert np.abs(uplink_angle(rng, angle, np.full_like(angle, 1e-2)) - angle).max() < 1e-5
    assert abs(overhead("beam-training", 3) * 0.02 - 71 * 8.93e-6) < 1e-12
    print("self-checks passed")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--out", default="tests/golden")
    ap.add_argument("--seed", type=int, default=20250)
    ap.add_argument("--only", choices=("check", "agents", "protocols", "steps"))
    ap.add_argument("--episodes", type=int, nargs=2, default=[EPISODES[k] for k in KINEMATICS], metavar=KINEMATICS)
    args = ap.parse_args()
    if os.path.isabs(args.out):
        ap.error("--out must be a relative path (it is recorded in the files)")
    made_by = {
        "command": " ".join(
            ["OMP_NUM_THREADS=1 python3 tests/reference/v2x_reference.py", shlex.join(sys.argv[1:])]
        ).strip(),
        "seed": args.seed,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    t0 = time.time()
    self_check()
    if args.only in (None, "steps"):
        import safetensors

        steps_by = dict(made_by, safetensors=safetensors.__version__)
        make_steps(os.path.join(args.out, "v2x_steps.safetensors"), args.seed, steps_by)
    if args.only in (None, "agents"):
        make_agents(
            os.path.join(args.out, "v2x_agents.json"), args.seed, made_by, dict(zip(KINEMATICS, args.episodes))
        )
    if args.only in (None, "protocols"):
        path = os.path.join(args.out, "v2x_protocols.json")
        make_agents(path, args.seed, made_by, PROTOCOL_EPISODES, PROTOCOLS, PROTOCOL_POWERS_DBM)
    print(f"{time.time() - t0:.0f} s in all")


if __name__ == "__main__":
    main()
