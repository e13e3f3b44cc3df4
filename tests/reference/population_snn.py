#!/usr/bin/env python3
"""A spiking network behind neurons that encode its inputs, by PyTorch's autograd: golden vectors of population_forward, population_backward and what
follows them.

Each of five inputs drives four neurons with Gaussian receptive fields (PopSAN, Tang et al. 2020), i = g exp(-z^2/2), z = sharpness (x - centre), the
same current at all steps; their spikes go through two layers of leaky integrate-and-fire neurons and a leaky integrator. Neurons, surrogate and loss
are those of snn_actor.safetensors.

    python3 tests/reference/population_snn.py --out tests/golden

Writes snn_population.safetensors and prints the table for tests/golden/README.md. Needs: torch, numpy, safetensors.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

BATCH, STEPS, INPUTS, FIELDS, HIDDEN, OUTPUTS = 16, 6, 5, 4, (24, 17), 3
LAMBDA, THRESHOLD, RESET, ETA = 0.5, 1.0, 0.0, 3.0
GAIN = 2.0 * THRESHOLD / LAMBDA
# No potential of the drawn batch lies closer to the threshold, so that every arithmetic fires alike.
GUARD = 2e-4


class Fire(torch.autograd.Function):
    """1 where x >= 0; backward (eta/2) / (1 + (pi eta x / 2)^2)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, up):
        (x,) = ctx.saved_tensors
        return up * (ETA / 2) / (1 + (math.pi * ETA * x / 2) ** 2)


def draw(seed):
    """Parameters and batch, rounded to f32."""
    g = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
    widths = [INPUTS * FIELDS, *HIDDEN, OUTPUTS]
    spread = torch.linspace(-1.5, 1.5, FIELDS, dtype=torch.float64)
    p = {
        "population.sharpness": 1.2 + 0.2 * normal(INPUTS, FIELDS),
        "population.centre": spread + 0.2 * normal(INPUTS, FIELDS),
    }
    for layer, (i, o) in enumerate(zip(widths, widths[1:]), 1):
        p[f"fc{layer}.weight"] = (normal(o, i) + 0.15) * 2.0 / math.sqrt(i)
        p[f"fc{layer}.bias"] = 0.3 * normal(o)
    p["x"] = normal(BATCH, INPUTS)
    p["target"] = normal(BATCH, OUTPUTS)
    return {k: v.to(torch.float32) for k, v in p.items()}


def run(inputs, dtype, detach):
    """Potentials before the reset, spikes, output and gradients."""
    p = {k: v.to(dtype).clone().requires_grad_(k not in ("x", "target")) for k, v in inputs.items()}
    z = p["population.sharpness"] * (p["x"].unsqueeze(-1) - p["population.centre"])
    encoder = (GAIN * torch.exp(-z * z / 2)).flatten(1)
    v = [torch.zeros(BATCH, n, dtype=dtype) for n in (encoder.shape[1], *HIDDEN, OUTPUTS)]
    kept = {f"{k}{n}": [] for n in (1, 2, 3) for k in "us"}
    for _ in range(STEPS):
        current = encoder
        for n in range(3):
            u = (1 - LAMBDA) * v[n] + LAMBDA * current
            s = Fire.apply(u - THRESHOLD)
            gate = s.detach() if detach else s
            v[n] = (1 - gate) * u + gate * RESET
            kept[f"u{n + 1}"].append(u)
            kept[f"s{n + 1}"].append(s)
            current = s @ p[f"fc{n + 1}.weight"].T + p[f"fc{n + 1}.bias"]
        v[3] = (1 - LAMBDA) * v[3] + LAMBDA * current
    return results(p, kept, v[3], detach)


