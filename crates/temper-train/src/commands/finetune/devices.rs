//! The devices that compute a run.

use burn::tensor::Device;
use temper_models::{Backbone, Model, Precision};

use crate::device::backend::Backend;
use crate::run::record::RunRequest;

use crate::{TrainError, device::precision};

/// The backend's device, or the GPUs that share every step; the model is on the first.
///
/// # Errors
/// [`TrainError::Usage`] for GPUs of a backend that has none to name, those of [`Backend::device`], and for a
/// precision that a device lacks.
pub(super) fn of(request: &RunRequest) -> Result<Vec<Device>, TrainError> {
    let backend: Backend = request.backend.parse().map_err(TrainError::Usage)?;
    let backends = match (backend, request.devices.as_slice()) {
        (backend, []) => vec![backend],
        (Backend::Cuda(0), gpus) => gpus.iter().map(|&gpu| Backend::Cuda(gpu)).collect(),
        (backend, _) => {
            return Err(TrainError::Usage(format!(
                "--devices names the GPUs of --backend cuda, and the backend is {backend}"
            )));
        }
    };
    let precision = request.settings.precision.named();
    if precision == Precision::Int8 {
        let text = "--precision int8 is for models that are used, and training needs more exact numbers; train in f32 or bf16";
        return Err(TrainError::Usage(text.into()));
    }
    let device = |backend: Backend| {
        let device = backend.device()?.autodiff();
        precision::check(precision, backend, &device)?;
        Ok(device)
    };
    backends.into_iter().map(device).collect()
}

/// GPUs, none of them named twice.
///
/// # Errors
/// [`TrainError::Usage`].
pub(super) fn distinct(devices: &[usize]) -> Result<Vec<usize>, TrainError> {
    match devices.iter().enumerate().find(|(place, gpu)| devices[..*place].contains(gpu)) {
        Some((_, gpu)) => Err(TrainError::Usage(format!("--devices names GPU {gpu} twice"))),
        None => Ok(devices.to_vec()),
    }
}

/// Refuses what would compute wrong gradients: CubeCL draws the masks of all GPUs from one generator, so that a
/// layer that is computed again on one would draw others while another is drawing, too.
///
/// # Errors
/// [`TrainError::Usage`].
pub(super) fn check_masks(request: &RunRequest, model: &Model) -> Result<(), TrainError> {
    let settings = &request.settings;
    let draws_again = request.devices.len() > 1 && settings.gradient_checkpointing;
    if draws_again && (model.backbone.drops_out() || settings.lora_dropout > 0.0) {
        return Err(TrainError::Usage(
            "--gradient-checkpointing on several --devices needs a model without dropout: layers that are computed \
             again would draw other masks; leave one of the two out"
                .into(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use temper_models::HeadRequest;

    use super::*;
    use crate::{ColumnOptions, Preset, Settings, SourceOptions};

    fn request(devices: &[usize]) -> RunRequest {
        RunRequest {
            model: "bert".into(),
            dataset: "imdb".into(),
            from_scratch: None,
            columns: ColumnOptions::default(),
            task: None,
            trained_columns: None,
            backend: "cuda".into(),
            devices: devices.into(),
            preset: Preset::Full,
            sources: SourceOptions::default(),
            settings: Settings { gradient_checkpointing: true, ..Settings::default() },
        }
    }

    #[test]
    fn masks_that_several_gpus_would_draw_again_are_refused() {
        let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/zoo");
        let load = |name: &str| {
            Model::load(&zoo.join(name), &HeadRequest::FromConfig, &Device::flex()).unwrap().model
        };
        // LLaMA's layers have no dropout.
        let llama = load("llama-sequence-classification");
        check_masks(&request(&[0, 1]), &llama).unwrap();
        let mut dropping = request(&[0, 1]);
        dropping.settings.lora_dropout = 0.1;
        assert_eq!(check_masks(&dropping, &llama).unwrap_err().exit_code(), 2);
        dropping.devices = vec![0];
        check_masks(&dropping, &llama).unwrap();
        dropping.devices = vec![0, 1];
        dropping.settings.gradient_checkpointing = false;
        check_masks(&dropping, &llama).unwrap();
    }
}
