#!/usr/bin/env python3
"""A spiking network whose layers learn their leak, by PyTorch's autograd: golden vectors of what a learned leak does to
forward and backward pass.

Layer l of leaky integrate-and-fire neurons has the leak sigmoid(leak[l]) (PLIF, Fang et al. 2021); the integrator behind
them keeps 1/2. Neurons, surrogate and loss are those of snn_actor.safetensors.

    python3 tests/reference/learned_leaks.py --out tests/golden

Writes snn_leaks.safetensors and prints the table for tests/golden/README.md. Needs: torch, numpy, safetensors.
"""

import math

import population_snn as reference
import torch
from population_snn import BATCH, HIDDEN, INPUTS, LAMBDA, OUTPUTS, RESET, STEPS, THRESHOLD, Fire

LAYERS = range(1, len(HIDDEN) + 1)


def draw(seed):
    """Parameters and batch, rounded to f32."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    widths = [INPUTS, *HIDDEN, OUTPUTS]
    # On both sides of 1/2, which is where leaks begin that are learned.
    p = {"leak": torch.tensor([-0.7, 0.9], dtype=torch.float64) + 0.1 * normal(len(HIDDEN))}
    for layer, (i, o) in enumerate(zip(widths, widths[1:]), 1):
        p[f"fc{layer}.weight"] = (normal(o, i) + 0.15) * 2.0 / math.sqrt(i)
        p[f"fc{layer}.bias"] = 0.6 + 0.3 * normal(o)
    p["x"] = normal(BATCH, INPUTS)
    p["target"] = normal(BATCH, OUTPUTS)
    return {k: v.to(torch.float32) for k, v in p.items()}


def run(inputs, dtype, detach):
    """Potentials before the reset, spikes, output and gradients."""
    p = {k: v.to(dtype).clone().requires_grad_(k != "target") for k, v in inputs.items()}
    leaks = torch.sigmoid(p["leak"])
    v = [torch.zeros(BATCH, n, dtype=dtype) for n in (*HIDDEN, OUTPUTS)]
    kept = {f"{k}{n}": [] for n in LAYERS for k in "us"}
    for _ in range(STEPS):
        current = p["x"] @ p["fc1.weight"].T + p["fc1.bias"]
        for n in LAYERS:
            u = (1 - leaks[n - 1]) * v[n - 1] + leaks[n - 1] * current
            s = Fire.apply(u - THRESHOLD)
            gate = s.detach() if detach else s
            v[n - 1] = (1 - gate) * u + gate * RESET
            kept[f"u{n}"].append(u)
            kept[f"s{n}"].append(s)
            current = s @ p[f"fc{n + 1}.weight"].T + p[f"fc{n + 1}.bias"]
        v[-1] = (1 - LAMBDA) * v[-1] + LAMBDA * current
    return reference.results(p, kept, v[-1], detach)


def main():
    meanings = {"x": "input, presented unchanged at every step [B,in]", "leak": "w of each hidden layer: its leak is sigmoid(w)"}
    layers = [(n, f"hidden layer {n}") for n in LAYERS]
    reference.write("snn_leaks", reference.asked(__doc__), draw, run, meanings, layers)


if __name__ == "__main__":
    main()