def results(p, kept, out, detach):
    """What is kept of a forward pass with the parameters `p`, and of the backward pass of its loss."""
    loss = 0.5 * ((out - p["target"]) ** 2).sum(-1).mean()
    loss.backward()
    result = {k: torch.stack(x) for k, x in kept.items()}
    result |= {"out": out, "grad_out": (out - p["target"]) / BATCH}
    result |= {f"grad_detach{int(detach)}.{k}": x.grad for k, x in p.items() if x.requires_grad}
    return {k: x.detach().double().numpy() for k, x in result.items()}


def asked(about):
    args = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--seed", type=int, default=7, help="the first that keeps clear of the threshold is taken from here on")
    return args.parse_args()


def write(name, args, draw, run, meanings, layers):
    """Draws until no potential comes near the threshold, writes NAME.safetensors and prints its table. `layers` are the
    number and the name of each spiking one, `meanings` those of what is not a layer of weights."""
    both = lambda inputs, dtype: run(inputs, dtype, True) | run(inputs, dtype, False)
    margin = lambda result: min(np.abs(result[f"u{n}"] - THRESHOLD).min() for n, _ in layers)
    for seed in range(args.seed, args.seed + 10_000):
        inputs = draw(seed)
        want = both(inputs, torch.float64)
        if margin(want) > GUARD:
            break
    else:
        raise SystemExit("every draw comes near the threshold")
    single = both(inputs, torch.float32)
    rates = [want[f"s{n}"].mean() for n, _ in layers]
    assert all((want[f"s{n}"] == single[f"s{n}"]).all() for n, _ in layers)
    assert all(0.05 < rate < 0.6 for rate in rates), rates
    # Some neurons of the first layer fire in some steps only.
    steps = want["s1"].sum(0)
    assert len(np.unique(steps)) >= 4, np.unique(steps)

    for n in (1, 2, 3):
        meanings |= {f"fc{n}.weight": "weight [out,in]", f"fc{n}.bias": "bias [out]"}
    meanings |= {"target": "regression target [B,out]", "steps": "T_snn"}
    for n, what in layers:
        meanings |= {f"u{n}": f"{what}: potential before the reset [T,B,N]", f"s{n}": f"{what}: spikes, 0 or 1 [T,B,N]"}
    meanings |= {"out": "potential of the output's integrator after the last step [B,out]", "grad_out": "dloss/dout [B,out]"}
    tensors = {k: v.numpy() for k, v in inputs.items()} | {"steps": np.array(STEPS, np.int32)}
    meanings |= {k: f"dloss/d {k.split('.', 1)[1]}" for k in want if k.startswith("grad_detach")}
    print(f"Seed {seed}; smallest |U - U_th| {margin(want):.2g}; firing rates {', '.join(f'{r:.3f}' for r in rates)}.\n")
    print("| tensor | shape | type | meaning | max abs | f32 dev |\n|---|---|---|---|---|---|")
    for tensor, meaning in meanings.items():
        dev = ""
        if tensor in want:
            tensors[tensor] = want[tensor].astype(np.float32)
            dev = f"{np.abs(want[tensor] - single[tensor]).max():.1e}"
        x = tensors[tensor]
        shape, kind = "x".join(map(str, x.shape)) or "scalar", "i32" if x.dtype == np.int32 else "f32"
        largest = "" if kind == "i32" else f"{np.abs(x).max():.3g}"
        print(f"| `{tensor}` | {shape} | {kind} | {meaning} | {largest} | {dev} |")
    header = {"torch": torch.__version__, "numpy": np.__version__, "seed": str(seed)}
    # A copy is contiguous, and unlike that of ascontiguousarray keeps a scalar one.
    save_file({k: v.copy() for k, v in tensors.items()}, args.out / f"{name}.safetensors", header)


def main():
    meanings = {
        "x": "input, presented unchanged at every step [B,in]",
        "population.sharpness": "1/sigma of every field [in,P]",
        "population.centre": "mu of every field [in,P]",
    }
    layers = [(1, "neurons that encode"), (2, "first hidden layer"), (3, "second hidden layer")]
    write("snn_population", asked(__doc__), draw, run, meanings, layers)


if __name__ == "__main__":
    main()
