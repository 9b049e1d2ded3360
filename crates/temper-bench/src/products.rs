//! Products of bfloat16 matrices on a GPU by each of cubek's strategies and by tilings of Temper's own kernel.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::tensor::DType;
use burn_cubecl::CubeDevice;
use burn_cubecl::tensor::CubeTensor;
use serde_json::{Value, json};
use temper_kernels::gpu::{Tiling, product_strategies, product_with, tiled_product_with};

use crate::Task;
use crate::job::Job;

const LAUNCHES: u32 = 200;

/// Shapes and a strategy.
pub struct Products {
    job: Job,
    device: CubeDevice,
}

impl Products {
    pub fn new(job: Job) -> Result<Self> {
        // Its files are asked for, and its first kernel runs.
        job.device()?;
        ensure!(job.backend == "cuda", "products are timed on --backend cuda");
        Ok(Self { job, device: CubeDevice::Cuda(Default::default()) })
    }

    /// A matrix a batch of numbers that are no zeros, which would be multiplied faster.
    fn matrix(&self, [batch, rows, columns]: [usize; 3], transposed: bool) -> CubeTensor {
        let client = self.device.client();
        let mut state = 12345_u32;
        let bytes: Vec<u8> = (0..batch * rows * columns)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Sign, an exponent about 1, and drawn significant bits.
                (((state >> 16) as u16 & 0x81ff) | 0x3e00).to_le_bytes()
            })
            .collect();
        let handle = client.create_from_slice(&bytes);
        let stored = if transposed { [batch, columns, rows] } else { [batch, rows, columns] };
        // Temper's kernel has no batches: one matrix is a matrix.
        let stored = if batch == 1 { stored[1..].to_vec() } else { stored.to_vec() };
        let axes = stored.len();
        let device = self.device.clone();
        let mut tensor = CubeTensor::new_contiguous(client, device, stored.into(), handle, DType::BF16);
        if transposed {
            tensor.meta.swap(axes - 2, axes - 1);
        }
        tensor
    }

    /// One product, by the strategy of the job: one of cubek's, or `tiled-ROWSxCOLUMNS-DOWNxACROSS-INNER-STAGES-PARTS`.
    fn product(&self, left: &CubeTensor, right: &CubeTensor) -> Result<(), String> {
        let name = &self.job.strategy;
        if let Some(numbers) = name.strip_prefix("tiled-") {
            let numbers: Vec<usize> = numbers
                .split(['-', 'x'])
                .map(|number| number.parse().map_err(|_| name.clone()))
                .collect::<Result<_, _>>()?;
            let [rows, columns, down, across, inner, stages, parts] =
                numbers.try_into().map_err(|_| name.clone())?;
            let tiling = Tiling { tile: [rows, columns], planes: [down, across], inner, stages };
            let dtype = if parts > 1 { DType::F32 } else { DType::BF16 };
            return tiled_product_with(left, right, dtype, tiling, parts)
                .map(drop)
                .ok_or("does not suit".into());
        }
        let (_, strategy) = product_strategies()
            .into_iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| format!("{name} is not a strategy"))?;
        product_with(&strategy, left.clone(), right.clone(), DType::BF16)
            .map(drop)
            .map_err(|error| format!("{error:?}"))
    }

    fn time(&self, [batch, rows, inner, columns]: [usize; 4], layout: &str) -> Result<Value, String> {
        let left = self.matrix([batch, rows, inner], &layout[..1] == "t");
        let right = self.matrix([batch, inner, columns], &layout[1..] == "t");
        let client = self.device.client();
        let wait = || cubecl::future::block_on(client.sync()).map_err(|error| format!("{error:?}"));
        let launch = || self.product(&left, &right);
        wait()?;
        let start = Instant::now();
        launch()?;
        wait()?;
        let first = start.elapsed().as_secs_f64();
        launch()?;
        wait()?;
        let start = Instant::now();
        for _ in 0..LAUNCHES {
            launch()?;
        }
        wait()?;
        let seconds = start.elapsed().as_secs_f64() / f64::from(LAUNCHES);
        let operations = 2.0 * (batch * rows * inner * columns) as f64;
        Ok(json!({ "first": first, "seconds": seconds, "tflops": operations / seconds / 1e12 }))
    }
}

impl Task for Products {
    fn check(&self) -> Result<Value> {
        let mut rows = Vec::new();
        for &shape in &self.job.shapes {
            for layout in ["nn", "nt", "tn"] {
                let row = match self.time(shape, layout) {
                    Ok(row) => row,
                    Err(reason) => json!({ "failed": reason }),
                };
                rows.push(json!({ "shape": shape, "layout": layout, "time": row }));
            }
        }
        Ok(json!({ "strategy": self.job.strategy, "rows": rows }))
    }

    fn run(self) -> Result<Self> {
        self.check().context("products")?;
        Ok(self)
    }
}
