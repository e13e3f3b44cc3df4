//! Buffers that know their element type and shape.

use super::{Gpu, GpuError};
use bytemuck::Pod;
use std::marker::PhantomData;

/// What a new buffer holds before a kernel writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    Zero,
    /// Every word 0xFFFF_FFFF (NaN as f32), so that a kernel that forgets to write shows.
    Poison,
}

/// A storage buffer of `T` with a row-major shape; never empty. A clone is another handle of the same buffer.
#[derive(Clone)]
pub struct Buf<T> {
    pub raw: wgpu::Buffer,
    pub label: String,
    pub shape: Vec<usize>,
    marker: PhantomData<T>,
}

impl<T: Pod> Buf<T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The buffer, to be bound where a kernel expects `len` elements. Panics with the label if it holds another number.
    pub fn of_len(&self, len: usize) -> &wgpu::Buffer {
        assert_eq!(
            self.len(),
            len,
            "buffer '{}' of shape {:?} is bound where {len} elements are expected",
            self.label,
            self.shape
        );
        &self.raw
    }
    /// The buffer, to be bound where a kernel uses up to `len` elements. Panics with the label if it holds fewer.
    pub fn at_least(&self, len: usize) -> &wgpu::Buffer {
        assert!(
            self.len() >= len,
            "buffer '{}' of shape {:?} is bound where up to {len} elements are used",
            self.label,
            self.shape
        );
        &self.raw
    }
}

/// Buffers of f32 zeros under their own names: `zeros!(gpu, "slot": obs[r, b, o], reward[r, b])` makes `obs`, labelled
/// `slot.obs`, and `reward`.
macro_rules! zeros {
    ($gpu:expr, $of:literal: $($name:ident[$($size:expr),+]),* $(,)?) => {
        $(let $name = {
            $gpu.alloc::<f32>(concat!($of, ".", stringify!($name)), &[$($size),+], $crate::gpu::Fill::Zero)?
        };)*
    };
}
pub(crate) use zeros;

impl Gpu {
    fn check_size(&self, label: &str, bytes: u64) -> Result<(), GpuError> {
        let too_large = |allowed, limit| GpuError::TooLarge {
            label: label.into(),
            needed: bytes,
            allowed,
            adapter: self.info.name.clone(),
            limit,
        };
        let binding = self.limits.max_storage_buffer_binding_size;
        if bytes > binding {
            return Err(too_large(binding, "storage binding"));
        }
        if bytes > self.limits.max_buffer_size {
            return Err(too_large(self.limits.max_buffer_size, "buffer"));
        }
        Ok(())
    }

    /// A new buffer. Errors if the adapter's limits or memory do not allow it.
    pub fn alloc<T: Pod>(&self, label: &str, shape: &[usize], fill: Fill) -> Result<Buf<T>, GpuError> {
        let bytes = (shape.iter().product::<usize>() * size_of::<T>()) as u64;
        assert!(bytes > 0, "buffer '{label}' of shape {shape:?} is empty");
        let bytes = bytes.next_multiple_of(4);
        self.check_size(label, bytes)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let poison = fill == Fill::Poison;
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: poison,
        });
        if let Some(e) = pollster::block_on(scope.pop()) {
            return Err(GpuError::OutOfMemory { label: label.into(), needed: bytes, detail: e.to_string() });
        }
        self.alive()?;
        if poison {
            if let Ok(mut view) = raw.get_mapped_range_mut(..) {
                view.copy_from_slice(&vec![0xff; bytes as usize]);
            }
            raw.unmap();
        }
        Ok(Buf { raw, label: label.into(), shape: shape.to_vec(), marker: PhantomData })
    }

    /// A new buffer holding `data`.
    pub fn upload<T: Pod>(&self, label: &str, shape: &[usize], data: &[T]) -> Result<Buf<T>, GpuError> {
        let buf = self.alloc(label, shape, Fill::Zero)?;
        self.write(&buf, data);
        Ok(buf)
    }

    /// Overwrites the first `data.len()` elements.
    pub fn write<T: Pod>(&self, buf: &Buf<T>, data: &[T]) {
        assert!(
            data.len() <= buf.len(),
            "{} elements written into '{}' of shape {:?}",
            data.len(),
            buf.label,
            buf.shape
        );
        self.queue.write_buffer(&buf.raw, 0, bytemuck::cast_slice(data));
    }

    /// The buffer's contents, read back.
    pub fn read<T: Pod>(&self, buf: &Buf<T>) -> Result<Vec<T>, GpuError> {
        let bytes = ((buf.len() * size_of::<T>()) as u64).next_multiple_of(4);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut enc = self.device.create_command_encoder(&Default::default());
        enc.copy_buffer_to_buffer(&buf.raw, 0, &staging, 0, bytes);
        let index = self.queue.submit([enc.finish()]);
        let mut out = self.read_staging(&staging, index)?;
        out.truncate(buf.len());
        Ok(out)
    }

    /// What a mappable buffer holds once submission `index` is done.
    pub(super) fn read_staging<T: Pod>(
        &self,
        staging: &wgpu::Buffer,
        index: wgpu::SubmissionIndex,
    ) -> Result<Vec<T>, GpuError> {
        let (tx, rx) = std::sync::mpsc::channel();
        staging.map_async(wgpu::MapMode::Read, .., move |r| {
            let _ = tx.send(r);
        });
        self.wait(index)?;
        let lost = |e: String| GpuError::Lost(super::context::TIMEOUT_S, e);
        rx.recv().map_err(|e| lost(e.to_string()))?.map_err(|e| lost(e.to_string()))?;
        let view = staging.get_mapped_range(..).map_err(|e| lost(e.to_string()))?;
        let out = bytemuck::pod_collect_to_vec(&view[..]);
        drop(view);
        staging.unmap();
        Ok(out)
    }
}
