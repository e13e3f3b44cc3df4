// Task misac: what reset and step write. Twin: src/tasks/misac/physics/mod.rs. The importing kernel binds `state` and
// `obs` read_write.
#import misac

fn store_vehicle(first: u32, r: u32, env: u32, i: u32, s: Vehicle) {
    state[state_at(first, r, env, 0u, i)] = s.x;
    state[state_at(first, r, env, 1u, i)] = s.v;
    state[state_at(first, r, env, 2u, i)] = s.age;
    state[state_at(first, r, env, 3u, i)] = s.e;
    state[state_at(first, r, env, 4u, i)] = s.s0;
    state[state_at(first, r, env, 5u, i)] = s.s1;
    state[state_at(first, r, env, 6u, i)] = s.turn;
}

// First state of vehicle i in an episode: x and v uniform, age 0, e as after a camera frame, scatterers uniform in
// angle.
fn reset_vehicle(p: MisacParams, env: u32, clock: u32, i: u32) -> Vehicle {
    var s: Vehicle;
    let w = philox4x32_10(vec4<u32>(2u * i, clock, env, STREAM_MISAC_RESET), p.key);
    s.x = p.x_min_m + (p.x_max_m - p.x_min_m) * unit_from_word(w.x);
    s.v = p.speed_min_m_s + (p.speed_max_m_s - p.speed_min_m_s) * unit_from_word(w.y);
    s.age = 0.0f;
    s.s0 = sin_cos_pi_multiple(unit_from_word(w.z), 1u).y;
    s.s1 = sin_cos_pi_multiple(unit_from_word(w.w), 1u).y;
    let z = philox4x32_10(vec4<u32>(2u * i + 1u, clock, env, STREAM_MISAC_RESET), p.key);
    s.e = p.sigma_vis_rad * normal_pair(z.x, z.y).x;
    // theta at both ends of the episode.
    let way = s.v * (p.dt_s * f32(T));
    let turned = atan2_upper(p.road_y_m, -(s.x + way)) - atan2_upper(p.road_y_m, -s.x);
    s.turn = turned / way;
    return s;
}

// Observation of vehicle i: cos(theta + e), measured d/80, age/A_max. They go to columns i, K+i, 2K+i of a row of 3K.
// `noise` is the vehicle's normal number of the range estimate at this clock.
fn observe(p: MisacParams, s: Vehicle, env: u32, clock: u32, i: u32, noise: f32) -> vec3<f32> {
    let d = geometry(p, s.x).z;
    return vec3<f32>(
        estimated_cos(p, s.x, seen_error(p, s, env, clock, i)),
        max(d * (1.0f + p.distance_noise * noise), LOWEST) * (1.0f / 80.0f),
        s.age * (1.0f / p.age_max));
}

// The range noise of vehicles i and i+1 for even i.
fn range_noise(key: vec2<u32>, env: u32, clock: u32, i: u32) -> vec2<f32> {
    let w = philox4x32_10(vec4<u32>(i / 2u, clock, env, STREAM_MISAC_RANGE), key);
    return normal_pair(w.x, w.y);
}
