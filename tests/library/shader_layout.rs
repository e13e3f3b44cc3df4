//! Structs that Rust and WGSL both declare have the same layout, by naga's reflection.

use isacbench::gpu::{Prelude, Reduce, Source, compose};
use isacbench::tasks::misac::kernels::{misac_batch, misac_reset};
use isacbench::tasks::misac::physics::{Choices as MisacChoices, MisacParams, MisacSpec, Uncertainty};
use isacbench::tasks::v2x::kernels::{v2x_batch, v2x_reset};
use isacbench::tasks::v2x::physics::{Beam, Choices, KMAX, Kinematics, V2xParams, V2xSpec};
use std::mem::offset_of;

macro_rules! offsets {
    ($t:ty: $($field:ident),* $(,)?) => {
        vec![$((stringify!($field), offset_of!($t, $field))),*]
    };
}

/// That the struct `name` of a kernel has the members and the stride that Rust gives it.
fn assert_layout(
    kernel: &Source,
    prelude: &Prelude,
    name: &str,
    want: &[(&str, usize)],
    size: usize,
) -> naga::Module {
    let source = compose(kernel, prelude, Reduce::Tree).unwrap().source;
    let module =
        naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
    let (_, ty) = module
        .types
        .iter()
        .find(|(_, t)| t.name.as_deref() == Some(name))
        .unwrap_or_else(|| panic!("no struct {name} in the shader"));
    let naga::TypeInner::Struct { members, span } = &ty.inner else { panic!("{name} is no struct") };
    let got: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize)).collect();
    assert_eq!(got, want);
    // The stride in an array of replicas.
    assert_eq!(*span as usize, size);
    module
}

#[test]
fn misac_params() {
    let task = MisacSpec {
        vehicles: 4,
        antennas: 64,
        slots: 200,
        uncertainty: Uncertainty::Constant,
        choices: MisacChoices::DEFAULT,
    };
    let prelude = misac_reset::prelude(&misac_batch::Spec { r: 1, b: 1, task });
    let want = offsets!(
        MisacParams: key, beta, e_vis_j, e_recovery_j, lambda_j, gamma_misa, t_proc, age_max, sigma_vis_rad, beam_width_rad, distance_noise,
        dt_s, road_y_m, x_min_m, x_max_m, speed_min_m_s, speed_max_m_s, los, scatter, csi_error, beam_power_w, path_gain_m2, noise_w,
        error_rate, radar_noise_rad,
    );
    assert_layout(&misac_reset::SHADER, &prelude, "MisacParams", &want, size_of::<MisacParams>());
}

#[test]
fn v2x_params() {
    let task = V2xSpec {
        vehicles: 3,
        antennas: 32,
        slots: 100,
        beam: Beam::Angles,
        kinematics: Kinematics::Paper,
        choices: Choices::DEFAULT,
    };
    let prelude = v2x_reset::prelude(&v2x_batch::Spec { r: 1, b: 1, task });
    let want = offsets!(
        V2xParams: key, p_max_w, comm_gain, path_loss_exponent, noise_comm_w, radar_gain, noise_radar_w, crlb_theta_scale, crlb_d_scale,
        sigma_v_scale, dt_s, sigma_theta_rad, sigma_d_m, sigma_v_m_s, eps_theta_rad2, eps_d_m2, jain_scale, tracking_delta_rad, speed_min_m_s,
        speed_max_m_s, d_floor_m, cos_floor, cap_theta_rad, cap_d_m, cap_v_m_s, road_y_m, zf_regularisation, matrix_scale, reward_weight_theta, reward_weight_d,
        sensing_noise, ekf_noise, pad, obs_shift,
        obs_scale, start_theta_rad, start_d_m,
    );
    let module = assert_layout(&v2x_reset::SHADER, &prelude, "V2xParams", &want, size_of::<V2xParams>());
    // The lists above are complete, and the arrays hold KMAX values each.
    let lengths: Vec<_> = module
        .types
        .iter()
        .filter(|(_, t)| t.name.as_deref() == Some("V2xParams"))
        .flat_map(|(_, t)| match &t.inner {
            naga::TypeInner::Struct { members, .. } => members.clone(),
            _ => Vec::new(),
        })
        .filter(|m| m.name.as_deref() == Some("start_theta_rad"))
        .map(|m| match module.types[m.ty].inner {
            naga::TypeInner::Array { size, stride, .. } => (size, stride),
            _ => panic!("start_theta_rad is no array"),
        })
        .collect();
    assert_eq!(lengths, [(naga::ArraySize::Constant(std::num::NonZeroU32::new(KMAX as u32).unwrap()), 4)]);
}
