#!/usr/bin/env python3
"""Operation counts of the golden networks by NeuroBench, and their energy in Lemaire's model by SpikingJelly.

Builds the networks of snn_actor, mlp_tanh and mlp_relu from their files, runs them on the stored inputs and writes
neurobench_counts.json: sums over the batch as integers, energies in pJ per inference, and the versions that made them.

    python3 tests/reference/neurobench_counts.py --golden tests/golden

Needs: torch, safetensors, neurobench (with snntorch, tqdm), spikingjelly.
"""

import argparse
import importlib.metadata
import json
from pathlib import Path

import snntorch as snn
import torch
from neurobench.metrics.workload import MembraneUpdates, SynapticOperations
from neurobench.models import SNNTorchModel, TorchModel
from safetensors.torch import load_file
from snntorch import surrogate
from torch import nn


def linears(t):
    layers = []
    for i in (1, 2, 3):
        w, b = t[f"fc{i}.weight"], t[f"fc{i}.bias"]
        layer = nn.Linear(w.shape[1], w.shape[0])
        layer.weight.data, layer.bias.data = w.clone(), b.clone()
        layers.append(layer)
    return layers


class Spiking(nn.Module):
    """lambda = 1/2: the current is halved before snnTorch's neuron, whose beta is 1/2. The output integrator is left out."""

    def __init__(self, t):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = linears(t)
        leaky = dict(beta=0.5, threshold=1.0, reset_mechanism="zero", spike_grad=surrogate.atan(alpha=3.0))
        self.lif1 = snn.Leaky(init_hidden=True, **leaky)
        self.lif2 = snn.Leaky(init_hidden=True, output=True, **leaky)

    def forward(self, x):
        s = self.lif1(self.fc1(x) / 2)
        s, mem = self.lif2(self.fc2(s) / 2)
        return self.fc3(s), mem


def counted(model, x, spiking):
    """NeuroBench's metrics through its own hooks; its float32 sums are exact at these sizes (below 2^24)."""
    model.register_hooks()
    predictions = model(x)
    out = {k: float(v) for k, v in SynapticOperations()(model, predictions, (x, None)).items()}
    if spiking:
        out["Membrane_Updates"] = float(MembraneUpdates()(model, predictions, (x, None)))
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--golden", type=Path, default=Path("tests/golden"))
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    result = {}
    for name in ("mlp_tanh", "mlp_relu", "snn_actor"):
        t = load_file(a.golden / f"{name}.safetensors")
        x = t["x"]
        n = x.shape[0]
        steps = 1
        if name == "snn_actor":
            net, steps = Spiking(t), int(t["steps"])
            model = SNNTorchModel(net)
            # NeuroBench's snnTorch wrapper takes [batch, steps, inputs].
            x = x.unsqueeze(1).repeat(1, steps, 1)
        else:
            act = nn.Tanh if name == "mlp_tanh" else nn.ReLU
            fc1, fc2, fc3 = linears(t)
            net = nn.Sequential(fc1, act(), fc2, act(), fc3)
            model = TorchModel(net)
        with torch.no_grad():
            c = counted(model, x, steps > 1)
        entry = {
            "samples": n,
            "effective_macs": round(c["Effective_MACs"] * n),
            "effective_acs": round(c["Effective_ACs"] * n),
            "dense": round(c["Dense"] * n),
        }
        if steps > 1:
            entry["membrane_updates"] = round(c["Membrane_Updates"] * n)
        entry["lemaire_pj"] = lemaire(name, t, steps)
        result[name] = entry
    versions = {m: importlib.metadata.version(m) for m in ("torch", "snntorch", "neurobench", "spikingjelly")}
    out = a.out or a.golden / "neurobench_counts.json"
    out.write_text(json.dumps({"versions": versions, "networks": result}, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def lemaire(name, t, steps):
    """SpikingJelly's account of each sample alone, mean over samples: total and parts."""
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.op_counter import estimate_lemaire_energy
    from spikingjelly.activation_based.op_counter.analytical_energy import LemaireEnergyConfig

    fc1, fc2, fc3 = linears(t)
    if steps > 1:
        lif = lambda: neuron.LIFNode(tau=2.0, decay_input=True, v_threshold=1.0, v_reset=0.0)

        class Steps(nn.Module):
            def __init__(self):
                super().__init__()
                self.body = nn.Sequential(fc1, lif(), fc2, lif(), fc3)

            def forward(self, x):
                for _ in range(steps):
                    y = self.body(x)
                return y

        net = Steps()
    else:
        act = nn.Tanh if name == "mlp_tanh" else nn.ReLU
        net = nn.Sequential(fc1, act(), fc2, act(), fc3)
    sums = {}
    for row in t["x"]:
        functional.reset_net(net)
        report = estimate_lemaire_energy(net, row.unsqueeze(0), config=LemaireEnergyConfig(strict=False))
        for k, v in {"total_pj": report.total_pj, **report.breakdown_pj}.items():
            sums[k] = sums.get(k, 0.0) + v
    return {k: v / t["x"].shape[0] for k, v in sums.items()}


if __name__ == "__main__":
    main()
