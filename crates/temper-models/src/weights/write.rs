//! Writing parameters back under Hugging Face's names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use temper_files::FileError;

use super::{Layout, Place, join};
use crate::ModelError;
use crate::parameters::PathTracker;

/// A tensor as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    shape: Vec<usize>,
    /// f32, little-endian.
    bytes: Vec<u8>,
}

/// Tensors to write, by name.
pub type StoredTensors = BTreeMap<String, StoredTensor>;

impl StoredTensor {
    /// A tensor of these values in row-major order.
    pub fn new(shape: Vec<usize>, values: &[f32]) -> Self {
        Self { shape, bytes: values.iter().copied().flat_map(f32::to_le_bytes).collect() }
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
            let parts: Option<Vec<&Values>> =
                place.paths.iter().map(|path| collector.tensors.get(path)).collect();
            let parts = parts.ok_or_else(|| ModelError::Unmapped { path: place.paths.join(", ") })?;
            named.insert(place.name.clone(), stored(&parts, &place, groups));
        }
    }
    Ok(named)
}

/// Writes tensors as a safetensors file that transformers and PEFT read.
///
/// The file is complete or absent, also after a power cut.
///
/// # Errors
/// [`ModelError::Write`].
pub fn write_tensors(tensors: &StoredTensors, file: &Path) -> Result<(), ModelError> {
    let failed = |reason: String| ModelError::Write { path: file.into(), reason };
    let views = tensors
        .iter()
        .map(|(name, tensor)| {
            TensorView::new(Dtype::F32, tensor.shape.clone(), &tensor.bytes).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    temper_files::fill(file, |temporary| {
        let path = temporary.path();
        write_views(views, path).map_err(|error| FileError::io(path, error))
    })
    .map_err(|error| failed(error.to_string()))
}

fn write_views(views: Vec<(&str, TensorView<'_>)>, file: &Path) -> std::io::Result<()> {
    // transformers refuses a safetensors file without this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // safetensors makes its file readable by its owner only; others get what the umask says.
    let permissions = std::fs::metadata(file)?.permissions();
    safetensors::serialize_to_file(views, Some(metadata), file).map_err(std::io::Error::other)?;
    std::fs::set_permissions(file, permissions)
}

struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Parameters in the layout that they are stored in.
fn stored(parts: &[&Values], place: &Place, groups: usize) -> StoredTensor {
    let shape = &parts[0].shape;
    let outputs: Vec<usize> = parts.iter().map(|part| part.shape.last().copied().unwrap_or(1)).collect();
    let inputs = if shape.len() == 1 { 1 } else { shape[0] };
    let (mut shape, mut values) = (shape.clone(), parts[0].values.clone());
    if parts.len() > 1 {
        let all: Vec<Vec<f32>> = parts.iter().map(|part| part.values.clone()).collect();
        values = join(&all, inputs, false, &place.fusion.ranges(&outputs, groups));
        if let Some(width) = shape.last_mut() {
            *width = outputs.iter().sum();
        }
    }
    if place.layout == Layout::Transposed {
        let columns = shape[1];
        // [in, out] -> [out, in]
        values = (0..columns)
            .flat_map(|column| (0..inputs).map(move |row| (row, column)))
            .map(|(row, column)| values[row * columns + column])
            .collect();
        shape.reverse();
    }
    if place.layout == Layout::OneRow {
        shape.insert(0, 1);
    }
    StoredTensor::new(shape, &values)
}

struct Collector<W> {
    path: PathTracker,
    wanted: W,
    tensors: BTreeMap<String, Values>,
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
        let values = tensor.into_data().iter::<f32>().collect();
        self.tensors.insert(path, Values { shape, values });
    }
}
