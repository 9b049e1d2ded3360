//! Weights stored as integers of 8 bits with a scale for each output, in the layout of the library compressed-tensors
//! (0.20, format `int-quantized`): `NAME` holds the integers and `NAME_scale` what they are multiplied by, `[out, 1]` for a
//! matrix `[out, in]`.

use serde_json::{Value, json};

/// The largest integer; its opposite is the smallest.
const LARGEST: f32 = 127.0;

/// The name of the scales of a quantised tensor.
pub(crate) fn scale_name(name: &str) -> String {
    format!("{name}_scale")
}

/// Along which axis of a stored matrix its outputs are: each has a scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// `[out, in]`
    Rows,
    /// `[in, out]`
    Columns,
}

impl Outputs {
    /// The shape of the scales of a matrix.
    pub(crate) fn scales_shape(self, [rows, columns]: [usize; 2]) -> [usize; 2] {
        match self {
            Self::Rows => [rows, 1],
            Self::Columns => [1, columns],
        }
    }

    /// The output of an element.
    fn of(self, element: usize, columns: usize) -> usize {
        match self {
            Self::Rows => element / columns,
            Self::Columns => element % columns,
        }
    }
}

/// The scale of each output: its largest absolute value is 127 of them. A NaN makes it NaN, so that it stays visible.
pub(crate) fn scales(values: &[f32], [rows, columns]: [usize; 2], outputs: Outputs) -> Vec<f32> {
    let count = outputs.scales_shape([rows, columns]).into_iter().product();
    let mut scales = vec![0.0_f32; count];
    for (element, value) in values.iter().enumerate() {
        let scale = &mut scales[outputs.of(element, columns)];
        if value.is_nan() || value.abs() > *scale {
            *scale = value.abs();
        }
    }
    scales.iter().map(|largest| largest / LARGEST).collect()
}

/// The nearest integers, of two the even one; zero where the scale is.
pub(crate) fn quantized(values: &[f32], columns: usize, scales: &[f32], outputs: Outputs) -> Vec<i8> {
    let number = |(element, value): (usize, &f32)| {
        let scale = scales[outputs.of(element, columns)];
        if scale > 0.0 { (value / scale).round_ties_even() as i8 } else { 0 }
    };
    values.iter().enumerate().map(number).collect()
}

/// The values that integers and scales stand for; `None` where the shapes do not fit each other.
pub(crate) fn dequantized(
    numbers: &[i8],
    shape: &[usize],
    scales: &[f32],
    of_scales: &[usize],
) -> Option<Vec<f32>> {
    let [rows, columns] = <[usize; 2]>::try_from(shape).ok()?;
    let outputs = [Outputs::Rows, Outputs::Columns]
        .into_iter()
        .find(|outputs| of_scales == outputs.scales_shape([rows, columns]).as_slice())
        // Old files have a vector.
        .or_else(|| (of_scales == [rows].as_slice()).then_some(Outputs::Rows))?;
    let value = |(element, number): (usize, &i8)| f32::from(*number) * scales[outputs.of(element, columns)];
    Some(numbers.iter().enumerate().map(value).collect())
}

/// What config.json says of such weights: integers of 8 bits by output, and inputs quantised by token when they are
/// multiplied. `embedding` is the module of the quantised embedding, `unquantized` are those of other linear maps.
pub(crate) fn description(embedding: &str, unquantized: &[String]) -> Value {
    let numbers = |strategy: &str, is_dynamic: bool| {
        json!({
            "num_bits": 8, "type": "int", "symmetric": true, "strategy": strategy, "dynamic": is_dynamic,
            "group_size": null, "block_structure": null, "actorder": null, "observer_kwargs": {},
        })
    };
    json!({
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": numbers("channel", false),
                "input_activations": numbers("token", true),
                "output_activations": null,
            },
            "group_1": {
                "targets": [embedding],
                "weights": numbers("channel", false),
                "input_activations": null,
                "output_activations": null,
            },
        },
        "ignore": unquantized,
        // transformers then makes floats of them; it has no embeddings of integers.
        "run_compressed": false,
        "kv_cache_scheme": null,
        "global_compression_ratio": null,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_within_half_a_step_of_their_scale() {
        let values: Vec<f32> = (0..35).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        for outputs in [Outputs::Rows, Outputs::Columns] {
            let scales = scales(&values, [5, 7], outputs);
            let numbers = quantized(&values, 7, &scales, outputs);
            let shape = outputs.scales_shape([5, 7]);
            let back = dequantized(&numbers, &[5, 7], &scales, &shape).expect("shapes that fit");
            for (element, (back, value)) in back.iter().zip(&values).enumerate() {
                let scale = scales[outputs.of(element, 7)];
                assert!((back - value).abs() <= 0.5 * scale * 1.0001, "{back}, not {value}");
            }
            // Quantised again they are the same.
            assert_eq!(quantized(&back, 7, &self::scales(&back, [5, 7], outputs), outputs), numbers);
            assert!(numbers.iter().any(|number| number.abs() == 127));
        }
    }

    #[test]
    fn what_is_not_finite_stays_visible() {
        for odd in [f32::NAN, f32::INFINITY] {
            let values = [1.0, odd, 2.0, 3.0];
            let scales = scales(&values, [2, 2], Outputs::Rows);
            let numbers = quantized(&values, 2, &scales, Outputs::Rows);
            let back = dequantized(&numbers, &[2, 2], &scales, &[2, 1]).expect("shapes that fit");
            assert!(
                back[..2].iter().any(|value| value.is_nan())
                    && back[2..].iter().all(|value| value.is_finite())
            );
        }
    }

    #[test]
    fn an_output_of_zeros_stays_zero_and_wrong_shapes_are_told() {
        let scales = scales(&[0.0, 0.0, 1.0, -2.0], [2, 2], Outputs::Rows);
        assert_eq!(quantized(&[0.0, 0.0, 1.0, -2.0], 2, &scales, Outputs::Rows), [0, 0, 64, -127]);
        for (shape, of_scales) in
            [(&[4][..], &[4][..]), (&[2, 2], &[3, 1]), (&[2, 2], &[2, 2]), (&[2, 2], &[])]
        {
            assert!(dequantized(&[0; 4], shape, &[1.0; 4], of_scales).is_none(), "{shape:?} {of_scales:?}");
        }
        assert!(dequantized(&[0; 4], &[2, 2], &[1.0; 2], &[2]).is_some());
    }
}
