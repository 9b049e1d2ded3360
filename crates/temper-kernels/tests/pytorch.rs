//! The fused operations against PyTorch 2.15, from the fixture that `xtask fixtures` writes.

mod common;

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{assert_close, assert_close_by_size, numbers};
use safetensors::{Dtype, SafeTensors};
use temper_kernels::{
    Activation, AdamW, AdamWTensors, Attention, AttentionHeads, AttentionLayout, AttentionPattern, Norm,
    Precision, RelativeBuckets, RelativeTerms, Residual, RowIndex, Sequences, adamw_step, attention,
    cross_entropy, embedding, gate, linear, norm, sum_of_squares,
};

const ACTIVATIONS: [(&str, Activation); 5] = [
    ("gelu", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("silu", Activation::Silu),
    ("tanh", Activation::Tanh),
];
const EPSILON: f32 = 1e-5;
const LENGTHS: [usize; 3] = [5, 1, 9];
const QUERY_LENGTHS: [usize; 3] = [3, 4, 1];
const HEADS: usize = 4;
const HEAD: usize = 6;
const WINDOW: usize = 3;

struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kernels.safetensors");
        Self { bytes: std::fs::read(path).expect("the fixture is committed") }
    }

    fn with_bytes<R>(&self, name: &str, dtype: Dtype, read: impl FnOnce(&[usize], &[u8]) -> R) -> R {
        let tensors = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let tensor = tensors.tensor(name).expect(name);
        assert_eq!(tensor.dtype(), dtype, "{name}");
        read(tensor.shape(), tensor.data())
    }

    fn integers(&self, name: &str) -> Vec<i64> {
        self.with_bytes(name, Dtype::I64, |_, bytes| {
            bytes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
        })
    }

    /// A vector is a matrix of one row here, a number one of a single element.
    fn matrix(&self, name: &str, device: &Device) -> Tensor<2> {
        self.with_bytes(name, Dtype::F32, |shape, bytes| {
            let values: Vec<f32> =
                bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            let width = shape.last().copied().unwrap_or(1);
            let rows = values.len() / width;
            Tensor::from_data(TensorData::new(values, [rows, width]), device)
        })
    }

    fn values(&self, name: &str) -> Vec<f64> {
        numbers(self.matrix(name, &Device::flex()))
    }

    /// Calls an operation on the inputs of a case and compares its output, with and without
    /// gradients, and the gradients.
    fn check(&self, case: &str, inputs: &[&str], operation: impl Fn(&[Tensor<2>]) -> Tensor<2>) {
        let read = |device: &Device| -> Vec<_> {
            inputs.iter().map(|input| self.matrix(&format!("{case}/input.{input}"), device)).collect()
        };
        let expected = self.values(&format!("{case}/output"));
        assert_close(case, &numbers(operation(&read(&Device::flex()))), &expected);

        let device = Device::flex().autodiff();
        let tensors: Vec<_> = read(&device).into_iter().map(Tensor::require_grad).collect();
        let output = operation(&tensors);
        assert_close(case, &numbers(output.clone()), &expected);
        let incoming = self.matrix(&format!("{case}/incoming"), &device);
        let gradients = (output * incoming).sum().backward();
        for (input, tensor) in inputs.iter().zip(tensors) {
            let name = format!("{case}/gradient.{input}");
            let gradient = numbers(tensor.grad(&gradients).expect(&name));
            assert_close(&name, &gradient, &self.values(&name));
        }
    }
}

/// `[1, width]` -> `[width]`
fn vector(tensor: &Tensor<2>) -> Tensor<1> {
    tensor.clone().reshape([tensor.dims()[1]])
}

fn integers(values: &[i64]) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &Device::flex())
}

#[test]
fn linear_is_pytorchs() {
    let activations = ACTIVATIONS.map(|(name, activation)| (format!("linear.{name}"), Some(activation)));
    for (case, activation) in activations.into_iter().chain([("linear".into(), None)]) {
        Fixture::read().check(&case, &["x", "weight", "bias"], |tensors| {
            linear(
                tensors[0].clone(),
                tensors[1].clone(),
                Some(vector(&tensors[2])),
                activation,
                Precision::F32,
            )
        });
    }
}

#[test]
fn gate_is_pytorchs() {
    for (name, activation) in ACTIVATIONS {
        Fixture::read().check(&format!("gate.{name}"), &["gate", "up"], |tensors| {
            gate(tensors[0].clone(), tensors[1].clone(), activation)
        });
    }
}

#[test]
fn norms_are_pytorchs() {
    let fixture = Fixture::read();
    fixture.check("layer_norm", &["x", "residual", "gain", "bias"], |tensors| {
        let residual = Residual { tensor: tensors[1].clone(), dropout: None };
        let (gain, bias) = (vector(&tensors[2]), vector(&tensors[3]));
        norm(tensors[0].clone(), Some(residual), gain, Some(bias), Norm::Layer { epsilon: EPSILON })
    });
    fixture.check("rms_norm", &["x", "gain"], |tensors| {
        norm(tensors[0].clone(), None, vector(&tensors[1]), None, Norm::Rms { epsilon: EPSILON })
    });
}

