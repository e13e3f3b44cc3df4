"""An agent in plain PyTorch, no library of reinforcement learning: a clipped one-step policy gradient.

    pip install ../../python torch
    python pytorch_agent.py --page mine.html

With `beam="zf"` it corrects the angles at which regularised zero-forcing makes its beams, and sets powers.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import nn

import isacbench

TASK = {"beam": "zf", "p_max_dbm": 40.0}
EPOCHS, MINIBATCH, CLIP = 4, 3200, 0.2


class Agent(nn.Module):
    """A Gaussian policy, and a critic that says what a slot pays on average."""

    def __init__(self, obs_dim: int, action_dim: int, width: int = 64) -> None:
        super().__init__()

        def perceptron(outputs: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(obs_dim, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, outputs)
            )

        self.mean, self.value = perceptron(action_dim), perceptron(1)
        # It begins with turns near 0: beams at the last echo's angle.
        nn.init.normal_(self.mean[-1].weight, std=0.01)
        nn.init.zeros_(self.mean[-1].bias)
        self.log_std = nn.Parameter(torch.full((action_dim,), -1.0))

    def policy(self, obs: torch.Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.mean(obs), self.log_std.exp())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slots", type=int, default=2_000_000, help="slots of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--envs", type=int, default=256)
    parser.add_argument("--episodes", type=int, default=4096, help="episodes that judge it")
    parser.add_argument("--page", help="writes the judgement as an HTML file")
    args = parser.parse_args()

    # Networks this small are faster without threads of their own beside those of the environments.
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    env = isacbench.make_vec("v2x", args.envs, seed=args.seed, autoreset_mode="same_step", copy=False, **TASK)
    agent = Agent(env.single_observation_space.shape[0], env.single_action_space.shape[0])
    adam = torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5)

    slots = env.spec_dict()["episode_slots"]
    updates = max(args.slots // (args.envs * slots), 1)
    began = time.perf_counter()
    obs, _ = env.reset()
    for update in range(updates):
        adam.param_groups[0]["lr"] = 1e-3 * (1 - update / updates) + 1e-4
        seen, done, logs, rewards, rate = [], [], [], [], 0.0
        with torch.no_grad():
            for _ in range(slots):
                # A copy: the next step writes over these observations.
                now = torch.from_numpy(obs.copy())
                policy = agent.policy(now)
                action = policy.sample()
                obs, reward, _, _, info = env.step(action.numpy())
                seen.append(now)
                done.append(action)
                logs.append(policy.log_prob(action).sum(1))
                rewards.append(torch.from_numpy(reward).float())
                rate += float(info["sum_rate_bps_hz"].mean()) / slots
        states, actions, before, reward = (torch.cat(part) for part in (seen, done, logs, rewards))
        # Slots hardly depend on earlier actions, so each is credited with its own reward alone.
        target = reward / 20
        with torch.no_grad():
            advantage = target - agent.value(states)[:, 0]
            advantage = (advantage - advantage.mean()) / advantage.std()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(states)).split(MINIBATCH):
                policy = agent.policy(states[rows])
                ratio = (policy.log_prob(actions[rows]).sum(1) - before[rows]).exp()
                gain = advantage[rows]
                actor = -torch.min(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
                critic = (agent.value(states[rows])[:, 0] - target[rows]).square().mean()
                adam.zero_grad()
                (actor + 0.5 * critic).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                adam.step()
        if (update + 1) % max(updates // 10, 1) == 0:
            passed = time.perf_counter() - began
            taken = (update + 1) * args.envs * slots
            print(f"{taken:10,} slots  {passed:4.0f} s  {rate:.2f} bps/Hz  reward {reward.mean():.2f}", flush=True)

    def act(obs):
        with torch.no_grad():
            return agent.mean(torch.from_numpy(obs))

    judged = isacbench.evaluate_policy(
        "v2x",
        act,
        name="pytorch",
        episodes=args.episodes,
        beside=("last-estimate", "ekf-zf", "genie-zf", "upper-bound"),
        **TASK,
    )
    for metric in ("sum_rate_bps_hz", "reward"):
        print(metric, *(f"{e.agent} {e[metric]}" for e in judged if metric in e), sep="\n  ")
    if args.page:
        judged.page(args.page)


if __name__ == "__main__":
    main()
