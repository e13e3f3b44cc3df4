//! The device's own clock: how long commands took on it, without the host's part.

use super::{Gpu, GpuError};

/// Two timestamps of a device and where they are read back.
pub struct Timestamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Seconds of a tick.
    period_s: f64,
    in_encoders: bool,
}

/// How [`Timestamps::pass`] takes device time.
pub const AROUND_PASS: &str = "timestamp queries at the beginning and the end of one compute pass";
/// How [`Timestamps::span`] takes device time.
pub const AROUND_SPAN: &str =
    "timestamp queries in command buffers before and behind everything submitted, gaps included";

/// Bytes of two timestamps.
const BYTES: u64 = 16;

impl Timestamps {
    /// None where the adapter has no timestamps.
    pub fn new(gpu: &Gpu) -> Option<Timestamps> {
        if !gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY) {
            return None;
        }
        let buffer = |label, usage| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Some(Timestamps {
            set: gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(
                "timestamps.resolved",
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            ),
            staging: buffer("timestamps.read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period_s: f64::from(gpu.queue.get_timestamp_period()) * 1e-9,
            in_encoders: gpu.features.contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS),
        })
    }

    /// Seconds on the device of what `record` puts into one compute pass.
    pub fn pass(&self, gpu: &Gpu, record: impl FnOnce(&mut wgpu::ComputePass)) -> Result<f64, GpuError> {
        let mut enc = gpu.device.create_command_encoder(&Default::default());
        record(&mut enc.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.set,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            }),
        }));
        self.read(gpu, enc)
    }

    /// Seconds on the device from before the first to behind the last command that `work` submits; None where
    /// timestamps stand only in passes.
    pub fn span(
        &self,
        gpu: &Gpu,
        work: impl FnOnce() -> Result<(), GpuError>,
    ) -> Result<Option<f64>, GpuError> {
        if !self.in_encoders {
            return Ok(None);
        }
        let mut enc = gpu.device.create_command_encoder(&Default::default());
        enc.write_timestamp(&self.set, 0);
        gpu.queue.submit([enc.finish()]);
        work()?;
        let mut enc = gpu.device.create_command_encoder(&Default::default());
        enc.write_timestamp(&self.set, 1);
        self.read(gpu, enc).map(Some)
    }

    /// Ends `enc` with reading both timestamps back and submits it.
    fn read(&self, gpu: &Gpu, mut enc: wgpu::CommandEncoder) -> Result<f64, GpuError> {
        enc.resolve_query_set(&self.set, 0..2, &self.resolved, 0);
        enc.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, BYTES);
        let index = gpu.queue.submit([enc.finish()]);
        let ticks: Vec<u64> = gpu.read_staging(&self.staging, index)?;
        // Ticks wrap on some devices.
        Ok(ticks[1].wrapping_sub(ticks[0]) as f64 * self.period_s)
    }
}
