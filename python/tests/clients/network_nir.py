"""Spiking policies as NIR in the readers of snnTorch, Norse and SpikingJelly, spike by spike.

The reference is the file's own equations, step by step in single precision as the program has them; its read-out is
compared with the policy, and the spikes of each reader with its spikes.
"""

import contextlib
import io
import subprocess
import sys

import nir
import numpy as np
import torch

import isacbench

DT = 1e-4
SLOTS = 100
ENVS = 40
#: Nearer to a threshold than this, a potential is a tie.
TIE = 2e-7

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
    """Spikes of each hidden layer [steps, N, H], the read-out [N, outputs], and which samples have a tie [N]."""
    nodes = layers(graph)
    neurons = nodes[1:-1:2]
    v = [np.zeros((len(x), len(n.tau)), np.float32) for n in neurons]
    spikes = [[] for _ in neurons]
    out, tied = 0, np.zeros(len(x), bool)
    for t in range(steps):
        current = x
        for i, (affine, lif) in enumerate(zip(nodes[:-1:2], neurons)):
            current = current @ affine.weight.T + affine.bias
            share = np.float32(DT) / lif.tau
            u = (1 - share) * v[i] + share * current
            fires = u > lif.v_threshold
            # Readers sum in another order: where a potential meets its threshold, either is right.
            tied |= (np.abs(u - lif.v_threshold) < TIE).any(1)
            v[i] = np.where(fires, lif.v_reset, u).astype(np.float32)
            current = fires.astype(np.float32)
            spikes[i].append(current)
        out = out + weights[t] * (current @ nodes[-1].weight.T + nodes[-1].bias)
    return [np.stack(s) for s in spikes], out, tied


def hooked(module, is_neuron, x, steps):
    """Spikes of a network's neurons, step by step from rest, and its outputs."""
    found, outs, state = [], [], None
    neurons = [m for m in module.modules() if is_neuron(m)]
    handles = []
    for i, m in enumerate(neurons):
        found.append([])

        def hook(_, __, out, i=i):
            spikes = out[0] if isinstance(out, tuple) else out
            found[i].append(spikes.detach().numpy().astype(np.float32))

        handles.append(m.register_forward_hook(hook))
    with torch.no_grad():
        for _ in range(steps):
            out, state = module(torch.from_numpy(x), state)
            outs.append(out.numpy())
    for h in handles:
        h.remove()
    return [np.stack(s) for s in found], outs


def in_snntorch(graph, x, steps):
    import snntorch
    from snntorch.import_nir import import_from_nir

    return hooked(import_from_nir(graph), lambda m: isinstance(m, snntorch.Leaky), x, steps)


def in_norse(graph, x, steps):
    import norse.torch as norse

    kinds = tuple(k for k in (getattr(norse, n, None) for n in ("LIFBoxCell", "LIFCell")) if k)
    return hooked(norse.from_nir(graph, dt=DT), lambda m: isinstance(m, kinds), x, steps)


def in_spikingjelly(graph, x, steps):
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    # Its own module round each node gives spikes and state.
    wraps = lambda m: isinstance(getattr(m, "module", None), neuron.BaseNode)  # noqa: E731
    return hooked(import_from_nir(graph, dt=DT), wraps, x, steps)


def version(name):
    import importlib.metadata

    return importlib.metadata.version(name)


def main():
    print(f"isacbench {isacbench.__version__}, nir {version('nir')}, snntorch {version('snntorch')}, ", end="")
    print(f"norse {version('norse')}, spikingjelly {version('spikingjelly')}, torch {torch.__version__}")
    failed = 0
    for n, (name, spiking) in enumerate(ALL):
        own = {"train": {"updates": 4, "seeds": [0]}, "ppo": {"envs": 16, "minibatch": 400}, "spiking": spiking}
        run = isacbench.train("v2x", "spiking-ac", out=f"runs/nir-{n}", progress=False, **own)
        subprocess.run(
            ["isacbench", "export", "--checkpoint", str(run.path), "--format", "nir", "--out", f"{n}.nir"],
            check=True,
            stdout=subprocess.DEVNULL,
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
        want, out, tied = reference(graph, x, steps, weights)
        action = np.concatenate([policy.act(o)[0] for o in rows])
        difference = np.abs(action - out[:, : action.shape[1]]).max()
        count = sum(s.size for s in want)
        share = sum(s.sum() for s in want) / count
        print(
            f"{name}: {count} neuron steps, {100 * share:.1f} % spikes, {tied.sum()} of {len(x)} samples with ties; read-out and policy differ by {difference:.1e}"
        )
        failed += difference > 1e-4
        for reader, run_in in (("snnTorch", in_snntorch), ("Norse", in_norse), ("SpikingJelly", in_spikingjelly)):
            # Readers print what they read.
            with contextlib.redirect_stdout(io.StringIO()):
                spikes, outs = run_in(nir.read(f"{n}.nir"), x, steps)
            if [s.shape for s in spikes] != [s.shape for s in want]:
                print(f"  {reader}: spikes {[s.shape for s in spikes]} instead of {[s.shape for s in want]}")
                failed += 1
                continue
            apart = sum(int((a != b)[:, ~tied].sum()) for a, b in zip(spikes, want))
            at_ties = sum(int((a != b)[:, tied].sum()) for a, b in zip(spikes, want))
            read = sum(w * o for w, o in zip(weights, outs))
            far = np.abs(read - out)[~tied].max()
            print(f"  {reader}: {apart} of {count} spikes differ ({at_ties} at ties), read-out by {far:.1e}")
            failed += apart > 0
    print("all readers give the same spikes" if not failed else f"{failed} comparisons differ")
    return failed > 0


if __name__ == "__main__":
    sys.exit(int(main()))
