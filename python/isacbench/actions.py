"""Actions of classical methods, whose beams are complex numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["beams_action", "phases_action"]


def beams_action(beams: ArrayLike, powers: ArrayLike) -> NDArray[np.float32]:
    """Actions of task v2x with `beam="direct"`.

    `beams`: complex F `(..., N, K)`, a column for each vehicle, as in y = hᴴ F √p x; of any norm but 0.
    `powers`: p `(..., K)` in W. What is sent is F diag(p) Fᴴ as it is: a column's norm goes into its power, and
    Σ p_k ‖f_k‖² must not exceed P_max, which `step` checks.

    Gives float32 `(..., 2NK + K)`.
    """
    f = np.asarray(beams, dtype=np.complex128)
    p = np.asarray(powers, dtype=np.float64)
    if f.ndim < 2:
        raise ValueError(f"beams: shape {f.shape} instead of (..., N, K)")
    if p.shape != f.shape[:-2] + f.shape[-1:]:
        raise ValueError(f"powers: shape {p.shape} instead of {f.shape[:-2] + f.shape[-1:]}")
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.linalg.norm(f, axis=-2)
        sent = p * norms**2
    if not np.isfinite(norms).all():
        raise ValueError("beams: not finite, or beyond what a norm can be")
    if not np.isfinite(p).all() or not np.isfinite(sent).all():
        raise ValueError("powers: not finite, alone or with the norms of their beams")
    if ((norms == 0) & (p != 0)).any():
        raise ValueError("beams: a column is 0 and has power")
    # Numbers of a size that single precision holds, whatever the scale of F.
    columns = np.swapaxes(f / np.where(norms == 0, 1.0, norms)[..., None, :], -1, -2)
    flat = columns.reshape(*f.shape[:-2], -1)
    return np.concatenate([flat.real, flat.imag, sent], axis=-1).astype(np.float32)


def phases_action(cameras: ArrayLike, phases: ArrayLike) -> NDArray[np.float32]:
    """Actions of task misac with `phases=True`.

    `cameras`: `(..., K)`, a frame where at least ½. `phases`: Φ `(..., K, M)` in rad, of (10).

    Gives float32 `(..., K + KM)`.
    """
    pi = np.asarray(cameras, dtype=np.float32)
    phi = np.asarray(phases, dtype=np.float64)
    if phi.ndim < 2 or phi.shape[:-1] != pi.shape:
        raise ValueError(f"phases: shape {phi.shape} instead of {pi.shape} + (M,)")
    if not np.isfinite(phi).all():
        raise ValueError("phases: not finite")
    # Beams are the same a turn on, and single precision is finer near 0.
    phi = np.remainder(phi + np.pi, 2 * np.pi) - np.pi
    return np.concatenate([pi, phi.reshape(*pi.shape[:-1], -1).astype(np.float32)], axis=-1)
