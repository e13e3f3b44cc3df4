// Task v2x: one slot of one environment. Twin, operation by operation: `step` of src/tasks/v2x/physics/mod.rs.
// KINEMATICS, REWARD, LIMITS and SINR_FEEDBACK are constants: a driver drops the branches not taken. The importing
// kernel binds `state` read_write and has what v2x_beams asks for.
#import v2x_beams
#import v2x_write

// What a slot leaves beside the state.
struct Slot {
    rate: array<f32, K>,
    // Of the echo: rad, m.
    err_theta: array<f32, K>,
    err_d: array<f32, K>,
    sum_rate: f32,
    jain: f32,
    reward: f32,
    holds: bool,
    // Sums over the vehicles.
    angle_se: f32,
    distance_se: f32,
    angle_crlb: f32,
    distance_crlb: f32,
}

// SINR without feedback: (12) of the beams and powers that the unit sent, at the angles and distances of the echo of s.
// `last` has the estimates round which the beams were built. Distances below the floor count as at it.
fn own_sinr(p: V2xParams, last: ptr<function, State>, s: ptr<function, State>) -> array<f32, K> {
    var sine: array<f32, K>;
    var cosine: array<f32, K>;
    var d: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let sc = sin_cos((*s).obs_theta[i]);
        sine[i] = sc.x;
        cosine[i] = sc.y;
        d[i] = max((*s).obs_d[i], p.d_floor_m);
    }
    var b = beams(p, last, &sine, &cosine);
    return hear(p, &b, &d).sinr;
}

// The bounds that (24a), (24b) limit: the slot's means, or those over the episode so far with this slot added.
fn limited_of(p: V2xParams, h: ptr<function, Heard>, s: ptr<function, State>) -> vec2<f32> {
    if (LIMITS == LIMITS_SLOT) { return vec2<f32>((*h).mean_theta, (*h).mean_d); }
    var theta = 0.0f;
    var d = 0.0f;
    for (var j = 0u; j < K; j++) {
        theta += min((*h).crlb_theta[j], p.cap_theta_rad * p.cap_theta_rad);
        d += min((*h).crlb_d[j], p.cap_d_m * p.cap_d_m);
    }
    let slots = (*s).past.z + 1.0f;
    (*s).past = vec3<f32>((*s).past.x + theta * PER_VEHICLE, (*s).past.y + d * PER_VEHICLE, slots);
    return (*s).past.xy / slots;
}

// What a slot is worth, (27).
fn reward_of(p: V2xParams, sum_rate: f32, jain: f32, mean_theta: f32, mean_d: f32, limited: vec2<f32>, holds: bool) -> f32 {
    let value = sum_rate * jain;
    if (REWARD == REWARD_PRODUCT) { return select(0.0f, (value - mean_theta) - mean_d, holds); }
    if (REWARD == REWARD_INDICATOR) { return select(0.0f, value, holds); }
    let lost_theta = p.reward_weight_theta * beyond(p.eps_theta_rad2, limited.x);
    let lost_d = p.reward_weight_d * beyond(p.eps_d_m2, limited.y);
    return (value - lost_theta) - lost_d;
}

// One slot: action -> truth moves (14) -> rates (12)(13), radar (8), CRLBs (22)(23), reward (27)(28) -> echo, into the
// state.
fn slot(p: V2xParams, env: u32, clock: u32, s: ptr<function, State>) -> Slot {
    var moved = normals(p.key, STREAM_MOTION, env, clock);
    motion(p, &moved, s);
    var sine: array<f32, K>;
    var cosine: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let sc = sin_cos((*s).theta[i]);
        sine[i] = sc.x;
        cosine[i] = sc.y;
    }
    var b = beams(p, s, &sine, &cosine);
    var d = (*s).d;
    var h = hear(p, &b, &d);
    (*s).obs_sinr = h.sinr;
    var o: Slot;
    o.rate = h.rate;
    // (27)
    let limited = limited_of(p, &h, s);
    let holds = limited.y <= p.eps_d_m2 && limited.x <= p.eps_theta_rad2;
    let reward_now = reward_of(p, h.sum_rate, h.jain, h.mean_theta, h.mean_d, limited, holds);

    // The echo.
    var last = *s;
    var z = normals(p.key, STREAM_ECHO, env, clock);
    var angle_se = 0.0f;
    var distance_se = 0.0f;
    var angle_crlb = 0.0f;
    var distance_crlb = 0.0f;
    for (var j = 0u; j < K; j++) {
        let var_theta = min(h.crlb_theta[j], p.cap_theta_rad * p.cap_theta_rad);
        let var_d = min(h.crlb_d[j], p.cap_d_m * p.cap_d_m);
        let std_v = min(p.sigma_v_scale / (sqrt(h.radar[j]) * max(abs(cosine[j]), p.cos_floor)), p.cap_v_m_s);
        let err_theta = (p.sensing_noise * sqrt(var_theta)) * z[3u * j];
        let err_d = (p.sensing_noise * sqrt(var_d)) * z[3u * j + 1u];
        let noisy_v = p.sensing_noise * std_v;
        (*s).obs_theta[j] = (*s).theta[j] + err_theta;
        (*s).obs_d[j] = (*s).d[j] + err_d;
        (*s).obs_v[j] = (*s).v[j] + noisy_v * z[3u * j + 2u];
        (*s).var_theta[j] = (p.sensing_noise * p.sensing_noise) * var_theta;
        (*s).var_d[j] = (p.sensing_noise * p.sensing_noise) * var_d;
        (*s).var_v[j] = noisy_v * noisy_v;
        o.err_theta[j] = err_theta;
        o.err_d[j] = err_d;
        angle_se += err_theta * err_theta;
        distance_se += err_d * err_d;
        angle_crlb += var_theta;
        distance_crlb += var_d;
    }
    if (SINR_FEEDBACK == 0u) { (*s).obs_sinr = own_sinr(p, &last, s); }
    o.sum_rate = h.sum_rate;
    o.jain = h.jain;
    o.reward = reward_now;
    o.holds = holds;
    o.angle_se = angle_se;
    o.distance_se = distance_se;
    o.angle_crlb = angle_crlb;
    o.distance_crlb = distance_crlb;
    return o;
}
