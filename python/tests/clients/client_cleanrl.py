"""CleanRL's continuous PPO, its file as it is, by its own command line: client_cleanrl.py PATH-OF-THE-FILE"""

import os
import re
import subprocess
import sys
import tempfile

import gymnasium
import numpy as np

print(f"cleanrl's {os.path.basename(sys.argv[1])}, gymnasium {gymnasium.__version__}")
words = (
    "--env-id isacbench:isacbench/V2x-v0 --total-timesteps 102400 --num-envs 16 --num-steps 256 --num-minibatches 8 "
    "--gamma 0.0 --gae-lambda 0.0 --learning-rate 1e-3 --seed 1"
)
with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, os.path.abspath(sys.argv[1]), *words.split()]
    # Networks this small are faster without threads of their own.
    own = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)
if said.returncode != 0:
    sys.exit(said.stderr)
returns = [float(r) for r in re.findall(r"episodic_return=\[?([-0-9.e+]+)", said.stdout)]
first, last = np.mean(returns[:200]), np.mean(returns[-200:])
print(f"  {os.path.basename(sys.argv[1])} {words}")
print(f"  {len(returns)} episodes; mean reward of the first 200 {first:.1f}, of the last 200 {last:.1f}")
assert last > 2 * first > 0
print(" ", said.stdout.strip().splitlines()[-1], "(slots per second)")
