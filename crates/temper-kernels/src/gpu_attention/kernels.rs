//! The passes of attention on GPUs.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
use burn_cubecl::CubeBackend;

use super::call::{Attended, Call, Kept, Operands, attended_specs, gradient_specs};
use crate::gpu::{self, TiledInputs, TiledOutputs};
use crate::optional::Optional;

/// The two passes.
#[backend_extension(Cube, Fusion)]
pub(crate) trait AttentionKernels: Backend {
    #[fusion(meta = |operands, call| attended_specs(operands, call))]
    fn attention_forward(#[extension_type] operands: Operands<Self>, call: Call) -> Attended<Self>;

    /// The gradients of query, key and value.
    #[fusion(meta = |_, _, call| gradient_specs(call))]
    fn attention_backward(
        gradient: FloatTensor<Self>,
        #[extension_type] kept: Kept<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl AttentionKernels for CubeBackend {
    fn attention_forward(operands: Operands<Self>, call: Call) -> Attended<Self> {
        if call.is_tiled { tiled_forward(operands, call) } else { rectangle_forward(operands, call) }
    }

    fn attention_backward(
        gradient: FloatTensor<Self>,
        kept: Kept<Self>,
        call: Call,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        if call.is_tiled {
            tiled_backward(gradient, kept, call)
        } else {
            rectangle_backward(gradient, kept, call)
        }
    }
}

fn tiled_forward(operands: Operands<CubeBackend>, call: Call) -> Attended<CubeBackend> {
    let Operands { query, key, value, query_bounds, key_bounds, offsets, slopes } = operands;
    let inputs = TiledInputs {
        query: TiledInputs::prepared(query),
        key: TiledInputs::prepared(key),
        value: TiledInputs::prepared(value),
        query_bounds,
        key_bounds,
        offsets,
        slopes: slopes.into_option(),
        sight: call.sight,
        queries: call.queries,
        keys: call.keys,
    };
    let [output, weights] = gpu::tiled_attention(&inputs);
    let TiledInputs { query, key, value, query_bounds, key_bounds, offsets, slopes, .. } = inputs;
    let (kept_output, slopes) = (Optional::Present(output.clone()), Optional::of(slopes));
    let kept =
        Kept { weights, query, key, value, output: kept_output, query_bounds, key_bounds, offsets, slopes };
    Attended { output, kept }
}

fn tiled_backward(
    gradient: FloatTensor<CubeBackend>,
    kept: Kept<CubeBackend>,
    call: Call,
) -> (FloatTensor<CubeBackend>, FloatTensor<CubeBackend>, FloatTensor<CubeBackend>) {
    let Kept { weights, query, key, value, output, query_bounds, key_bounds, offsets, slopes } = kept;
    let Call { sight, queries, keys, dtypes: [of_query, of_key, of_value], .. } = call;
    let slopes = slopes.into_option();
    let inputs =
        TiledInputs { query, key, value, query_bounds, key_bounds, offsets, slopes, sight, queries, keys };
    let outputs = TiledOutputs {
        output: output.into_option().expect("the tiled forward pass keeps its output"),
        gradient: TiledInputs::prepared(gradient),
        logarithms: weights,
    };
    let [query, products] = gpu::gradient_of_queries(&inputs, &outputs, of_query);
    let [key, value] = gpu::gradients_of_keys(&inputs, &outputs, products, [of_key, of_value]);
    (query, key, value)
}

fn rectangle_forward(operands: Operands<CubeBackend>, call: Call) -> Attended<CubeBackend> {
    let Operands { query, key, value, query_bounds, key_bounds, offsets, slopes } = operands;
    let Call { sight, precision, queries, keys, .. } = call;
    let dtype = call.dtype();
    let query = gpu::spread(query, query_bounds.clone(), queries, dtype);
    let [key, value] = [key, value].map(|x| gpu::spread(x, key_bounds.clone(), keys, dtype));
    // [.., queries, head], [.., head, keys] -> [.., queries, keys]
    let scores = gpu::product(query.clone(), gpu::transposed(key.clone()), precision, dtype);
    let lists = [query_bounds.clone(), key_bounds.clone(), offsets.clone()];
    let slopes = slopes.into_option();
    let [weights, dropped] = gpu::softmax(scores, lists, slopes.clone(), sight);
    // [.., queries, keys], [.., keys, head] -> [.., queries, head]
    let mixed = gpu::product(dropped, value.clone(), precision, dtype);
    let output = gpu::gather(mixed, query_bounds.clone(), queries, dtype);
    let (kept_output, slopes) = (Optional::Absent, Optional::of(slopes));
    let kept =
        Kept { weights, query, key, value, output: kept_output, query_bounds, key_bounds, offsets, slopes };
    Attended { output, kept }
}

fn rectangle_backward(
    gradient: FloatTensor<CubeBackend>,
    kept: Kept<CubeBackend>,
    call: Call,
) -> (FloatTensor<CubeBackend>, FloatTensor<CubeBackend>, FloatTensor<CubeBackend>) {
    let Kept { weights, query, key, value, query_bounds, key_bounds, .. } = kept;
    let Call { sight, precision, queries, keys, dtypes: [of_query, of_key, of_value], .. } = call;
    let product = |left, right| gpu::product(left, right, precision, call.dtype());
    let gradient = gpu::spread(gradient, query_bounds.clone(), queries, call.dtype());
    // [.., queries, head], [.., head, keys] -> [.., queries, keys]
    let of_dropped = product(gradient.clone(), gpu::transposed(value));
    let [of_scores, dropped] = gpu::softmax_backward(weights, of_dropped, query_bounds.clone(), sight);
    // [.., keys, queries], [.., queries, head] -> [.., keys, head]
    let value = product(gpu::transposed(dropped), gradient);
    let query_gradient = product(of_scores.clone(), key);
    let key = product(gpu::transposed(of_scores), query);
    (
        gpu::gather(query_gradient, query_bounds, queries, of_query),
        gpu::gather(key, key_bounds.clone(), keys, of_key),
        gpu::gather(value, key_bounds, keys, of_value),
    )
}
