#!/usr/bin/env python3
"""Adam at a pace that follows the KL divergence, by torch.optim.Adam: golden vectors of kl_control and of the paced form of adam.

Three replicas take twelve steps, three updates of four minibatches. In front of each, the share f of the actor's rate follows the divergence of that
minibatch, a step that starts too far away or has no finite gradient is not taken by its replica (so its Adam does not count it either), and the
logarithms of standard deviations are clamped behind it. Divergences are the k3 estimates of torch.distributions.Normal policies that drift apart.

    python3 tests/reference/paced_adam.py --out tests/golden

Writes paced_adam.safetensors and prints the table for tests/golden/README.md. Needs: torch, numpy, safetensors.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch.distributions import Normal

R, UPDATES, MINIBATCHES, SAMPLES, ACTIONS = 3, 3, 4, 64, 4
# Actor: weights, then log_std; critic: weights.
WEIGHTS, CRITIC = 12, 9
LR, MAX_NORM, EPS, BETAS = (3e-3, 2e-3), 0.5, 1e-5, (0.9, 0.999)
TARGET, LIMIT = (0.02, 0.05, 0.0), (0.06, 0.2, 0.0)  # of each replica; 0: no control
GAIN, MOST, LEAST = 0.1, 0.05, 1e-3
LOW, HIGH = -0.9, 0.4  # of log_std


def draw(g):
    """Inputs, rounded to f32: parameters [R, P], gradients [steps, R, P], divergences [steps, R]."""
    steps, p = UPDATES * MINIBATCHES, WEIGHTS + ACTIONS + CRITIC
    params = torch.randn(R, p, generator=g, dtype=torch.float64)
    params[:, WEIGHTS : WEIGHTS + ACTIONS] = torch.tensor([-0.899, -0.5, 0.0, 0.399])
    grads = torch.randn(steps, R, p, generator=g, dtype=torch.float64) * 0.3
    grads[:, :, WEIGHTS] += 0.3  # towards the clamps
    grads[:, :, WEIGHTS + ACTIONS - 1] -= 0.3
    grads[5, 1, 3] = math.nan  # of the actor
    grads[9, 2, p - 1] = math.inf  # of the critic
    divergence = torch.zeros(steps, R, dtype=torch.float64)
    for t in range(steps):
        for r in range(R):
            # How far the policy has drifted since the rollout; nothing in front of the first minibatch of an update.
            drift = (t % MINIBATCHES) * (0.06 if (t + 2 * r) % 5 else 0.35)
            old = Normal(torch.zeros(SAMPLES, ACTIONS, dtype=torch.float64), 1.0)
            action = torch.randn(SAMPLES, ACTIONS, generator=g, dtype=torch.float64)
            new = Normal(torch.full((SAMPLES, ACTIONS), 0.5 * drift, dtype=torch.float64), math.exp(-0.2 * drift))
            x = (new.log_prob(action) - old.log_prob(action)).sum(-1)
            divergence[t, r] = (x.exp() - 1 - x).mean()
    return [x.to(torch.float32) for x in (params, grads, divergence)]


def run(params, grads, divergence, dtype):
    """Parameters, f, whether the step counts, steps so far, skips so far: after each step; moments after the last."""
    split = WEIGHTS + ACTIONS
    out = {k: [] for k in ("params", "rate", "live", "steps", "skipped")}
    replicas = []
    for r in range(R):
        row = params[r].to(dtype)
        groups = [row[:split].clone().requires_grad_(), row[split:].clone().requires_grad_()]
        adam = torch.optim.Adam([{"params": [x], "lr": lr} for x, lr in zip(groups, LR)], betas=BETAS, eps=EPS)
        replicas.append({"groups": groups, "adam": adam, "f": torch.tensor(1.0, dtype=dtype), "steps": 0, "skipped": 0})
    for t in range(grads.shape[0]):
        row = {k: [] for k in out}
        for r, it in enumerate(replicas):
            d = divergence[t, r].to(dtype)
            controlled = TARGET[r] > 0 and t % MINIBATCHES != 0
            if controlled:
                push = torch.clamp(GAIN * torch.log(TARGET[r] / d), -MOST, MOST)
                it["f"] = torch.clamp(it["f"] * torch.exp(push), LEAST, 1.0)
            far = controlled and bool(d > LIMIT[r])
            gradient = grads[t, r].to(dtype)
            live = bool(torch.isfinite(gradient).all()) and not far
            if live:
                for x, part in zip(it["groups"], (gradient[:split], gradient[split:])):
                    x.grad = part.clone()
                    torch.nn.utils.clip_grad_norm_([x], MAX_NORM)
                it["adam"].param_groups[0]["lr"] = LR[0] * it["f"].item()
                it["adam"].step()
                with torch.no_grad():
                    it["groups"][0][WEIGHTS:].clamp_(LOW, HIGH)
                it["steps"] += 1
            it["skipped"] += far
            row["params"].append(torch.cat([x.detach() for x in it["groups"]]).double().numpy().copy())
            row["rate"].append(it["f"].item())
            row["live"].append(float(live))
            row["steps"].append(float(it["steps"]))
            row["skipped"].append(float(it["skipped"]))
        for k in out:
            out[k].append(row[k])
    for name, key in (("m", "exp_avg"), ("v", "exp_avg_sq")):
        out[name] = [torch.cat([it["adam"].state[x][key] for x in it["groups"]]).double().numpy() for it in replicas]
    return {k: np.array(v, dtype=np.float64) for k, v in out.items()}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--out", type=Path, required=True)
    args.add_argument("--seed", type=int, default=20241)
    args = args.parse_args()
    inputs = draw(torch.Generator().manual_seed(args.seed))
    want, single = run(*inputs, torch.float64), run(*inputs, torch.float32)
    # The cases that the vectors are for must be in them, and f32 must decide all of them alike.
    skipped, steps = want["skipped"][-1], want["steps"][-1]
    assert skipped[0] > 1 and skipped[1] > 0 and skipped[2] == 0, skipped
    assert steps[2] == UPDATES * MINIBATCHES - 1, steps
    assert (want["live"] == single["live"]).all()
    assert want["rate"][:, 0].min() < 0.95 and (np.diff(want["rate"], axis=0) > 0).any()
    logs = want["params"][:, :, WEIGHTS : WEIGHTS + ACTIONS]
    assert (logs == LOW).any() and (logs == HIGH).any(), (logs.min(), logs.max())

    tensors = {"p": inputs[0].numpy(), "g": inputs[1].numpy(), "divergence": inputs[2].numpy()}
    tensors |= {"target": np.array(TARGET, np.float32), "limit": np.array(LIMIT, np.float32)}
    meanings = {
        "p": "initial parameters [R,P]: actor's weights, log_std, critic's weights",
        "g": "gradients before clipping [steps,R,P]; one of the actor NaN, one of the critic infinite",
        "divergence": "k3 estimate of the minibatch [steps,R]",
        "target": "D* [R], 0: no control",
        "limit": "divergence above which a step is left out [R]",
        "params": "parameters after each step [steps,R,P]",
        "rate": "share f of the actor's rate in each step [steps,R]",
        "live": "1 where the step counts [steps,R]",
        "steps": "steps that counted so far [steps,R]",
        "skipped": "steps left out for their divergence so far [steps,R]",
        "m": "first moments after the last step [R,P]",
        "v": "second moments after the last step [R,P]",
    }
    print("| tensor | shape | type | meaning | max abs | f32 dev |\n|---|---|---|---|---|---|")
    for name, meaning in meanings.items():
        dev = ""
        if name in want:
            tensors[name] = want[name].astype(np.float32)
            dev = f"{np.abs(want[name] - single[name]).max():.1e}"
        x = tensors[name]
        shape, largest = "x".join(map(str, x.shape)), np.abs(x[np.isfinite(x)]).max()
        print(f"| `{name}` | {shape} | f32 | {meaning} | {largest:.3g} | {dev} |")
    header = {"torch": torch.__version__, "numpy": np.__version__, "seed": str(args.seed)}
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, args.out / "paced_adam.safetensors", header)


if __name__ == "__main__":
    main()
