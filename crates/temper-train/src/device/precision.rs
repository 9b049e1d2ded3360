//! `--precision`: what matrix products compute in, and where that is possible.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
use serde::{Deserialize, Serialize};
use temper_models::{Precision, multiplies_bfloat16_fast};

use crate::TrainError;
use crate::device::backend::Backend;

/// The setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PrecisionSetting {
    /// tf32 on an NVIDIA GPU, f32 elsewhere.
    #[default]
    Auto,
    /// This one.
    Named(Precision),
}

impl PrecisionSetting {
    /// What it means on a backend.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for tf32 where there is none.
    pub fn resolve(self, backend: Backend) -> Result<Precision, TrainError> {
        let has_tf32 = matches!(backend, Backend::Cuda(_));
        match self {
            Self::Auto if has_tf32 => Ok(Precision::Tf32),
            Self::Auto => Ok(Precision::F32),
            Self::Named(Precision::Tf32) if !has_tf32 => Err(TrainError::Usage(format!(
                "--precision tf32 is for NVIDIA GPUs: the {} backend computes in f32; leave --precision out",
                backend.kind()
            ))),
            Self::Named(precision) => Ok(precision),
        }
    }

    /// The precision of a setting that [`RunRequest::resolved`](crate::RunRequest::resolved) has seen; f32 for
    /// another without a name.
    pub(crate) fn named(self) -> Precision {
        match self {
            Self::Auto => Precision::default(),
            Self::Named(precision) => precision,
        }
    }
}

impl fmt::Display for PrecisionSetting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::Named(precision) => name(*precision),
        })
    }
}

/// As `--precision` has it.
pub(crate) fn name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Tf32 => "tf32",
        Precision::Bf16 => "bf16",
        Precision::Int8 => "int8",
    }
}

impl FromStr for PrecisionSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "f32" => Ok(Self::Named(Precision::F32)),
            "tf32" => Ok(Self::Named(Precision::Tf32)),
            "bf16" => Ok(Self::Named(Precision::Bf16)),
            "int8" => Ok(Self::Named(Precision::Int8)),
            "fp16" | "f16" => Err(format!(
                "{text} is not offered: its numbers end at 65504, so that losses have to be scaled and T5 overflows; \
                 bf16 is as fast and has the range of f32: --precision bf16"
            )),
            other => Err(format!("{other} is not one of auto, f32, tf32, bf16, int8")),
        }
    }
}

impl TryFrom<String> for PrecisionSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PrecisionSetting> for String {
    fn from(setting: PrecisionSetting) -> Self {
        setting.to_string()
    }
}

/// Refuses a precision that a device does not have.
///
/// # Errors
/// [`TrainError::Usage`].
pub(crate) fn check(precision: Precision, backend: Backend, device: &Device) -> Result<(), TrainError> {
    if precision == Precision::Int8 && !backend.is_cpu() {
        return Err(TrainError::Usage(format!(
            "--precision int8 is for CPUs, and the backend is {backend}; use bf16"
        )));
    }
    if precision != Precision::Bf16 || device.supports_dtype(DType::BF16) {
        return Ok(());
    }
    Err(TrainError::Usage(format!(
        "--precision bf16: {backend} does not compute in bfloat16; use f32{}",
        if matches!(backend, Backend::Cuda(_)) { " or tf32" } else { "" }
    )))
}

/// Whether a run in f32 would be faster in bf16 on this processor.
pub(crate) fn is_faster_in_bf16(precision: Precision, backend: Backend) -> bool {
    // The backend ndarray has no bfloat16.
    precision == Precision::F32 && backend == Backend::Flex && multiplies_bfloat16_fast()
}

/// The notice about it; none where products are simply f32.
pub(crate) fn notice(precision: Precision, backend: Backend) -> Option<String> {
    let text = match (precision, backend.is_cpu()) {
        (Precision::F32, _) if is_faster_in_bf16(precision, backend) => {
            "precision f32: this processor multiplies bfloat16 faster, so --precision bf16 needs less time and memory; \
             temper plan measures how much"
        }
        (Precision::F32, _) if !matches!(backend, Backend::Cuda(_)) => return None,
        (Precision::F32, _) => {
            "precision f32: this GPU would round factors to TF32, so each product is computed as three"
        }
        (Precision::Tf32, _) => {
            "precision tf32: products may round their factors to 11 bits, as on GPUs is usual; \
             --precision f32 is exact, bf16 faster"
        }
        (Precision::Int8, _) => "precision int8: weights and their inputs in 8 bits, all else in f32",
        (Precision::Bf16, is_cpu) if !is_cpu || multiplies_bfloat16_fast() => {
            "precision bf16: products in bfloat16, all else in f32"
        }
        (Precision::Bf16, _) => {
            "precision bf16: this processor multiplies f32 faster than bfloat16, so training is not faster than in f32; \
             it needs less memory, and text is generated faster"
        }
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in ["auto", "f32", "tf32", "bf16", "int8"] {
            let setting: PrecisionSetting = text.parse().unwrap();
            assert_eq!(setting.to_string(), text);
            assert_eq!(serde_json::to_string(&setting).unwrap(), format!("\"{text}\""));
        }
        assert!("fp16".parse::<PrecisionSetting>().unwrap_err().contains("bf16"));
        assert!("f64".parse::<PrecisionSetting>().unwrap_err().contains("auto, f32, tf32, bf16, int8"));
    }

    #[test]
    fn the_default_is_the_backends_own() {
        let auto = PrecisionSetting::Auto;
        assert_eq!(auto.resolve(Backend::Flex).unwrap(), Precision::F32);
        assert_eq!(auto.resolve(Backend::Cuda(1)).unwrap(), Precision::Tf32);
        let tf32 = PrecisionSetting::Named(Precision::Tf32);
        assert_eq!(tf32.resolve(Backend::Cuda(0)).unwrap(), Precision::Tf32);
        assert_eq!(tf32.resolve(Backend::Ndarray).unwrap_err().exit_code(), 2);
        let is_faster = is_faster_in_bf16(Precision::F32, Backend::Flex);
        assert_eq!(notice(Precision::F32, Backend::Flex).is_some(), is_faster);
        assert!(notice(Precision::F32, Backend::Ndarray).is_none());
        assert!(notice(Precision::F32, Backend::Wgpu).is_none());
        assert!(notice(Precision::Tf32, Backend::Cuda(0)).is_some());
    }
}
