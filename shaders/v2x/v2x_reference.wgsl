// v2x_reference: one thread = the action of a reference agent (AGENT) for the coming slot of one environment.
// CPU twin: v2x_reference_cpu in src/tasks/v2x/kernels/v2x_reference.rs (the agents are src/tasks/v2x/reference.rs,
// same operations in the same order).
#import index
#import v2x_forcing
#import v2x_state

struct Imm { clock: u32, action_off: u32 }
var<immediate> imm: Imm;

@group(0) @binding(0) var<storage, read> params: array<V2xParams>;    // [R]
@group(0) @binding(1) var<storage, read> state: array<f32>;           // [R, 10K, B]
@group(0) @binding(2) var<storage, read_write> memory: array<f32>;    // [R, 9K, B] of the filters, else not touched
@group(0) @binding(3) var<storage, read_write> action: array<f32>;    // [R, B, A] from action_off

const PI: f32 = 3.14159265358979323846;

// phi ~ U(0, pi), p ~ P_max Dirichlet(1)
fn random_action(p: V2xParams, env: u32, at: u32) {
    const WORDS: u32 = (2u * K + 3u) / 4u * 4u;
    var u: array<f32, WORDS>;
    for (var block = 0u; block < WORDS / 4u; block++) {
        let w = philox4x32_10(vec4<u32>(block, imm.clock, env, STREAM_BASELINE), p.key);
        for (var j = 0u; j < 4u; j++) {
            u[4u * block + j] = unit_from_word(w[j]);
        }
    }
    var share: array<f32, K>;
    var sum = 0.0f;
    for (var i = 0u; i < K; i++) {
        action[at + i] = PI * u[i];
        share[i] = -ln_(u[K + i]);
        sum += share[i];
    }
    let scale = p.p_max_w / sum;
    for (var i = 0u; i < K; i++) {
        action[at + K + i] = share[i] * scale;
    }
}

// Element (row, column) of the packed upper triangle tt, td, tv, dd, dv, vv.
fn packed(a: u32, b: u32) -> u32 {
    let lo = min(a, b);
    return lo + max(a, b) + select(0u, 1u, lo > 0u);
}

// One vehicle's Kalman filter: mean (theta, d, v), covariance as in `packed`.
struct Filter {
    x: array<f32, 3>,
    p: array<f32, 6>,
}

// Three scalar updates in turn: each measurement sees one state, with independent noise. Of `ukf` the covariances of
// what is measured are products, which keep their sign.
fn update(f: ptr<function, Filter>, z: vec3<f32>, noise: vec3<f32>) {
    for (var m = 0u; m < 3u; m++) {
        let column = vec3<f32>((*f).p[packed(m, 0u)], (*f).p[packed(m, 1u)], (*f).p[packed(m, 2u)]);
        let inv = 1.0f / (column[m] + noise[m]);
        let innovation = z[m] - (*f).x[m];
        let kept = noise[m] * inv;
        for (var r = 0u; r < 3u; r++) {
            let gain = column[r] * inv;
            (*f).x[r] += gain * innovation;
            for (var q = r; q < 3u; q++) {
                let at = packed(r, q);
                if (AGENT == AGENT_UKF && (r == m || q == m)) {
                    (*f).p[at] = (*f).p[at] * kept;
                } else {
                    (*f).p[at] = (*f).p[at] - gain * column[q];
                }
            }
        }
    }
}

