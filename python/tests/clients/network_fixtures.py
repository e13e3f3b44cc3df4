"""Makes tests/networks: small policies as ONNX and NIR, and what onnxruntime and snnTorch say of them, so that the
program's own tests need neither.

    python network_fixtures.py FOLDER

with isacbench, onnxruntime, safetensors, torch, nir and snntorch installed.
"""

import json
import subprocess
import sys
from pathlib import Path

import nir
import numpy as np
from network_nir import in_snntorch

import isacbench

#: Name, task, agent, settings.
V2X = {"train": {"updates": 2, "seeds": [5]}, "ppo": {"envs": 4, "minibatch": 100, "hidden": [6, 5]}}
MISAC = {
    "train": {"updates": 1, "seeds": [5]},
    "task.antennas": 4,
    "task.vehicles": 2,
    "temporal": {"hidden": 5, "envs": 4, "minibatch_envs": 2, "critic": [4]},
    "spatial": {"hidden": [6]},
}
DQN = {"hidden": [6], "beams": 5, "envs": 4, "capacity": 800, "learning_starts": 400, "minibatch": 16}
ALL = [
    ("v2x-ppo", "v2x", "ppo", V2X),
    ("v2x-dqn", "v2x", "dqn", {**V2X, "dqn": DQN}),
    ("v2x-spiking-ac", "v2x", "spiking-ac", {**V2X, "spiking": {"hidden": [12, 8], "readout": "last"}}),
    ("misac-h-moe", "misac", "h-moe", MISAC),
]
SLOTS, ENVS = 8, 6


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, task, agent, own in ALL:
        run = isacbench.train(task, agent, out=f"runs/fixture-{name}", progress=False, force=True, **own)
        policy = isacbench.load_checkpoint(run.path)
        # A checkpoint of weights alone: there and back.
        policy.export("weights", format="torch")
        program = [sys.executable, "-m", "isacbench"]
        checkpoint = folder / f"{name}.safetensors"
        subprocess.run([*program, "import", "weights", "--out", checkpoint], check=True, stdout=subprocess.DEVNULL)
        policy.export(folder / f"{name}.onnx", raw=True)
        session = isacbench.OnnxPolicy(folder / f"{name}.onnx")
        keys = {k: v for k, v in own.items() if k.startswith("task.")}
        env = isacbench.make_vec(task, num_envs=ENVS, seed=9, **keys)
        obs, _ = env.reset()
        slots = []
        for _ in range(SLOTS):
            found = session.outputs(obs)
            slots.append({"observation": obs.tolist(), **{k: np.asarray(v).tolist() for k, v in found.items()}})
            obs, *_ = env.step(policy(obs))
        told = {"made_by": f"onnxruntime, isacbench {isacbench.__version__}", "slots": slots}
        if agent == "spiking-ac":
            policy.export(folder / f"{name}.nir", format="nir")
            graph = nir.read(folder / f"{name}.nir")
            steps = int(graph.metadata["steps"])
            x = np.concatenate([np.asarray(s["observation"], np.float32) for s in slots])
            spikes, outs = in_snntorch(graph, x, steps)
            read = sum(w * o for w, o in zip(graph.metadata["readout_weights"], outs))
            told["snntorch"] = {
                "spikes_per_layer": [int(s.sum()) for s in spikes],
                "read_out": np.asarray(read).tolist(),
            }
        (folder / f"{name}.json").write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
