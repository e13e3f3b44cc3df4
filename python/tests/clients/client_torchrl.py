"""TorchRL: its checker on one environment and on vectors of both modes that it takes, and rollouts over episodes."""

import logging
import warnings

import torch
import torchrl
from torchrl.envs import GymEnv, GymWrapper, StepCounter, TransformedEnv
from torchrl.envs.utils import check_env_specs

import isacbench

logging.getLogger("torchrl").setLevel(logging.WARNING)
warnings.simplefilter("ignore")
print(f"torchrl {torchrl.__version__}, torch {torch.__version__}")
for task, keys in [("v2x", {"beam": "tracking"}), ("misac", {})]:
    env = GymWrapper(isacbench.make(task, **keys))
    check_env_specs(env)
    steps = env.rollout(250, break_when_any_done=False)
    assert steps["next", "truncated"].sum() == 250 // isacbench.make(task).spec_dict()["episode_slots"]
    print(f"  check_env_specs: isacbench.make, task {task}")

check_env_specs(GymEnv("isacbench/V2x-v0"))
print("  check_env_specs: GymEnv of isacbench/V2x-v0")

seen = {}
for mode in ("same_step", "disabled"):
    own = isacbench.make_vec("v2x", 4, seed=0, beam="tracking", autoreset_mode=mode, slots=50)
    env = TransformedEnv(GymWrapper(own), StepCounter())
    check_env_specs(env)
    torch.manual_seed(0)
    env.base_env.set_seed(7)
    steps = env.rollout(
        120, policy=lambda td: td.set("action", 0 * td["observation"][:, :6]), break_when_any_done=False
    )
    assert steps.batch_size == (4, 120)
    # Episodes end after 50 and 100 slots, and what an action led to is the last observation of the episode.
    ends = steps["next", "truncated"][..., 0]
    assert ends.nonzero()[:, 1].tolist() == [49, 99] * 4
    assert steps["step_count"][:, 50].eq(0).all()
    later = steps["observation"][:, 1:] == steps["next", "observation"][:, :-1]
    assert torch.equal(later.all(-1), ~ends[:, :-1])
    seen[mode] = steps
    print(f"  check_env_specs and a rollout over three episodes: isacbench.make_vec, {own.autoreset_mode}")
# It resets vectors that have reset themselves once more where all end at once, and so leaves out episodes of them.
for key in ("observation", ("next", "observation"), ("next", "reward")):
    assert torch.equal(seen["same_step"][key][:, :50], seen["disabled"][key][:, :50]), key
print("  both modes give the same numbers in the first episode")