// (14) and its Jacobian [[1 + turn cos, -turn sin/d, dt sin/d], [v dt sin, 1, -dt cos], [0, 0, 1]] at the mean; process
// noise as configured.
fn predict(f: ptr<function, Filter>, par: V2xParams) {
    let theta = (*f).x[0];
    let d = (*f).x[1];
    let v = (*f).x[2];
    let sc = sin_cos(theta);
    let dt = par.dt_s;
    let turn = (v * dt) / d;
    let f0 = vec3<f32>(1.0f + turn * sc.y, -(turn * sc.x) / d, (dt * sc.x) / d);
    let f1 = vec3<f32>((v * dt) * sc.x, 1.0f, -(dt * sc.y));
    (*f).x[0] = theta + turn * sc.x;
    (*f).x[1] = max(d - (v * dt) * sc.y, par.d_floor_m);
    let p = (*f).p;
    let tt = p[0];
    let td = p[1];
    let tv = p[2];
    let dd = p[3];
    let dv = p[4];
    let vv = p[5];
    let r0 = vec3<f32>((f0.x * tt + f0.y * td) + f0.z * tv, (f0.x * td + f0.y * dd) + f0.z * dv, (f0.x * tv + f0.y * dv) + f0.z * vv);
    let r1 = vec3<f32>((f1.x * tt + f1.y * td) + f1.z * tv, (f1.x * td + f1.y * dd) + f1.z * dv, (f1.x * tv + f1.y * dv) + f1.z * vv);
    (*f).p[0] = ((r0.x * f0.x + r0.y * f0.y) + r0.z * f0.z) + par.sigma_theta_rad * par.sigma_theta_rad;
    (*f).p[1] = (r0.x * f1.x + r0.y * f1.y) + r0.z * f1.z;
    (*f).p[2] = r0.z;
    (*f).p[3] = ((r1.x * f1.x + r1.y * f1.y) + r1.z * f1.z) + par.sigma_d_m * par.sigma_d_m;
    (*f).p[4] = r1.z;
    (*f).p[5] = vv + par.sigma_v_m_s * par.sigma_v_m_s;
}

// Root of a pivot of a covariance's Cholesky factor, `whole` its diagonal.
fn root(pivot: f32, whole: f32) -> f32 {
    return sqrt(max(max(pivot, 1e-6f * whole), 1e-30f));
}

// What (14) adds to theta and d in a slot; distances below the floor count as at it.
fn moved(par: V2xParams, theta: f32, d: f32, v: f32) -> vec2<f32> {
    let sc = sin_cos(theta);
    let way = v * par.dt_s;
    return vec2<f32>((way * sc.x) / max(d, par.d_floor_m), -(way * sc.y));
}

// (14) by the unscented transform: the six points x +- sqrt(3) L_j, P = L L^T, each as its deviation from the moved
// mean.
fn predict_unscented(f: ptr<function, Filter>, par: V2xParams) {
    const SIXTH: f32 = 1.0 / 6.0;
    const SPREAD: f32 = 1.7320508075688772;
    let p = (*f).p;
    let l00 = root(p[0], p[0]);
    let l10 = p[1] / l00;
    let l20 = p[2] / l00;
    let l11 = root(p[3] - l10 * l10, p[3]);
    let l21 = (p[4] - l10 * l20) / l11;
    let l22 = root((p[5] - l20 * l20) - l21 * l21, p[5]);
    let columns = array<vec3<f32>, 3>(vec3<f32>(l00, l10, l20), vec3<f32>(0.0f, l11, l21), vec3<f32>(0.0f, 0.0f, l22));
    let theta = (*f).x[0];
    let d = (*f).x[1];
    let v = (*f).x[2];
    let centre = moved(par, theta, d, v);
    var off: array<vec3<f32>, 6>;
    var sum = vec2<f32>(0.0f, 0.0f);
    for (var i = 0u; i < 6u; i++) {
        let delta = select(-SPREAD, SPREAD, i % 2u == 0u) * columns[i / 2u];
        let point = moved(par, theta + delta.x, d + delta.y, v + delta.z);
        off[i] = vec3<f32>(delta.x + (point.x - centre.x), delta.y + (point.y - centre.y), delta.z);
        sum += off[i].xy;
    }
    let mean = sum * SIXTH;
    (*f).x[0] = (theta + centre.x) + mean.x;
    (*f).x[1] = max((d + centre.y) + mean.y, par.d_floor_m);
    var o: array<f32, 6>;
    for (var i = 0u; i < 6u; i++) {
        let a = off[i].x - mean.x;
        let b = off[i].y - mean.y;
        let g = off[i].z;
        o[0] += a * a;
        o[1] += a * b;
        o[2] += a * g;
        o[3] += b * b;
        o[4] += b * g;
        o[5] += g * g;
    }
    (*f).p[0] = o[0] * SIXTH + par.sigma_theta_rad * par.sigma_theta_rad;
    (*f).p[1] = o[1] * SIXTH;
    (*f).p[2] = o[2] * SIXTH;
    (*f).p[3] = o[3] * SIXTH + par.sigma_d_m * par.sigma_d_m;
    (*f).p[4] = o[4] * SIXTH;
    (*f).p[5] = o[5] * SIXTH + par.sigma_v_m_s * par.sigma_v_m_s;
}

