//! Target: adapters as PEFT writes them, put on their base model and merged.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{answer, fixtures, folder_with, read, write};
use temper_freeze::lora::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, PeftAdapter, load_peft, merge};
use temper_fuzz::{Check, Failures, Part, Shape, run};
use temper_models::{HeadRequest, Loaded, Model};

/// Opens an adapter, puts it on a model and merges it.
fn use_adapter(dir: &Path, base: &Loaded) -> Result<(), String> {
    let adapter = answer(PeftAdapter::open(dir))?;
    let model = answer(load_peft(base.model.clone(), &base.config, &adapter))?.model;
    let _ = merge(model).parameters().total();
    Ok(())
}

/// An adapter of the fixtures with one of its two files changed.
struct Adapter {
    name: &'static str,
    config: Vec<u8>,
    weights: Vec<u8>,
    base: Loaded,
}

impl Adapter {
    fn read(name: &'static str) -> Self {
        let dir = fixtures("temper-freeze/tests/fixtures/lora").join(name);
        let base = String::from_utf8(read(&dir.join("base.txt"))).expect("text");
        let base = fixtures("temper-models/tests/fixtures/zoo").join(base.trim());
        Self {
            name,
            config: read(&dir.join(ADAPTER_CONFIG)),
            weights: read(&dir.join(ADAPTER_WEIGHTS)),
            base: Model::load(&base, &HeadRequest::FromConfig, &Device::flex()).expect("loads"),
        }
    }

    fn check<'a>(&'a self, changed: &'static str) -> Check<'a> {
        Box::new(move |bytes, dir| {
            let files = [(ADAPTER_CONFIG, &self.config[..]), (ADAPTER_WEIGHTS, &self.weights[..])];
            let place = folder_with(dir, &format!("{}-{changed}", self.name), &files);
            write(&place.join(changed), bytes);
            use_adapter(&place, &self.base)
        })
    }
}

#[test]
fn adapter() -> Result<(), Failures> {
    let (bert, bloom) = (Adapter::read("bert"), Adapter::read("bloom"));
    let part = |name, shape, seed: &[u8], check| Part { name, shape, seeds: vec![seed.to_vec()], check };
    run(
        "adapter",
        20000,
        &[
            part("config", Shape::Json, &bert.config, bert.check(ADAPTER_CONFIG)),
            part("weights", Shape::Safetensors, &bert.weights, bert.check(ADAPTER_WEIGHTS)),
            part("fused-config", Shape::Json, &bloom.config, bloom.check(ADAPTER_CONFIG)),
            part("fused-weights", Shape::Safetensors, &bloom.weights, bloom.check(ADAPTER_WEIGHTS)),
        ],
    )
}
