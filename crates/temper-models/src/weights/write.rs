//! Writing parameters back under Hugging Face's names.

use std::collections::HashMap;
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::Layout;
use crate::ModelError;
use crate::parameters::PathTracker;

/// Writes every parameter as f32; `stored_name` gives a path's name and layout in the file.
///
/// The file is complete or absent: it is written beside its place, flushed and renamed.
pub(crate) fn write_safetensors<M: Module>(
    module: &M,
    file: &Path,
    stored_name: impl Fn(&str) -> Option<(String, Layout)>,
) -> Result<(), ModelError> {
    let mut collector = Collector { path: PathTracker::default(), tensors: Vec::new() };
    module.visit(&mut collector);
    let mut named = Vec::with_capacity(collector.tensors.len());
    for (path, tensor) in collector.tensors {
        let (name, layout) = stored_name(&path).ok_or_else(|| ModelError::Unmapped { path: path.clone() })?;
        named.push((name, tensor.stored(layout)));
    }
    let failed = |reason: String| ModelError::Write { path: file.into(), reason };
    let views = named
        .iter()
        .map(|(name, (shape, bytes))| {
            TensorView::new(Dtype::F32, shape.clone(), bytes).map(|view| (name.as_str(), view))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    let partial = file.with_extension("safetensors.partial");
    write_views(views, &partial)
        .and_then(|()| std::fs::rename(&partial, file))
        .map_err(|error| failed(error.to_string()))
        .inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

fn write_views(views: Vec<(&str, TensorView<'_>)>, file: &Path) -> std::io::Result<()> {
    // transformers refuses a safetensors file without this mark.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // safetensors makes its file readable by its owner only; others get what the umask says.
    let permissions = std::fs::File::create(file)?.metadata()?.permissions();
    safetensors::serialize_to_file(views, Some(metadata), file).map_err(std::io::Error::other)?;
    std::fs::set_permissions(file, permissions)?;
    std::fs::File::open(file)?.sync_all()
}

struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Values {
    /// Shape and little-endian bytes in the stored layout.
    fn stored(self, layout: Layout) -> (Vec<usize>, Vec<u8>) {
        let bytes = |values: &mut dyn Iterator<Item = f32>| values.flat_map(f32::to_le_bytes).collect();
        match layout {
            Layout::Same => (self.shape, bytes(&mut self.values.into_iter())),
            Layout::Transposed => {
                let (rows, columns) = (self.shape[0], self.shape[1]);
                // [in, out] -> [out, in]
                let values = &self.values;
                let mut transposed =
                    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column]));
                (vec![columns, rows], bytes(&mut transposed))
            }
        }
    }
}

struct Collector {
    path: PathTracker,
    tensors: Vec<(String, Values)>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        let shape = tensor.dims().to_vec();
        let values = tensor.into_data().iter::<f32>().collect();
        self.tensors.push((self.path.path(), Values { shape, values }));
    }
}
