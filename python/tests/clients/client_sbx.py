"""SBX (Stable-Baselines3 in JAX): an on-policy and an off-policy agent."""

import sbx
from sbx import PPO, SAC

import isacbench

print(f"sbx {sbx.__version__}")
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
    policy_kwargs={"log_std_init": -1.0},
)
model.learn(200_000)
policy = lambda obs: model.predict(obs, deterministic=True)[0]  # noqa: E731
own, other = isacbench.evaluate_policy("v2x", policy, name="PPO", beside=("last-estimate",), **task)
for one in (own, other):
    print(f"  after {model.num_timesteps} slots: {one.agent} {one['sum_rate_bps_hz']} bps/Hz")
assert own["sum_rate_bps_hz"].low > other["sum_rate_bps_hz"].high

SAC("MlpPolicy", isacbench.sb3_vec_env("misac", 4, seed=0), learning_starts=100, seed=0).learn(500)
print("  SAC, task misac")
