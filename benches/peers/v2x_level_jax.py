#!/usr/bin/env python3
"""Peer for the time to a level: v2x_ppo_jax.py's task and networks, trained with the rules of this project's preset fast.

Given to the peer: observations at unit scale, the actor's rate that follows the KL divergence (src/kernels/kl_control.rs) with
steps left out above the limit, log_std clamped, rates that fall linearly, discount 0, one spiking layer read out by its mean.
All training is one jitted program per chunk of updates; the time is that of the chunks, compilation apart.

    python v2x_level_jax.py --agent mlp --level 22.9 --updates 400        # needs: jax, numpy

Prints one JSON object: environment steps and seconds until the mean sum-rate of `--window` updates' rollouts first reaches the
level (null where it does not), that mean at the end, and training steps per second.
"""
import argparse, json, time
import jax, jax.numpy as jnp
import v2x_ppo_jax as task

K, T = task.K, task.T
SHIFT = jnp.repeat(jnp.array([1.5708, 15.0, 12.0, 1.5]), K)
SCALE = jnp.repeat(jnp.array([1.6, 0.1667, 0.4, 0.6]), K)
GAIN, MOST, LEAST = 0.1, 0.05, 1e-3

def observe(s):
    raw = jnp.concatenate([s["oth"], s["od"], s["ov"], jnp.log10(1 + s["og"])])
    return (raw - SHIFT) * SCALE

def net_init(key, widths, scale, gain=2 ** .5):
    keys = jax.random.split(key, len(widths) - 1)
    scales = [gain] * (len(widths) - 2) + [scale]
    return [task.dense_init(k, i, o, s) for k, i, o, s in zip(keys, widths, widths[1:], scales)]

def mlp(p, x):
    for l in p[:-1]: x = jnp.tanh(task.lin(l, x))
    return task.lin(p[-1], x)

def snn(p, x, steps=6, lam=0.5):
    """One hidden layer, whose input does not change: the output layer is linear, so the mean of its currents is its current at the mean spikes."""
    current = task.lin(p[0], x)
    def body(c, _):
        u, n = c
        u = (1 - lam) * u + lam * current; s = task.spike(u - 1)
        return (u * (1 - s), n + s), None
    (_, n), _ = jax.lax.scan(body, (jnp.zeros_like(current), jnp.zeros_like(current)), None, length=steps, unroll=steps)
    return task.lin(p[1], n / steps)

