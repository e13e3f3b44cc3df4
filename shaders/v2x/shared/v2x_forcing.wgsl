// Task v2x: zero-forcing. Twin, operation by operation, with the equations: src/tasks/v2x/forcing.rs.
#import v2x

// G of the angles with these cosines.
fn gram(cosine: ptr<function, array<f32, K>>) -> array<array<f32, K>, K> {
    var g: array<array<f32, K>, K>;
    for (var i = 0u; i < K; i++) {
        for (var j = 0u; j < K; j++) {
            g[i][j] = 1.0f;
            if (i != j) { g[i][j] = dirichlet((*cosine)[i] - (*cosine)[j]).x; }
        }
    }
    return g;
}

// Inverse of a positive definite matrix by Gauss-Jordan elimination, without pivoting.
fn inverse_of(matrix: array<array<f32, K>, K>) -> array<array<f32, K>, K> {
    var g = matrix;
    var inv: array<array<f32, K>, K>;
    for (var i = 0u; i < K; i++) {
        for (var j = 0u; j < K; j++) {
            inv[i][j] = select(0.0f, 1.0f, i == j);
        }
    }
    for (var c = 0u; c < K; c++) {
        let pivot = 1.0f / max(g[c][c], 1e-6f);
        for (var j = 0u; j < K; j++) {
            g[c][j] *= pivot;
            inv[c][j] *= pivot;
        }
        for (var r = 0u; r < K; r++) {
            if (r != c) {
                let factor = g[r][c];
                for (var j = 0u; j < K; j++) {
                    g[r][j] = g[r][j] - factor * g[c][j];
                    inv[r][j] = inv[r][j] - factor * inv[c][j];
                }
            }
        }
    }
    return inv;
}

// Regularised zero-forcing with what lies behind it: X, G, (G + diag(l))^-1, and 1/|f_i| of the beams of that inverse.
struct Forced {
    mix: array<array<f32, K>, K>,
    gram: array<array<f32, K>, K>,
    inverse: array<array<f32, K>, K>,
    inverse_norm: array<f32, K>,
}

// At the angles with these cosines, towards vehicles at these distances.
fn forced(p: V2xParams, cosine: ptr<function, array<f32, K>>, d: ptr<function, array<f32, K>>) -> Forced {
    var z: Forced;
    var g = gram(cosine);
    var loaded = g;
    for (var i = 0u; i < K; i++) {
        let snr = p.p_max_w * comm_snr_per_watt(p, max((*d)[i], p.d_floor_m));
        loaded[i][i] += (p.zf_regularisation * f32(K)) / snr;
    }
    var x = inverse_of(loaded);
    z.gram = g;
    z.inverse = x;
    var inverse_norm: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        var norm2 = 0.0f;
        for (var a = 0u; a < K; a++) {
            var row = 0.0f;
            // Without the barrier Mesa re-associates these sums.
            for (var b = 0u; b < K; b++) { row += max(g[a][b] * x[b][i], LOWEST); }
            norm2 += max(x[a][i] * row, LOWEST);
        }
        inverse_norm[i] = 1.0f / sqrt(max(norm2, 1e-20f));
    }
    for (var a = 0u; a < K; a++) {
        for (var i = 0u; i < K; i++) { x[a][i] *= inverse_norm[i]; }
    }
    z.mix = x;
    z.inverse_norm = inverse_norm;
    return z;
}

// X alone.
fn regularised_mix(p: V2xParams, cosine: ptr<function, array<f32, K>>, d: ptr<function, array<f32, K>>) -> array<array<f32, K>, K> {
    return forced(p, cosine, d).mix;
}