/// Scaled as PyTorch does by default.
fn full_attention() -> Attention {
    Attention {
        heads: AttentionHeads { query_heads: HEADS, key_heads: HEADS, head: HEAD },
        pattern: AttentionPattern {
            causal: false,
            window: None,
            alibi: None,
            alibi_in_bfloat16: false,
            soft_cap: None,
            relative: None,
            scale: 1.0 / (HEAD as f32).sqrt(),
        },
        layout: AttentionLayout::full(Sequences::of_lengths(&LENGTHS)),
        dropout: None,
        precision: Precision::F32,
    }
}

fn check_attention(case: &str, change: impl Fn(&Fixture, &mut Attention)) {
    let fixture = Fixture::read();
    let mut call = full_attention();
    change(&fixture, &mut call);
    let inputs = ["query", "key", "value", "table"];
    let inputs = &inputs[..if call.pattern.relative.is_some() { 4 } else { 3 }];
    fixture.check(&format!("attention.{case}"), inputs, |tensors| {
        let [query, key, value] = [0, 1, 2].map(|index| tensors[index].clone());
        attention(query, key, value, tensors.get(3).cloned().map(RelativeTerms::Table), call.clone())
    });
}

#[test]
fn attention_is_pytorchs() {
    check_attention("full", |_, _| {});
    check_attention("causal", |_, call| call.pattern.causal = true);
    check_attention("window", |_, call| {
        call.pattern.causal = true;
        call.pattern.window = Some(WINDOW);
    });
    check_attention("alibi", |fixture, call| {
        let slopes = fixture.values("attention.alibi/slopes");
        call.pattern.causal = true;
        call.pattern.alibi = Some(slopes.into_iter().map(|slope| slope as f32).collect());
    });
    check_attention("grouped", |_, call| {
        call.pattern.causal = true;
        call.heads.key_heads = HEADS / 2;
    });
    check_attention("cross", |_, call| call.layout.queries = Sequences::of_lengths(&QUERY_LENGTHS));
    check_attention("t5", |fixture, call| {
        let buckets = fixture.integers("attention.t5/buckets");
        let zero_at = buckets.len() / 2;
        let buckets = buckets.into_iter().map(|bucket| bucket as u32).collect();
        call.pattern.relative = Some(RelativeBuckets { buckets, zero_at });
        call.pattern.scale = 1.0;
    });
}

#[test]
fn embedding_is_pytorchs() {
    let fixture = Fixture::read();
    let ids = fixture.integers("embedding/ids");
    let ids = RowIndex::new(ids.into_iter().map(|id| id as i32).collect(), &Device::flex());
    fixture.check("embedding", &["table"], |tensors| embedding(tensors[0].clone(), &ids));
}

#[test]
fn cross_entropy_is_pytorchs() {
    let fixture = Fixture::read();
    let targets = fixture.integers("cross_entropy/targets");
    assert!(targets.contains(&-100));
    fixture.check("cross_entropy", &["logits"], |tensors| {
        cross_entropy(tensors[0].clone(), integers(&targets)).sum().reshape([1, 1])
    });
}

/// Three steps of a parameter that decays and one that does not. The norm of the last gradient is
/// below the bound, those of the others are above.
#[test]
fn adamw_is_pytorchs() {
    const NAMES: [&str; 2] = ["weight", "bias"];
    const MOST: f64 = 1.0;
    let fixture = Fixture::read();
    let read = |name: String| fixture.matrix(&format!("adamw/{name}"), &Device::flex());
    let mut parameters = NAMES.map(|name| {
        let parameter = read(format!("before.{name}"));
        let (first_moment, second_moment) = (parameter.zeros_like(), parameter.zeros_like());
        AdamWTensors { parameter, first_moment, second_moment }
    });
    for step in 1..=3 {
        let gradients = NAMES.map(|name| read(format!("{step}.gradient.{name}")));
        let squares = gradients.clone().map(|gradient| numbers(sum_of_squares(gradient))[0]);
        let norm = squares.iter().sum::<f64>().sqrt();
        assert_close("norm", &[norm], &fixture.values(&format!("adamw/{step}.norm")));
        assert_eq!(norm < MOST, step == 3);
        // As torch.nn.utils.clip_grad_norm_.
        let factor = (MOST / (norm + 1e-6)).min(1.0);
        let decays = [0.1, 0.0];
        for (index, gradient) in gradients.into_iter().enumerate() {
            let adamw = AdamW {
                learning_rate: 1e-2,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                weight_decay: decays[index],
            };
            let tensors = parameters[index].clone();
            let factor = Tensor::from_floats([factor as f32], &gradient.device());
            parameters[index] = adamw_step(tensors, gradient, &adamw, step, Some(factor));
            let name = format!("adamw/{step}.after.{}", NAMES[index]);
            assert_close(&name, &numbers(parameters[index].parameter.clone()), &fixture.values(&name));
        }
    }
    for (tensors, name) in parameters.into_iter().zip(NAMES) {
        for (moment, tensor) in
            [("first_moment", tensors.first_moment), ("second_moment", tensors.second_moment)]
        {
            let name = format!("adamw/{moment}.{name}");
            assert_close_by_size(&name, &numbers(tensor), &fixture.values(&name));
        }
    }
}