def make(a):
    spiking = a.agent == "spiking"
    net, gain = (snn, a.hidden_gain) if spiking else (mlp, 2 ** .5)
    b1, b2, eps, target, limit = .9, .999, 1e-5, a.target_kl, 10 * a.target_kl
    rows = a.envs * T; steps = a.epochs * (rows // a.minibatch)
    def init(key):
        k = jax.random.split(key, 3)
        p = dict(actor=dict(net=net_init(k[0], [4 * K, *a.hidden, 2 * K], .3 if spiking else .01, gain), log_std=-.5 * jnp.ones(2 * K)),
                 critic=net_init(k[1], [4 * K, *a.hidden, 1], 1.0, gain))
        zero = jax.tree.map(jnp.zeros_like, p)
        return dict(p=p, m=zero, v=zero, t=jnp.zeros(()), f=jnp.ones(()), env=jax.vmap(task.reset)(jax.random.split(k[2], a.envs)))
    logp = lambda act, mu, ls: (-.5 * ((act - mu) / jnp.exp(ls)) ** 2 - ls - .9189385).sum(-1)
    def rollout(p, env, key):
        def one(env, k):
            o = jax.vmap(observe)(env); mu = net(p["actor"]["net"], o); v = net(p["critic"], o)[..., 0]
            k1, k2 = jax.random.split(k)
            act = mu + jnp.exp(p["actor"]["log_std"]) * jax.random.normal(k1, mu.shape)
            env, r, _ = jax.vmap(task.step)(jax.random.split(k2, a.envs), env, act)
            # The SINRs of the slot are in what is observed next, but for the last slot, whose episode has ended.
            return env, (o, act, logp(act, mu, p["actor"]["log_std"]), v, r, jnp.log2(1 + env["og"]).sum(-1).mean())
        return jax.lax.scan(one, env, jax.random.split(key, T))
    def loss(p, b):
        o, act, lp0, adv, ret = b
        mu = net(p["actor"]["net"], o); v = net(p["critic"], o)[..., 0]
        x = logp(act, mu, p["actor"]["log_std"]) - lp0; ratio = jnp.exp(x)
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        pg = -jnp.minimum(ratio * adv, jnp.clip(ratio, .8, 1.2) * adv).mean()
        return pg + .5 * ((v - ret) ** 2).mean(), (ratio - 1 - x).mean()
    norm = lambda g: jnp.sqrt(sum((x ** 2).sum() for x in jax.tree.leaves(g)))
    def update(c, x):
        key, share = x; k1, k2 = jax.random.split(key)
        env, (o, act, lp, v, r, rate) = rollout(c["p"], c["env"], k1)
        r = r * a.reward_scale                               # discount 0: the return is the reward
        flat = jax.tree.map(lambda x: x.reshape((-1,) + x.shape[2:]), (o, act, lp, r - v, r))
        def mini(c, x):
            b, first = x
            (_, kl), g = jax.value_and_grad(loss, has_aux=True)(c["p"], b)
            push = jnp.clip(GAIN * jnp.log(target / jnp.maximum(kl, 1e-6 * target)), -MOST, MOST)
            f = jnp.where(first, c["f"], jnp.clip(c["f"] * jnp.exp(push), LEAST, 1.0))
            live = first | (kl <= limit)
            g = {n: jax.tree.map(lambda x, s=jnp.minimum(1, .5 / (norm(g[n]) + 1e-6)): x * s, g[n]) for n in g}
            t = c["t"] + 1
            m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, c["m"], g)
            v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, c["v"], g)
            lr = dict(actor=a.lr_actor * share * f, critic=a.lr_critic * share)
            p = {n: jax.tree.map(lambda p, m, v, lr=lr[n]: p - lr * (m / (1 - b1 ** t)) / (jnp.sqrt(v / (1 - b2 ** t)) + eps), c["p"][n], m[n], v[n]) for n in g}
            p["actor"]["log_std"] = jnp.clip(p["actor"]["log_std"], a.log_std_min, 1.0)
            new = dict(p=p, m=m, v=v, t=t)
            return dict(c, f=f, **jax.tree.map(lambda x, y: jnp.where(live, x, y), new, {n: c[n] for n in new})), None
        def epoch(c, x):
            k, first = x
            perm = jax.random.permutation(k, rows)
            mb = jax.tree.map(lambda x: x[perm].reshape((-1, a.minibatch) + x.shape[1:]), flat)
            starts = first & (jnp.arange(rows // a.minibatch) == 0)
            return jax.lax.scan(mini, c, (mb, starts))
        c, _ = jax.lax.scan(epoch, c, (jax.random.split(k2, a.epochs), jnp.arange(a.epochs) == 0))
        return dict(c, env=env), rate[:-1].mean()
    return init, jax.jit(lambda c, x: jax.lax.scan(update, c, x))

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--agent", choices=["mlp", "spiking"], default="mlp")
    ap.add_argument("--level", type=float, required=True); ap.add_argument("--window", type=int, default=5)
    ap.add_argument("--updates", type=int, default=400); ap.add_argument("--seed", type=int, default=20)
    ap.add_argument("--envs", type=int, default=64); ap.add_argument("--epochs", type=int, default=4); ap.add_argument("--minibatch", type=int, default=800)
    ap.add_argument("--hidden", type=json.loads, default=None, help="such as [128,128]")
    ap.add_argument("--lr-actor", type=float, default=1e-3); ap.add_argument("--lr-critic", type=float, default=2e-3)
    ap.add_argument("--lr-final-share", type=float, default=.1); ap.add_argument("--target-kl", type=float, default=.05)
    ap.add_argument("--log-std-min", type=float, default=-4.0); ap.add_argument("--reward-scale", type=float, default=.05)
    ap.add_argument("--hidden-gain", type=float, default=4.0)
    a = ap.parse_args()
    a.hidden = a.hidden or ([128, 128] if a.agent == "mlp" else [512])
    init, chunk = make(a)
    carry = jax.jit(init)(jax.random.key(a.seed))
    share = 1 + (a.lr_final_share - 1) * jnp.arange(a.updates) / max(a.updates - 1, 1)
    keys = jax.random.split(jax.random.key(a.seed + 1000), a.updates)
    size = 10; a.updates -= a.updates % size
    t = time.perf_counter(); run = chunk.lower(carry, (keys[:size], share[:size])).compile(); compiled = time.perf_counter() - t
    rates, seconds, reached = [], 0.0, None
    for i in range(0, a.updates, size):
        t = time.perf_counter()
        carry, r = run(carry, (keys[i:i + size], share[i:i + size]))
        r = jax.block_until_ready(r).tolist(); took = time.perf_counter() - t
        for j, x in enumerate(r):
            rates.append(x)
            if reached is None and len(rates) >= a.window and sum(rates[-a.window:]) / a.window >= a.level:
                reached = dict(env_steps=(i + j + 1) * a.envs * T, seconds=seconds + took * (j + 1) / size)
        seconds += took
    print(json.dumps(dict(device=str(jax.devices()[0]), agent=a.agent, seed=a.seed, level=a.level, reached=reached,
        last=sum(rates[-a.window:]) / a.window, train_sps=a.updates * a.envs * T / seconds, compile_s=compiled)))
if __name__ == "__main__":
    main()
