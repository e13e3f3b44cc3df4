#!/usr/bin/env python3
"""Gradients of slots of task v2x by automatic differentiation: writes tests/reference/v2x_gradient.safetensors.

    python tests/reference/v2x_gradient_jax.py        # needs: jax, numpy, safetensors

In double precision, with sums over the antennas where the crate uses closed forms, and with jax.grad where it differentiates by hand. Parameters are
those of the preset "fast"; equation numbers are those of the paper "spiking-ac". Scenes are (theta, d, last theta, last d) of every vehicle.
"""
import pathlib
import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

K, N, NR, E = 3, 32, 32, 6
KAPPA2, XI, NOISE, A0, EXPONENT = 200.0, 10.0, 1e-11, 1e-7, 2.55
ALPHA_TAU, C, EPS_THETA, EPS_D, DELTA, SCALE, WIDTH = 1e-9, 3e8, 1e-10, 0.04, 0.1, 0.3, 0.5
M = jnp.arange(N)


def steering(theta):
    """(3), [..., N]"""
    return jnp.exp(-1j * jnp.pi * M * jnp.cos(theta)[..., None]) / jnp.sqrt(N)


def centred(theta):
    """The same of modulus 1, its phase 0 in the middle of the array."""
    return jnp.exp(-1j * jnp.pi * (M - (N - 1) / 2) * jnp.cos(theta)[..., None])


def forced(theta, d, p_max):
    """Regularised zero-forcing, beams of norm 1 [K, N]: with channels of SNR per watt s, (G + diag(K/(P s)))^-1."""
    a = centred(theta) / jnp.sqrt(N)
    snr = N * A0 * jnp.maximum(d, 1.0) ** -EXPONENT / NOISE
    gram = jnp.real(a.conj() @ a.T)
    mix = jnp.linalg.inv(gram + jnp.diag(K / (p_max * snr)))
    f = mix.T @ a
    return f / jnp.linalg.norm(f, axis=1, keepdims=True)


def act(beam, action, last_theta, last_d, p_max):
    """Beams [K, N] of norm 1 and powers [K]."""
    power = p_max * jax.nn.softmax(action[-K:])
    if beam == "angles":
        return steering(jnp.pi * jax.nn.sigmoid(action[:K])), power
    if beam in ("tracking", "zf"):
        theta = last_theta + DELTA * jnp.tanh(action[:K])
        return (steering(theta) if beam == "tracking" else forced(theta, last_d, p_max)), power
    raw = (action[: K * N] + 1j * action[K * N : 2 * K * N]).reshape(K, N)
    if beam == "matrix":
        f = raw
    else:
        a = centred(last_theta)
        base = a if beam == "on_steering" else jnp.sqrt(N) * forced(last_theta, last_d, p_max)
        f = base + SCALE * raw * a
    return f / jnp.linalg.norm(f, axis=1, keepdims=True), power


def slot(beam, action, scene, p_max):
    theta, d, last_theta, last_d = scene.reshape(4, K)
    f, power = act(beam, action, last_theta, last_d, p_max)
    a = steering(theta)
    heard = a.conj() @ f.T
    gain = jnp.abs(heard) ** 2
    turned = (1j * jnp.pi * M * -jnp.sin(theta)[:, None] * a.conj() * f).sum(1)
    slope2 = jnp.abs(turned) ** 2
    # (12), (13), (28)
    received = N * A0 * (d**-EXPONENT)[:, None] * power[None] * gain
    own = jnp.diagonal(received)
    rate = jnp.log2(1 + own / (received.sum(1) - own + NOISE))
    jain = rate.sum() ** 2 / (K * (rate**2).sum())
    # (8), (22), (23)
    beta2 = KAPPA2 / (4 * d * d)
    echoes = N * NR * (power * beta2)[None] * gain
    own = jnp.diagonal(echoes)
    crlb_d = (ALPHA_TAU * C / 2) ** 2 / (own / (echoes.sum(1) - own + NOISE))
    crlb_theta = XI * NOISE / (N * NR * power * beta2 * XI**2 * slope2)
    mean_theta, mean_d = crlb_theta.mean(), crlb_d.mean()
    product = rate.sum() * jain
    inside = jax.nn.sigmoid((jnp.log(EPS_THETA) - jnp.log(mean_theta)) / WIDTH)
    inside *= jax.nn.sigmoid((jnp.log(EPS_D) - jnp.log(mean_d)) / WIDTH)
    return dict(rate=product, reward_smooth=inside * (product - mean_theta - mean_d), angle_crlb=mean_theta, distance_crlb=mean_d)


def main():
    rng = np.random.default_rng(7)
    single = lambda x: np.asarray(x, dtype=np.float32).astype(np.float64)
    x = np.stack([rng.uniform(-15, 20, (E, 1)) - 9 * np.arange(K), np.full((E, K), 10.0)], -1)
    theta, d = np.arctan2(x[..., 1], -x[..., 0]), np.hypot(x[..., 0], x[..., 1])
    last = theta + rng.normal(0, 0.02, (E, K)), d + rng.normal(0, 0.3, (E, K))
    scene = single(np.concatenate([theta, d, *last], 1))
    p_max = single(np.where(np.arange(E) % 2 == 0, 10.0, 0.1))
    out = dict(scene=scene, p_max_w=p_max)
    for beam in ["angles", "tracking", "zf", "matrix", "on_steering", "on_zf"]:
        logits = rng.normal(0, 0.7, (E, K))
        if beam == "angles":
            share = (scene[:, :K] + rng.normal(0, 0.03, (E, K))) / np.pi
            raw = np.log(share / (1 - share))
        elif beam in ("tracking", "zf"):
            raw = rng.normal(0, 0.3, (E, K))
        else:
            raw = rng.normal(0, 0.3, (E, 2 * K * N))
            if beam == "matrix":
                f = np.asarray(steering(jnp.asarray(scene[:, :K] + rng.normal(0, 0.02, (E, K))))).reshape(E, K * N)
                raw = np.concatenate([f.real, f.imag], 1) + 0.1 * raw
        action = single(np.concatenate([raw, logits], 1))
        out[f"{beam}.action"] = action
        for of in ["rate", "reward_smooth", "angle_crlb", "distance_crlb"]:
            f = lambda a, s, p: slot(beam, a, s, p)[of]
            value, gradient = jax.vmap(jax.value_and_grad(f))(jnp.asarray(action), jnp.asarray(scene), jnp.asarray(p_max))
            out[f"{beam}.{of}.value"], out[f"{beam}.{of}.gradient"] = np.asarray(value), np.asarray(gradient)
    path = pathlib.Path(__file__).with_name("v2x_gradient.safetensors")
    save_file({name: np.ascontiguousarray(x, dtype=np.float32 if "action" in name or name in ("scene", "p_max_w") else np.float64) for name, x in out.items()}, path)
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
