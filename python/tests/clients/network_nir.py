"""Spiking policies as NIR in the readers of snnTorch, Norse and SpikingJelly, spike by spike.

The reference is the file's own equations, step by step in single precision as the program has them; its read-out is
compared with the policy, and the spikes of each reader with its spikes.
"""

import subprocess
import sys

import nir
import numpy as np
import torch

import isacbench

DT = 1e-4
SLOTS = 100
ENVS = 40

ALL = [
    ("one layer, mean", {"hidden": [128]}),
    ("two layers, last potential", {"hidden": [64, 64], "readout": "last"}),
    ("learned leaks, threshold 0.7", {"hidden": [64, 32], "learn_leak": True, "threshold": 0.7}),
]


def layers(graph):
    """Affines and neurons in their order."""
    after = dict(graph.edges)
    name, found = "input", []
    while name in after:
        name = after[name]
        found.append(graph.nodes[name])
    return found[:-1]


def reference(graph, x, steps, weights):
    """Spikes of each hidden layer [steps, N, H] and the read-out [N, outputs]."""
    nodes = layers(graph)
    neurons = nodes[1:-1:2]
    v = [np.zeros((len(x), len(n.tau)), np.float32) for n in neurons]
    spikes = [[] for _ in neurons]
    out = 0
    for t in range(steps):
        current = x
        for i, (affine, lif) in enumerate(zip(nodes[:-1:2], neurons)):
            current = current @ affine.weight.T + affine.bias
            share = np.float32(DT) / lif.tau
            u = (1 - share) * v[i] + share * current
            fires = u > lif.v_threshold
            v[i] = np.where(fires, lif.v_reset, u).astype(np.float32)
            current = fires.astype(np.float32)
            spikes[i].append(current)
        out = out + weights[t] * (current @ nodes[-1].weight.T + nodes[-1].bias)
    return [np.stack(s) for s in spikes], out, v


def hooked(module, kinds, x, steps, call):
    """Spikes of the modules of these kinds when `call` runs the network, and its outputs, step by step."""
    found = []
    neurons = [m for m in module.modules() if isinstance(m, kinds)]
    handles = []
    for i, m in enumerate(neurons):
        found.append([])

        def hook(_, __, out, i=i):
            spikes = out[0] if isinstance(out, tuple) else out
            found[i].append(spikes.detach().numpy().astype(np.float32))

        handles.append(m.register_forward_hook(hook))
    with torch.no_grad():
        outs = call(torch.from_numpy(x), steps)
    for h in handles:
        h.remove()
    return [np.stack(s) for s in found], outs


def in_snntorch(graph, x, steps):
    import snntorch
    from snntorch.import_nir import import_from_nir

    net = import_from_nir(graph)

    def call(x, steps):
        outs, state = [], None
        for _ in range(steps):
            out, state = net(x, state)
            outs.append(out.numpy())
        return outs

    return hooked(net, (snntorch.Leaky, snntorch.RLeaky), x, steps, call)


def in_norse(graph, x, steps):
    import norse.torch as norse

    net = norse.from_nir(graph, dt=DT)

    def call(x, steps):
        outs, state = [], None
        for _ in range(steps):
            out, state = net(x, state)
            outs.append(out.numpy())
        return outs

    kinds = tuple(k for k in (getattr(norse, n, None) for n in ("LIFBoxCell", "LIFCell")) if k)
    return hooked(net, kinds, x, steps, call)


def in_spikingjelly(graph, x, steps):
    from spikingjelly.activation_based import functional, neuron
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    net = import_from_nir(graph, dt=DT)
    functional.reset_net(net)

    def call(x, steps):
        outs = []
        for _ in range(steps):
            out = net(x)
            outs.append((out[0] if isinstance(out, tuple) else out).numpy())
        return outs

    return hooked(net, (neuron.BaseNode,), x, steps, call)


def version(name):
    import importlib.metadata

    return importlib.metadata.version(name)


def main():
    print(f"isacbench {isacbench.__version__}, nir {version('nir')}, snntorch {version('snntorch')}, ", end="")
    print(f"norse {version('norse')}, spikingjelly {version('spikingjelly')}, torch {torch.__version__}")
    failed = 0
    for n, (name, spiking) in enumerate(ALL):
        own = {"train": {"updates": 4, "seeds": [0]}, "ppo": {"envs": 16, "minibatch": 400}, "spiking": spiking}
        run = isacbench.train("v2x", "spiking-ac", out=f"runs/nir-{n}", **own)
        subprocess.run(
            ["isacbench", "export", "--checkpoint", str(run.path), "--format", "nir", "--out", f"{n}.nir"], check=True
        )
        graph = nir.read(f"{n}.nir")
        steps = int(graph.metadata["steps"])
        weights = np.asarray(graph.metadata["readout_weights"], np.float64)
        policy = isacbench.load_checkpoint(run.path)
        env = isacbench.make_vec("v2x", num_envs=ENVS, seed=11)
        obs, _ = env.reset()
        rows = []
        for _ in range(SLOTS):
            rows.append(obs.copy())
            obs, *_ = env.step(policy(obs))
        x = np.concatenate(rows)
        want, out, _ = reference(graph, x, steps, weights)
        action = np.concatenate([policy.act(o)[0] for o in rows])
        difference = np.abs(action - out[:, : action.shape[1]]).max()
        count = sum(s.size for s in want)
        share = sum(s.sum() for s in want) / count
        print(f"{name}: {count} neuron steps, {100 * share:.1f} % spikes; read-out and policy differ by {difference:.1e}")
        failed += difference > 1e-4
        for reader, run_in in (("snnTorch", in_snntorch), ("Norse", in_norse), ("SpikingJelly", in_spikingjelly)):
            spikes, outs = run_in(nir.read(f"{n}.nir"), x, steps)
            if [s.shape for s in spikes] != [s.shape for s in want]:
                print(f"  {reader}: spikes {[s.shape for s in spikes]} instead of {[s.shape for s in want]}")
                failed += 1
                continue
            apart = sum(int((a != b).sum()) for a, b in zip(spikes, want))
            read = sum(w * o for w, o in zip(weights, outs))
            far = np.abs(read - out).max()
            print(f"  {reader}: {apart} of {count} spikes differ, read-out by {far:.1e}")
            failed += apart > 0
    print("all readers give the same spikes" if not failed else f"{failed} comparisons differ")
    return failed > 0


sys.exit(main())
