//! `isacbench devices`

use super::place;
use super::print::say;
use crate::gpu::{self, DeviceChoice};
use anyhow::Result;
use clap::Args;
use serde_json::json;

#[derive(Args)]
pub struct DevicesArgs {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn devices(a: &DevicesArgs) -> Result<()> {
    let all = gpu::adapters();
    let auto = place(&DeviceChoice::Auto)?;
    let info = |x: &wgpu::Adapter| {
        let (i, l) = (x.get_info(), x.limits());
        json!({
            "name": i.name, "type": format!("{:?}", i.device_type), "backend": format!("{:?}", i.backend),
            "driver": format!("{} {}", i.driver, i.driver_info).trim(),
            "max_storage_binding_bytes": l.max_storage_buffer_binding_size, "max_buffer_bytes": l.max_buffer_size,
            "max_workgroup_storage_bytes": l.max_compute_workgroup_storage_size,
            "timestamps": x.features().contains(wgpu::Features::TIMESTAMP_QUERY),
            "f16": x.features().contains(wgpu::Features::SHADER_F16),
            "subgroups": x.features().contains(wgpu::Features::SUBGROUP),
            "immediates": x.features().contains(wgpu::Features::IMMEDIATES),
        })
    };
    if a.json {
        say!("{}", json!({ "adapters": all.iter().map(info).collect::<Vec<_>>(), "auto": auto.name.device }));
        return Ok(());
    }
    for x in &all {
        let i = info(x);
        say!(
            "{}\n    {}, {}, driver {}\n    storage binding {:.0} MiB, buffer {:.0} MiB, timestamps {}, f16 {}, subgroups {}, immediates {}",
            i["name"].as_str().unwrap_or(""),
            i["type"].as_str().unwrap_or(""),
            i["backend"].as_str().unwrap_or(""),
            i["driver"].as_str().unwrap_or(""),
            i["max_storage_binding_bytes"].as_f64().unwrap_or(0.0) / 1048576.0,
            i["max_buffer_bytes"].as_f64().unwrap_or(0.0) / 1048576.0,
            i["timestamps"],
            i["f16"],
            i["subgroups"],
            i["immediates"]
        );
    }
    if all.is_empty() {
        say!(
            "no adapter{}",
            if cfg!(target_os = "linux") { " (Debian: mesa-vulkan-drivers has software Vulkan)" } else { "" }
        );
    }
    say!("auto: {}", auto.why.trim_start_matches("device: "));
    Ok(())
}
