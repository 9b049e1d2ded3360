//! What the allocator of a device holds.

use burn::tensor::Device;
use serde_json::{Value, json};

/// Bytes `in_use` and `reserved`, and of CubeCL all its pools; null where a device does not report them.
pub fn of(device: &Device) -> Value {
    json!(device.memory_pool_usage().map(|usage| {
        json!({ "in_use": usage.bytes_in_use, "reserved": usage.bytes_reserved, "pools": pools(device) })
    }))
}

#[cfg(feature = "cuda")]
fn pools(device: &Device) -> Value {
    use burn::backend::DispatchDevice;
    use cubecl::MemoryScope;

    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => json!(device.client().memory_report(MemoryScope::Device)),
        #[allow(unreachable_patterns)] // Which devices there are depends on Burn's features.
        _ => Value::Null,
    }
}

#[cfg(not(feature = "cuda"))]
fn pools(_: &Device) -> Value {
    Value::Null
}
