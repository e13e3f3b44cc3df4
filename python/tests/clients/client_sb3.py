"""Stable-Baselines3: its checker, its wrappers, an on-policy and an off-policy agent, saving and loading."""

import os
import tempfile
import warnings

import gymnasium
import numpy as np
import stable_baselines3
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import isacbench

print(f"stable-baselines3 {stable_baselines3.__version__}")
with warnings.catch_warnings():
    # It recommends actions between -1 and 1.
    warnings.simplefilter("ignore")
    for name in ("isacbench/V2x-v0", "isacbench/Misac-v0"):
        check_env(gymnasium.make(name).unwrapped, skip_render_check=True)
        print(f"  check_env: {name}")

task = {"beam": "tracking", "p_max_dbm": 40.0}
model = PPO(
    "MlpPolicy",
    isacbench.sb3_vec_env("v2x", 64, seed=0, **task),
    n_steps=100,
    batch_size=800,
    n_epochs=4,
    gamma=0.0,
    gae_lambda=0.0,
    learning_rate=1e-3,
    seed=0,
    device="cpu",
    policy_kwargs={"log_std_init": -1.0},
)
model.learn(200_000)
policy = lambda obs: model.predict(obs, deterministic=True)[0]  # noqa: E731
own, other = isacbench.evaluate_policy("v2x", policy, name="PPO", beside=("last-estimate",), **task)
for one in (own, other):
    print(f"  after {model.num_timesteps} slots: {one.agent} {one['sum_rate_bps_hz']} bps/Hz")
assert own["sum_rate_bps_hz"].low > other["sum_rate_bps_hz"].high

rewards, slots = evaluate_policy(
    model, isacbench.sb3_vec_env("v2x", 64, seed=1, **task), 2048, return_episode_rewards=True, warn=False
)
means = np.array(rewards) / np.array(slots)
room = 4 * np.hypot(means.std() / np.sqrt(len(means)), (own["reward"].high - own["reward"].low) / 3.92)
print(f"  mean reward of a slot: {means.mean():.2f} by its evaluate_policy, {own['reward']} by isacbench")
assert abs(means.mean() - own["reward"].mean) < room

with tempfile.TemporaryDirectory() as folder:
    model.save(os.path.join(folder, "ppo"))
    again = PPO.load(os.path.join(folder, "ppo"), device="cpu")
obs = isacbench.sb3_vec_env("v2x", 8, seed=2, **task).reset()
assert (again.predict(obs, deterministic=True)[0] == policy(obs)).all()
print("  save and load")

for env in (
    VecNormalize(VecMonitor(isacbench.sb3_vec_env("misac", 8, seed=0))),
    DummyVecEnv([lambda: gymnasium.make("isacbench/Misac-v0")] * 2),
):
    PPO("MlpPolicy", env, n_steps=128, batch_size=128, device="cpu").learn(1024)
    print(f"  PPO on {type(env).__name__}, task misac")
sac = SAC("MlpPolicy", isacbench.sb3_vec_env("v2x", 4, seed=0, **task), learning_starts=100, seed=0, device="cpu")
sac.learn(1000)
assert np.isfinite(sac.predict(obs)[0]).all()
print("  SAC, task v2x")
