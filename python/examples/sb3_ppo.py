"""Stable-Baselines3's PPO, as it is, on task v2x: it turns beams away from the last echo and sets powers.

pip install ../../python stable-baselines3
python sb3_ppo.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy

import isacbench

TASK = {"beam": "tracking", "p_max_dbm": 40.0}


class Curve(BaseCallback):
    """Prints mean sum-rate and reward of the episodes that ended lately."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.every, self.next = every, every

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if self.num_timesteps >= self.next and self.model.ep_info_buffer:
            self.next += self.every
            last = list(self.model.ep_info_buffer)
            rate = np.mean([e["sum_rate_bps_hz"] for e in last])
            reward = np.mean([e["r"] / e["l"] for e in last])
            print(f"{self.num_timesteps:9,} slots  {rate:.2f} bps/Hz  reward {reward:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=1_000_000, help="slots of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=4096, help="episodes that judge it")
    args = parser.parse_args()

    # Networks this small are faster without threads of their own beside those of the environments.
    torch.set_num_threads(1)
    env = isacbench.sb3_vec_env("v2x", args.envs, seed=args.seed, **TASK)
    # Rewards of slots hardly depend on earlier actions, so a slot is credited with its own reward alone.
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=100,
        batch_size=800,
        n_epochs=4,
        gamma=0.0,
        gae_lambda=0.0,
        learning_rate=lambda left: 1e-3 * left + 1e-4,
        policy_kwargs={"net_arch": [64, 64], "log_std_init": -1.0},
        seed=args.seed,
        device="cpu",
    )
    began = time.perf_counter()
    # Whole rollouts; Stable-Baselines3 would round up.
    rollout = args.envs * model.n_steps
    model.learn(max(args.slots // rollout, 1) * rollout, callback=Curve(100_000))
    passed = time.perf_counter() - began
    print(f"{model.num_timesteps:,} slots in {passed:.0f} s, {model.num_timesteps / passed:,.0f} slots/s")

    judged = isacbench.evaluate_policy(
        "v2x",
        lambda obs: model.predict(obs, deterministic=True)[0],
        name="sb3-ppo",
        episodes=args.episodes,
        beside=("last-estimate", "ekf-zf", "upper-bound"),
        **TASK,
    )
    print(judged)

    # The same policy by Stable-Baselines3's own judge, in episodes of another seed. It adds up an episode's rewards;
    # the mean of a slot is that over the episode's slots.
    other = isacbench.sb3_vec_env("v2x", 256, seed=args.seed + 1, **TASK)
    rewards, slots = evaluate_policy(
        model, other, n_eval_episodes=args.episodes, deterministic=True, return_episode_rewards=True, warn=False
    )
    means = np.array(rewards) / np.array(slots)
    half = 1.96 * means.std(ddof=1) / np.sqrt(len(means))
    own = judged[0]["reward"]
    apart = abs(means.mean() - own.mean)
    # 95 % interval of the difference of two independent means.
    room = np.hypot(half, (own.high - own.low) / 2)
    print(f"mean reward of a slot: isacbench {own}")
    print(f"  Stable-Baselines3 {means.mean():.4g} ({means.mean() - half:.4g} to {means.mean() + half:.4g})")
    print(f"  {apart:.3g} apart; 95 of 100 such pairs are within {room:.3g}")
    if apart > 2 * room:
        raise SystemExit("the two judges differ by more than chance")


if __name__ == "__main__":
    main()
