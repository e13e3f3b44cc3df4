"""Every kind of policy as ONNX in onnxruntime and as a PyTorch module, beside the policy itself; weights that went to
PyTorch come back and are judged the same."""

import platform
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import torch

import isacbench

SLOTS = 100
ENVS = 100

V2X = {
    "train": {"updates": 4, "seeds": [0]},
    "ppo": {"envs": 16, "minibatch": 400, "hidden": [32, 32]},
    "ddpg": {"envs": 16, "capacity": 3200, "learning_starts": 1600, "hidden": [32]},
    "dqn": {"envs": 16, "capacity": 3200, "learning_starts": 1600, "hidden": [32]},
    "apg": {"envs": 16, "minibatch": 400},
}
MISAC = {"train": {"updates": 2, "seeds": [0]}, "temporal": {"envs": 8, "minibatch_envs": 4}}

#: Name, task, agent, keys.
ALL = [
    ("tanh, angles", "v2x", "ppo", {}),
    ("tanh, tracking", "v2x", "ppo", {"task.beam": "tracking"}),
    ("tanh, zf", "v2x", "ppo", {"task.beam": "zf"}),
    ("tanh, matrix", "v2x", "ppo", {"task.beam": "matrix", "task.antennas": 8}),
    ("ReLU and tanh (DDPG)", "v2x", "ddpg", {}),
    ("branches (DQN)", "v2x", "dqn", {}),
    ("additive (DQN)", "v2x", "dqn", {"dqn": {"head": "additive"}}),
    ("analytic gradient", "v2x", "apg", {}),
    ("LIF, mean", "v2x", "spiking-ac", {"spiking": {"hidden": [128]}}),
    ("LIF, two layers, last potential", "v2x", "spiking-ac", {"spiking": {"hidden": [64, 64], "readout": "last"}}),
    ("LIF, carried potentials", "v2x", "spiking-ac", {"spiking": {"hidden": [64], "membrane": "carried"}}),
    ("LIF, population", "v2x", "spiking-ac", {"spiking": {"hidden": [64], "population": 6}}),
    ("LIF, learned leaks", "v2x", "spiking-ac", {"spiking": {"hidden": [64], "learn_leak": True}}),
    *((f"experts: {a}", "misac", a, {}) for a in isacbench.tasks()["misac"]["learned"]),
]


def merged(own, more):
    return {**own, **more, **{k: {**own[k], **more[k]} for k in own if k in more}}


def main() -> int:
    print(f"isacbench {isacbench.__version__}, onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}, ", end="")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.processor() or platform.machine()}")
    failed = 0
    print(
        f"{'policy':34} {'largest difference':>18} {'apart by > 1e-5':>16}  {'evaluated':>12} {'the file':>12}  torch"
    )
    for n, (name, task, agent, more) in enumerate(ALL):
        base = V2X if task == "v2x" else MISAC
        run = isacbench.train(task, agent, out=f"runs/{n}", progress=False, **merged(base, more))
        policy = isacbench.load_checkpoint(run.path)
        policy.export(f"{n}-raw.onnx", raw=True)
        policy.export(f"{n}.onnx")
        for file in (f"{n}-raw.onnx", f"{n}.onnx"):
            onnx.checker.check_model(onnx.load(file), full_check=True)
        other = isacbench.OnnxPolicy(f"{n}-raw.onnx")
        policy.export(f"{n}.safetensors", format="torch")
        module = isacbench.torch_module(f"{n}.safetensors")
        held = None
        keys = {k: v for k, v in more.items() if k.startswith("task.")}
        env = isacbench.make_vec(task, num_envs=ENVS, seed=7, **keys)
        obs, _ = env.reset()
        policy.reset()
        largest, apart, count, torch_apart = 0.0, 0, 0, 0
        for _ in range(SLOTS):
            own, there = policy(obs), other(obs)
            with torch.no_grad():
                out, held = module(torch.from_numpy(obs), held)
                acted = module.action(out)[:, : own.shape[1]].numpy()
            torch_apart += (np.abs(own - acted) > 1e-5 * np.maximum(1, np.abs(own))).sum()
            difference = np.abs(own - there) / np.maximum(1, np.abs(own))
            largest, apart, count = max(largest, difference.max()), apart + (difference > 1e-5).sum(), count + own.size
            obs, *_ = env.step(own)
        metric = isacbench.tasks()[task]["metric"]
        own = isacbench.evaluate(task, agent, checkpoint=run.path, episodes=512, deterministic=True)[metric].mean
        [judged] = isacbench.evaluate_policy(task, other, episodes=512, beside=(), **keys)
        there = judged[metric].mean
        # A spike or a choice more or less is another action: a share of 1e-5 of them, and nothing of the mean.
        isacbench.save_torch(module, f"{n}-back.safetensors")
        back = [sys.executable, "-m", "isacbench", "import", f"{n}-back.safetensors", "--out", f"{n}-ckpt.safetensors"]
        subprocess.run(back, check=True, stdout=subprocess.DEVNULL)
        again = isacbench.evaluate(task, agent, checkpoint=f"{n}-ckpt.safetensors", episodes=512, deterministic=True)
        limit = max(1, 1e-5 * count)
        good = (
            apart <= limit
            and torch_apart <= limit
            and again[metric].mean == own
            and abs(own - there) <= 1e-4 * abs(own)
        )
        failed += not good
        share = f"{apart} of {count}"
        tail = f"{torch_apart:6}{'' if good else '  DIFFERS'}"
        print(f"{name:34} {largest:18.1e} {share:>16}  {own:12.6f} {there:12.6f} {tail}")
    print("all files agree with their policies" if not failed else f"{failed} files differ")
    return failed > 0


sys.exit(int(main()))