// The filter's prediction for the coming slot: angles and distances.
fn filtered(p: V2xParams, r: u32, env: u32, s: ptr<function, State>, theta: ptr<function, array<f32, K>>, d: ptr<function, array<f32, K>>) {
    for (var i = 0u; i < K; i++) {
        let z = vec3<f32>((*s).obs_theta[i], (*s).obs_d[i], (*s).obs_v[i]);
        let row = (r * 9u * K + 9u * i) * B + env;
        var f: Filter;
        for (var q = 0u; q < 3u; q++) { f.x[q] = z[q]; }
        for (var q = 0u; q < 6u; q++) { f.p[q] = 0.0f; }
        if (imm.clock % T != 0u) {
            for (var q = 0u; q < 3u; q++) { f.x[q] = memory[row + q * B]; }
            for (var q = 0u; q < 6u; q++) { f.p[q] = memory[row + (3u + q) * B]; }
            let by = p.ekf_noise;
            update(&f, z, vec3<f32>(by * (*s).var_theta[i], by * (*s).var_d[i], by * (*s).var_v[i]));
        }
        if (AGENT == AGENT_UKF) {
            predict_unscented(&f, p);
        } else {
            predict(&f, p);
        }
        for (var q = 0u; q < 3u; q++) { memory[row + q * B] = f.x[q]; }
        for (var q = 0u; q < 6u; q++) { memory[row + (3u + q) * B] = f.p[q]; }
        (*theta)[i] = f.x[0];
        (*d)[i] = f.x[1];
    }
}

// Zero-forcing at these angles with power water-filled over these distances.
fn zero_forcing(p: V2xParams, theta: ptr<function, array<f32, K>>, d: ptr<function, array<f32, K>>, at: u32) {
    var cosine: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        action[at + i] = (*theta)[i];
        cosine[i] = sin_cos((*theta)[i]).y;
    }
    var inv = inverse_of(gram(&cosine));
    var snr: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let norm2 = max(inv[i][i], 1.0f);
        let norm = sqrt(norm2);
        snr[i] = comm_snr_per_watt(p, (*d)[i]) / norm2;
        for (var j = 0u; j < K; j++) {
            action[at + K + j * K + i] = inv[j][i] / norm;
        }
    }
    var power = water_fill(p.p_max_w, &snr);
    for (var i = 0u; i < K; i++) {
        action[at + K + K * K + i] = power[i];
    }
}

// Steering at these angles with equal power.
fn steer(p: V2xParams, theta: ptr<function, array<f32, K>>, at: u32) {
    let share = p.p_max_w / f32(K);
    for (var i = 0u; i < K; i++) {
        action[at + i] = (*theta)[i];
        action[at + K + i] = share;
    }
}

@compute @workgroup_size(WG) fn v2x_reference(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let n = linear_id(id, groups);
    if (n >= R * B) { return; }
    let r = n / B;
    let env = n % B;
    let p = params[r];
    let at = imm.action_off + n * A;
    if (AGENT == AGENT_RANDOM) {
        random_action(p, env, at);
        return;
    }
    var s: State;
    load_state(r, env, &s);
    var theta = s.obs_theta;
    var d = s.obs_d;
    if (AGENT == AGENT_EKF || AGENT == AGENT_EKF_ZF || AGENT == AGENT_UKF) {
        filtered(p, r, env, &s, &theta, &d);
    } else if (AGENT != AGENT_LAST_ESTIMATE) {
        // The draws are counter-based, so the coming slot's truth can be had before it happens.
        var z = normals(p.key, STREAM_MOTION, env, imm.clock);
        motion(p, &z, &s);
        theta = s.theta;
        d = s.d;
    }
    if (AGENT == AGENT_EKF_ZF || AGENT == AGENT_GENIE_ZF) {
        zero_forcing(p, &theta, &d, at);
    } else {
        steer(p, &theta, at);
    }
}
