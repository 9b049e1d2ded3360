//! Parameters by path: one vocabulary for all families.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// The path of the module that a visitor is in.
///
/// Variants of enums (the family of a backbone, the kind of a head) and the field that holds the
/// backbone are left out, so that `layers.0.ffn.inner.weight` means the same in every family.
#[derive(Clone, Debug, Default)]
pub struct PathTracker {
    parts: Vec<Option<String>>,
}

impl PathTracker {
    /// To be called from `enter_module` of a visitor or mapper.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        let hidden = container_type.starts_with("Enum:")
            || (self.parts.is_empty() && container_type == "Struct:Model" && name == "backbone");
        self.parts.push((!hidden).then(|| name.to_owned()));
    }

    /// To be called from `exit_module` of a visitor or mapper.
    pub fn exit(&mut self) {
        self.parts.pop();
    }

    /// The path, such as `layers.0.attention.query.weight`.
    pub fn path(&self) -> String {
        self.parts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(".")
    }
}

/// What optimisers know the parameter at a path by, in every process.
pub fn parameter_id(path: &str) -> ParamId {
    ParamId::from(hash_of(path))
}

/// True for a parameter of an adapter, which no checkpoint of a model has.
pub fn is_adapter(path: &str) -> bool {
    path.contains(".adapter.")
}

/// A number that stands for a path in every process: 64-bit FNV-1a.
pub(crate) fn hash_of(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// True for a tensor that no training changes, a buffer in transformers: its own name says so.
pub(crate) fn is_fixed(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|name| name.starts_with("fixed_"))
}

/// One tensor of a model that is stored.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its path in the shared vocabulary.
    pub path: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// What optimisers and gradients know it by.
    pub id: ParamId,
    /// Whether it asks for a gradient.
    pub trains: bool,
}

impl Parameter {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether no training may change it: BART's `head.fixed_bias`.
    pub fn is_fixed(&self) -> bool {
        is_fixed(&self.path)
    }
}

/// Every parameter of a module, in the order of its fields.
#[derive(Clone, Debug)]
pub struct ParameterTable {
    /// The rows.
    pub parameters: Vec<Parameter>,
}

impl ParameterTable {
    /// Lists a module's parameters without allocating those that are not loaded yet.
    pub fn of<M: Module>(module: &M) -> Self {
        let mut lister = Lister { path: PathTracker::default(), parameters: Vec::new() };
        module.visit(&mut lister);
        Self { parameters: lister.parameters }
    }

    /// Number of elements in all parameters.
    pub fn total(&self) -> usize {
        self.parameters.iter().map(Parameter::count).sum()
    }

    /// Number of elements in the parameters that train.
    pub fn trainable(&self) -> usize {
        self.parameters.iter().filter(|parameter| parameter.trains).map(Parameter::count).sum()
    }
}

struct Lister {
    path: PathTracker,
    parameters: Vec<Parameter>,
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.parameters.push(Parameter {
            path: self.path.path(),
            shape: param.lazy_shape().as_slice().to_vec(),
            id: param.id,
            trains: param.is_initialized() && param.is_require_grad(),
        });
    }
}
