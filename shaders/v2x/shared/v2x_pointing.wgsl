// Task v2x: the angles that the beams of an action are steered at, rad. Twin, operation by operation: `pointed` of
// src/tasks/v2x/physics/beams.rs, which says what they are. The importing kernel has what v2x_beams asks for.
#import v2x_beams

const FRAC_1_PI: f32 = 0.31830988618379067154;

// cos phi = -arg(sum_n conj(f_n) f_{n+1}) / pi of explicit beams.
fn matrix_angles(p: V2xParams, s: ptr<function, State>) -> array<f32, K> {
    var base = base_of(p, s);
    var re_step: array<f32, K>;
    var im_step: array<f32, K>;
    var before: array<vec2<f32>, K>;
    for (var m = 0u; m < N; m++) {
        let e = antenna(p, &base, m);
        for (var i = 0u; i < K; i++) {
            let was = before[i];
            let f = e.f[i];
            // Without the barriers Mesa re-associates these sums.
            re_step[i] += max(was.x * f.x + was.y * f.y, LOWEST);
            im_step[i] += max(was.x * f.y - was.y * f.x, LOWEST);
            before[i] = f;
        }
    }
    var phi: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let none = abs(re_step[i]) + abs(im_step[i]) < 1e-30f;
        let turn = atan2_upper(abs(im_step[i]), select(re_step[i], 1.0f, none));
        let share = turn * FRAC_1_PI;
        let cosine = select(0.0f - share, share, im_step[i] < 0.0f);
        phi[i] = atan2_upper(sqrt(max((1.0f - cosine) * (1.0f + cosine), 0.0f)), cosine);
    }
    return phi;
}

fn pointed(p: V2xParams, s: ptr<function, State>) -> array<f32, K> {
    if (IS_MATRIX) { return matrix_angles(p, s); }
    var phi: array<f32, K>;
    for (var i = 0u; i < K; i++) {
        let a = action_at(i);
        phi[i] = a;
        if (BEAM == BEAM_ANGLES) { phi[i] = PI * sigmoid_(a); }
        if (BEAM == BEAM_TRACKING || BEAM == BEAM_ZF) { phi[i] = (*s).obs_theta[i] + p.tracking_delta_rad * tanh_(a); }
    }
    return phi;
}
