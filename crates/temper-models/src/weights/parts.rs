//! The parameters that one stored tensor holds side by side.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::TensorData;

use super::{Checkpoint, Layout, Place, Source, split};
use crate::{ModelError, Parameter};

/// The shape of the tensor that holds these parameters side by side.
pub(crate) fn stored_shape<'a>(
    parameters: impl ExactSizeIterator<Item = &'a Parameter> + Clone,
    layout: Layout,
) -> Vec<usize> {
    let count = parameters.len();
    let mut shape = parameters.clone().next().map(|first| first.shape.clone()).unwrap_or_default();
    if let Some(width) = shape.last_mut().filter(|_| count > 1) {
        *width = parameters.map(outputs).sum();
    }
    match layout {
        Layout::Same => {}
        Layout::Transposed => shape.reverse(),
        Layout::OneRow => shape.insert(0, 1),
    }
    shape
}

/// Outputs of a linear map: the last axis in our layout.
fn outputs(parameter: &Parameter) -> usize {
    parameter.shape.last().copied().unwrap_or(1)
}

/// A stored tensor whose parts are read when the first of them is wanted.
pub(crate) struct StoredParts<'a> {
    checkpoint: &'a Checkpoint,
    /// In the checkpoint.
    name: String,
    place: Place,
    /// Those of the place.
    parameters: Vec<Parameter>,
    /// How fused parameters are arranged.
    groups: usize,
    /// Parts that were read and not taken yet; none before.
    read: Vec<Option<TensorData>>,
}

impl<'a> StoredParts<'a> {
    pub(crate) fn new(
        checkpoint: &'a Checkpoint,
        name: String,
        place: Place,
        parameters: Vec<Parameter>,
        groups: usize,
    ) -> Self {
        Self { checkpoint, name, place, parameters, groups, read: Vec::new() }
    }

    /// A source for each parameter, with its path.
    pub(crate) fn sources(self) -> Vec<(String, Source<'a>)> {
        let (paths, layout) = (self.place.paths.clone(), self.place.layout);
        let all = Rc::new(RefCell::new(self));
        let source = |(part, path): (usize, String)| {
            let all = all.clone();
            (path, Source { read: Box::new(move || all.borrow_mut().take(part)), layout })
        };
        paths.into_iter().enumerate().map(source).collect()
    }

    fn take(&mut self, part: usize) -> Result<TensorData, ModelError> {
        if self.read.is_empty() {
            self.read = self.parts()?.into_iter().map(Some).collect();
        }
        Ok(self.read[part].take().expect("each part is taken once"))
    }

    /// The values of each parameter, in the stored layout.
    fn parts(&self) -> Result<Vec<TensorData>, ModelError> {
        let data = self.checkpoint.values(&self.name)?;
        if self.parameters.len() == 1 {
            return Ok(vec![data]);
        }
        let outputs: Vec<usize> = self.parameters.iter().map(outputs).collect();
        let values: Vec<f32> = data.iter::<f32>().collect();
        let ranges = self.place.fusion.ranges(&outputs, self.groups);
        let is_transposed = self.place.layout == Layout::Transposed;
        let parts = split(&values, outputs.iter().sum(), is_transposed, &ranges);
        let shaped = parts.into_iter().zip(&self.parameters).map(|(values, parameter)| {
            let mut shape = parameter.shape.clone();
            if is_transposed {
                shape.reverse();
            }
            TensorData::new(values, shape)
        });
        Ok(shaped.collect())
    }
}
