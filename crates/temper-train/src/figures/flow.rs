//! One text on its way through a model: its tokens, which of them each token attends to, and the norms of its hidden states.

use burn::tensor::{Device, Tensor};
use temper_data::{EncodeSettings, TextTokenizer, Truncation, encode_all};
use temper_models::{AnyBackbone, Backbone, Mode, Pass, Rows, TokenBatch};

use crate::TrainError;

/// Tokens that a figure has room for.
pub(crate) const MOST_TOKENS: usize = 20;

/// What was computed of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Flow {
    /// Each token and its id.
    pub(crate) tokens: Vec<(String, u32)>,
    /// Euclidean norms, `[states][tokens]`: of the output of the embeddings and of every layer, first to last; of an
    /// encoder-decoder model the encoder's first.
    pub(crate) norms: Vec<Vec<f64>>,
    /// `[tokens][tokens]`: whether the token of the row attends to that of the column in layer 0.
    pub(crate) attends: Vec<Vec<bool>>,
}

impl Flow {
    /// Computes it.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a text that cannot be encoded, [`TrainError::Usage`] for one of more than
    /// [`MOST_TOKENS`] tokens.
    pub(crate) fn of(
        backbone: &AnyBackbone,
        tokenizer: &TextTokenizer,
        text: &str,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let settings = EncodeSettings { max_length: MOST_TOKENS + 1, truncation: Truncation::Head };
        let encoded = encode_all(tokenizer, &[(text, None)], &settings, None)?;
        let Some(text) = encoded.items.first().filter(|text| text.ids.len() <= MOST_TOKENS) else {
            return Err(too_long());
        };
        let named = |&id: &u32| (tokenizer.token(id).unwrap_or_else(|| format!("#{id}")), id);
        let whole = batch(&text.ids, &text.type_ids, device);
        let norms = backbone.hidden_states(&whole, Mode::Evaluate).into_iter().map(norms).collect();
        let vocabulary = backbone.token_table().dims()[0];
        let attends = attends(backbone, (&text.ids, &text.type_ids), vocabulary, device);
        Ok(Self { tokens: text.ids.iter().map(named).collect(), norms, attends })
    }
}

/// The error for a text of more than [`MOST_TOKENS`] tokens.
pub(super) fn too_long() -> TrainError {
    TrainError::Usage(format!(
        "the text has more than the {MOST_TOKENS} tokens that a figure has room for; give a shorter --text"
    ))
}

pub(super) fn batch(ids: &[u32], types: &[u32], device: &Device) -> TokenBatch {
    TokenBatch::new(ids, types, &[ids.len() as u32], device)
}

/// The Euclidean norm of each row. Shapes: `[rows, width]`; output: `[rows]`
fn norms(state: Tensor<2>) -> Vec<f64> {
    rows(state).iter().map(|row| row.iter().map(|value| value.powi(2)).sum::<f64>().sqrt()).collect()
}

/// Shapes: `[rows, width]`; output: `[rows][width]`
pub(super) fn rows(state: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, width] = state.dims();
    let values: Vec<f64> = state.into_data().iter::<f64>().collect();
    values.chunks(width).map(<[f64]>::to_vec).collect()
}

/// Which tokens attend to which, as layer 0 computes it: each token is replaced by another in turn, and those tokens
/// attend to it whose output of layer 0 changes.
fn attends(
    backbone: &AnyBackbone,
    (ids, types): (&[u32], &[u32]),
    vocabulary: usize,
    device: &Device,
) -> Vec<Vec<bool>> {
    let first_layer = |ids: &[u32]| {
        let mut state = None;
        let watch = &mut |shown: &Tensor<2>| state = Some(shown.clone());
        let pass = Pass { rows: Rows::All, mode: Mode::Evaluate, cache: None, watch, until: Some(1) };
        backbone.run(&batch(ids, types, device), pass);
        state.map_or_else(Vec::new, rows)
    };
    let before = first_layer(ids);
    let changed: Vec<Vec<bool>> = (0..ids.len())
        .map(|place| {
            let mut others = ids.to_vec();
            others[place] = (others[place] + 1) % vocabulary as u32;
            first_layer(&others).iter().zip(&before).map(|(after, before)| after != before).collect()
        })
        .collect();
    (0..ids.len()).map(|row| changed.iter().map(|column| column[row]).collect()).collect()
}
