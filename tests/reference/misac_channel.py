"""The channel (2), (8) of task misac in numpy float64, written from the equations with draws of its own: mean power and
the gain of a fixed beam, v_m = e^(-j pi m cos(theta)) / sqrt(M) at the true angle, by the age of information.

    OMP_NUM_THREADS=1 python3 tests/reference/misac_channel.py --out tests/golden

Written: misac_channel.json, results[ageing][age][quantity] = {mean, se} of `channels` draws each. `independent` is
h = h_hat + dh as printed; `power-preserving` is sqrt(1 - c) h_hat + dh; dh ~ CN(0, c I), c = (rho / M) P_misa(age).
"""

import argparse
import json
import pathlib

import numpy as np

M, CHANNELS = 64, 40_000
BETA = 0.055 + 0.165 * 10 ** (-10 / 20)
RHO_PER_ELEMENT = 0.1
RICIAN = 10.0
ROAD_Y_M, START_X_M = 20.0, (-80.0, 0.0)


def estimated_channel(rng, n):
    """h_hat of n vehicles, E|h|^2 = M, and the cosines of their angles."""
    x = rng.uniform(*START_X_M, n)
    cos = -x / np.hypot(x, ROAD_Y_M)
    angles = [cos] + [np.cos(np.pi * rng.uniform(size=n)) for _ in range(2)]
    powers = [RICIAN / (RICIAN + 1)] + [1 / (RICIAN + 1) / 2] * 2
    m = np.arange(M)
    h = np.zeros((n, M), complex)
    for u, power in zip(angles, powers):
        phase = rng.uniform(0, 2 * np.pi, n)
        h += np.sqrt(power) * np.exp(1j * (phase[:, None] - np.pi * u[:, None] * m))
    return h, cos


def aged(rng, h_hat, age, ageing):
    c = RHO_PER_ELEMENT * (1 - np.exp(-BETA * age))
    parts = rng.normal(size=(2, *h_hat.shape)) * np.sqrt(c / 2)
    kept = np.sqrt(1 - c) if ageing == "power-preserving" else 1.0
    return kept * h_hat + parts[0] + 1j * parts[1]


def summary(values):
    return {"mean": float(values.mean()), "se": float(values.std(ddof=1) / np.sqrt(values.size))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=20250)
    args = parser.parse_args()
    results = {}
    for at, ageing in enumerate(["independent", "power-preserving"]):
        results[ageing] = {}
        for age in (0, 5, 10):
            rng = np.random.default_rng([args.seed, at, age])
            h_hat, cos = estimated_channel(rng, CHANNELS)
            h = aged(rng, h_hat, age, ageing)
            beam = np.exp(-1j * np.pi * cos[:, None] * np.arange(M)) / np.sqrt(M)
            results[ageing][str(age)] = {
                "power": summary((np.abs(h) ** 2).sum(1)),
                "gain": summary(np.abs((h.conj() * beam).sum(1)) ** 2),
                "matched": summary(np.abs(h).sum(1) ** 2 / M),
            }
    text = json.dumps({"channels": CHANNELS, "seed": args.seed, "results": results}, indent=1)
    (args.out / "misac_channel.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
