//! Structs that Rust and WGSL both declare have the same layout, by naga's reflection.

use isacbench::gpu::compose;
use isacbench::kernels::v2x_batch::Spec;
use isacbench::kernels::v2x_reset::prelude;
use isacbench::task::v2x::{Beam, KMAX, Kinematics, V2xParams, V2xSpec};
use std::mem::offset_of;

macro_rules! offsets {
    ($t:ty: $($field:ident),* $(,)?) => {
        vec![$((stringify!($field), offset_of!($t, $field))),*]
    };
}

#[test]
fn v2x_params() {
    let task =
        V2xSpec { vehicles: 3, antennas: 32, slots: 100, beam: Beam::Angles, kinematics: Kinematics::Paper };
    let source = compose("v2x_reset", &prelude(&Spec { r: 1, b: 1, task })).unwrap().source;
    let module =
        naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
    let (_, ty) = module
        .types
        .iter()
        .find(|(_, t)| t.name.as_deref() == Some("V2xParams"))
        .expect("struct V2xParams in the shader");
    let naga::TypeInner::Struct { members, span } = &ty.inner else { panic!("V2xParams is no struct") };
    let want = offsets!(
        V2xParams: key, p_max_w, comm_gain, path_loss_exponent, noise_comm_w, radar_gain, noise_radar_w, crlb_theta_scale, crlb_d_scale,
        sigma_v_scale, dt_s, sigma_theta_rad, sigma_d_m, sigma_v_m_s, eps_theta_rad2, eps_d_m2, jain_scale, tracking_delta_rad, speed_min_m_s,
        speed_max_m_s, d_floor_m, cos_floor, cap_theta_rad, cap_d_m, cap_v_m_s, road_y_m, pad, start_theta_rad, start_d_m,
    );
    let got: Vec<_> = members.iter().map(|m| (m.name.as_deref().unwrap_or(""), m.offset as usize)).collect();
    assert_eq!(got, want);
    // The stride in an array of replicas.
    assert_eq!(*span as usize, size_of::<V2xParams>());
    // The lists above are complete, and the arrays hold KMAX values each.
    let naga::TypeInner::Array { size, stride, .. } = module.types[members[27].ty].inner else {
        panic!("start_theta_rad is no array")
    };
    assert_eq!(
        (size, stride),
        (naga::ArraySize::Constant(std::num::NonZeroU32::new(KMAX as u32).unwrap()), 4)
    );
}
