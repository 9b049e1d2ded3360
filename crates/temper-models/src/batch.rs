use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

/// A padded batch of token sequences on a device.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Token ids, `[batch, seq]`.
    pub ids: Tensor<2, Int>,
    /// Segment ids (0 for the first text, 1 for the second), `[batch, seq]`.
    pub type_ids: Tensor<2, Int>,
    /// True where a position is padding, `[batch, seq]`; `None` when no row is padded.
    pub padding: Option<Tensor<2, Bool>>,
    /// Tokens in each row, padding excluded.
    pub lengths: Vec<usize>,
}

impl TokenBatch {
    /// Builds a batch from row-major host data; padding is on the right.
    ///
    /// The tensors never take part in autodiff, so that a frozen layer may run without it.
    ///
    /// # Shapes
    /// - `ids`, `type_ids`: `rows * seq` values, row-major, where `rows` is `lengths.len()`
    ///
    /// # Panics
    /// When the number of values is not `rows * seq`: a mistake of the caller, not of its input.
    pub fn new(ids: &[u32], type_ids: &[u32], lengths: &[u32], seq: usize, device: &Device) -> Self {
        let device = &device.clone().inner();
        let rows = lengths.len();
        let grid = |values: &[u32]| {
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            // [rows * seq] -> [rows, seq]
            Tensor::<2, Int>::from_data(TensorData::new(values, [rows, seq]), device)
        };
        let lengths: Vec<usize> = lengths.iter().map(|&length| length as usize).collect();
        Self { ids: grid(ids), type_ids: grid(type_ids), padding: padding(&lengths, seq, device), lengths }
    }

    /// Rows and padded length.
    pub fn dims(&self) -> [usize; 2] {
        self.ids.dims()
    }
}

fn padding(lengths: &[usize], seq: usize, device: &Device) -> Option<Tensor<2, Bool>> {
    if lengths.iter().all(|&length| length == seq) {
        return None;
    }
    let mask: Vec<bool> =
        lengths.iter().flat_map(|&length| (0..seq).map(move |position| position >= length)).collect();
    Some(Tensor::from_data(TensorData::new(mask, [lengths.len(), seq]), device))
}
