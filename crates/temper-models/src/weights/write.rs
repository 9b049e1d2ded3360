//! Writing parameters back under Hugging Face's names.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::Dtype;
use safetensors::tensor::View;
use temper_files::FileError;

use super::quantized::{self, Outputs};
use super::{Layout, Place, join};
use crate::ModelError;
use crate::parameters::PathTracker;

/// A tensor as it is written. Its values are asked for when it is its turn: no second copy of a model is ever held.
#[derive(Clone)]
pub struct StoredTensor {
    shape: Vec<usize>,
    read: ReadValues,
    /// Of the outputs, where it is stored as integers of 8 bits.
    quantized: Option<(Outputs, Arc<[f32]>)>,
}

/// Gives values in row-major order.
type ReadValues = Arc<dyn Fn() -> Vec<f32> + Send + Sync>;

/// Tensors to write, by name.
pub type StoredTensors = BTreeMap<String, StoredTensor>;

impl StoredTensor {
    /// A tensor of these values in row-major order.
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Self {
        Self { shape, read: Arc::new(move || values.clone()), quantized: None }
    }

    /// A matrix as integers, and their scales.
    pub(crate) fn quantized(&self, outputs: Outputs) -> Option<[Self; 2]> {
        let shape = <[usize; 2]>::try_from(&self.shape[..]).ok()?;
        let scales = quantized::scales(&self.values(), shape, outputs);
        let numbers = Self { quantized: Some((outputs, scales.as_slice().into())), ..self.clone() };
        Some([numbers, Self::new(outputs.scales_shape(shape).into(), scales)])
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values in row-major order.
    pub fn values(&self) -> Vec<f32> {
        (self.read)()
    }
}

/// f32, little-endian, or integers of 8 bits.
impl View for &StoredTensor {
    fn dtype(&self) -> Dtype {
        if self.quantized.is_some() { Dtype::I8 } else { Dtype::F32 }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values = self.values();
        if let Some((outputs, scales)) = &self.quantized {
            let numbers = quantized::quantized(&values, self.shape[1], scales, *outputs);
            return Cow::Owned(bytemuck::cast_vec(numbers));
        }
        Cow::Owned(if cfg!(target_endian = "little") {
            bytemuck::cast_slice(&values).to_vec()
        } else {
            values.into_iter().flat_map(f32::to_le_bytes).collect()
        })
    }

    fn data_len(&self) -> usize {
        let size = if self.quantized.is_some() { size_of::<i8>() } else { size_of::<f32>() };
        self.shape.iter().product::<usize>() * size
    }
}

/// The parameters that `wanted` picks by their path, as they are stored; `place` says where a path is
/// stored, `groups` how fused ones are arranged.
pub(crate) fn stored_tensors<M: Module>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
    place: impl Fn(&str) -> Option<Place>,
    groups: usize,
) -> Result<StoredTensors, ModelError> {
    let mut collector = Collector { path: PathTracker::default(), wanted, tensors: BTreeMap::new() };
    module.visit(&mut collector);
    let mut named = BTreeMap::new();
    for path in collector.tensors.keys() {
        let place = place(path).ok_or_else(|| ModelError::Unmapped { path: path.clone() })?;
        if !named.contains_key(&place.name) {
            let parts: Option<Vec<StoredTensor>> =
                place.paths.iter().map(|path| collector.tensors.get(path).cloned()).collect();
            let parts = parts.ok_or_else(|| ModelError::Unmapped { path: place.paths.join(", ") })?;
            named.insert(place.name.clone(), stored(parts, place, groups));
        }
    }
    Ok(named)
}

/// The parameters that `wanted` picks, by their paths, in their own layout.
pub fn parameters_by_path<M: Module>(module: &M, wanted: impl Fn(&str) -> bool) -> StoredTensors {
    let mut collector = Collector { path: PathTracker::default(), wanted, tensors: BTreeMap::new() };
    module.visit(&mut collector);
    collector.tensors
}

/// Writes tensors as a safetensors file that transformers and PEFT read.
///
/// The file is complete or absent, also after a power cut.
///
/// # Errors
/// [`ModelError::Write`].
pub fn write_tensors(tensors: &StoredTensors, file: &Path) -> Result<(), ModelError> {
    temper_files::fill(file, |temporary| {
        let path = temporary.path();
        write_in_order(tensors, path).map_err(|error| FileError::io(path, error))
    })
    .map_err(|error| ModelError::Write { path: file.into(), reason: error.to_string() })
}

fn write_in_order(tensors: &StoredTensors, file: &Path) -> std::io::Result<()> {
    // transformers refuses a safetensors file without this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // safetensors makes its file readable by its owner only; others get what the umask says.
    let permissions = std::fs::metadata(file)?.permissions();
    safetensors::serialize_to_file(tensors, Some(metadata), file).map_err(std::io::Error::other)?;
    std::fs::set_permissions(file, permissions)
}

/// Parameters in the layout that they are stored in.
fn stored(parts: Vec<StoredTensor>, place: Place, groups: usize) -> StoredTensor {
    let shape = &parts[0].shape;
    let outputs: Vec<usize> = parts.iter().map(|part| part.shape.last().copied().unwrap_or(1)).collect();
    let inputs = if shape.len() == 1 { 1 } else { shape[0] };
    let mut shape = shape.clone();
    if let Some(width) = shape.last_mut().filter(|_| parts.len() > 1) {
        *width = outputs.iter().sum();
    }
    let columns = shape.get(1).copied().unwrap_or_default();
    match place.layout {
        Layout::Same => {}
        Layout::Transposed => shape.reverse(),
        Layout::OneRow => shape.insert(0, 1),
    }
    let read = move || {
        let mut values = match &parts[..] {
            [part] => part.values(),
            parts => {
                let all: Vec<Vec<f32>> = parts.iter().map(StoredTensor::values).collect();
                join(&all, inputs, false, &place.fusion.ranges(&outputs, groups))
            }
        };
        if place.layout == Layout::Transposed {
            // [in, out] -> [out, in]
            values = (0..columns)
                .flat_map(|column| (0..inputs).map(move |row| (row, column)))
                .map(|(row, column)| values[row * columns + column])
                .collect();
        }
        values
    };
    StoredTensor { shape, read: Arc::new(read), quantized: None }
}

struct Collector<W> {
    path: PathTracker,
    wanted: W,
    tensors: BTreeMap<String, StoredTensor>,
}

impl<W: Fn(&str) -> bool> ModuleVisitor for Collector<W> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.path();
        if !(self.wanted)(&path) {
            return;
        }
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let read = move || {
            let data = tensor.clone().into_data();
            data.try_into_vec::<f32>().expect("parameters are f32")
        };
        self.tensors.insert(path, StoredTensor { shape, read: Arc::new(read), quantized: None });
    }
}
