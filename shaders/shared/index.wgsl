// Linear thread index of a dispatch that may be folded into two dimensions (see fold_groups in src/gpu/shader.rs).
// WG is the kernel's workgroup size along x, from the prelude.
fn linear_id(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * (groups.x * WG) + id.x;
}
