//! Packed products against sums in f64 and in wide integers.

use super::bfloat16::{from_bfloat16, pack_left, pack_right, to_bfloat16};
use super::dot::{Dot, LANES, PlainInt8, WidenedBf16};
use super::product::{Panels, Product, Store};
use super::*;
use crate::Activation;

/// Rows, depth and columns: odd ones, single ones, several blocks of the depth, several tasks of both kinds.
const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [1, 7, 33],
    [2, 64, 16],
    [5, 31, 17],
    [6, 130, 100],
    [13, 5, 48],
    [95, 20, 1100],
    [97, 33, 31],
    [200, 12, 70],
    [3, 4099, 5],
];

fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len).map(|i| (((i + seed) * 7919) % 20_011) as f32 / 5000.0 - 2.0).collect()
}

fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

fn rounded(value: f32) -> f64 {
    f64::from(from_bfloat16(to_bfloat16(value)))
}

/// Every sum with the error that 24 bits allow it.
fn assert_near(found: &[f32], left: &[f32], right: &[f32], [rows, depth, columns]: [usize; 3], start: f64) {
    for row in 0..rows {
        for column in 0..columns {
            let products =
                || (0..depth).map(|k| rounded(left[row * depth + k]) * rounded(right[k * columns + column]));
            let (sum, size) = (start + products().sum::<f64>(), products().map(f64::abs).sum::<f64>());
            let found = f64::from(found[row * columns + column]);
            assert!((found - sum).abs() <= 1e-6 * (size + 1.0), "{found}, not {sum}, at {row}, {column}");
        }
    }
}

#[test]
fn rounding_is_to_the_nearest_even() {
    let cases: [(u32, u16); 8] = [
        (0x3f80_0000, 0x3f80),
        (0x3f80_8000, 0x3f80),
        (0x3f81_8000, 0x3f82),
        (0x3f80_8001, 0x3f81),
        (0x7f7f_ffff, 0x7f80),
        (0xff80_0000, 0xff80),
        (0x8000_0000, 0x8000),
        (0x0000_8001, 0x0001),
    ];
    for (bits, expected) in cases {
        assert_eq!(to_bfloat16(f32::from_bits(bits)), expected, "{bits:x}");
    }
    for bits in [0x7f80_0001, 0xffff_ffff, 0x7fc0_0000] {
        assert!(from_bfloat16(to_bfloat16(f32::from_bits(bits))).is_nan());
    }
}

fn bfloat16_product<'a>(sizes: [usize; 3], left: Factor<'a>, right: Factor<'a>) -> FactorProduct<'a> {
    FactorProduct { sizes, left, right, rounding: Rounding::Bf16 }
}

#[test]
fn products_in_bfloat16_are_those_of_rounded_factors_in_any_layout() {
    for sizes @ [rows, depth, columns] in SIZES {
        let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
        let (left_t, right_t) = (transpose(&left, depth), transpose(&right, columns));
        let bits: [Vec<u16>; 4] = [&left, &left_t, &right, &right_t].map(|values| in_bfloat16(values));
        let lefts = [
            Factor::F32(Matrix::new(&left, depth)),
            Factor::F32(Matrix::transposed(&left_t, rows)),
            Factor::Bf16(Matrix::new(&bits[0], depth)),
            Factor::Bf16(Matrix::transposed(&bits[1], rows)),
        ];
        let rights = [
            Factor::F32(Matrix::new(&right, columns)),
            Factor::F32(Matrix::transposed(&right_t, depth)),
            Factor::Bf16(Matrix::new(&bits[2], columns)),
            Factor::Bf16(Matrix::transposed(&bits[3], depth)),
        ];
        let mut first: Option<Vec<f32>> = None;
        for left_matrix in lefts {
            for right_matrix in rights {
                let mut out = vec![f32::NAN; rows * columns];
                bfloat16_product(sizes, left_matrix, right_matrix).compute(
                    Start::Zero,
                    Finish::Plain,
                    &mut out,
                );
                assert_near(&out, &left, &right, sizes, 0.0);
                assert_eq!(*first.get_or_insert_with(|| out.clone()), out);
            }
        }
        let mut out = vec![3.0; rows * columns];
        bfloat16_product(sizes, lefts[0], rights[0]).compute(Start::Add, Finish::Plain, &mut out);
        assert_near(&out, &left, &right, sizes, 3.0);
    }
}

#[test]
fn biases_and_activations_are_those_of_f32() {
    for sizes @ [rows, depth, columns] in SIZES {
        let (left, right, bias) = (values(rows * depth, 1), values(depth * columns, 2), values(columns, 3));
        for format in [WeightFormat::Bf16, WeightFormat::Int8] {
            let weight = PackedWeight::new(format, [depth, columns], Matrix::new(&right, columns));
            assert_eq!(weight.sizes(), [depth, columns]);
            let mut plain = vec![f32::NAN; rows * columns];
            weight.multiply(&left, Start::Zero, Finish::Plain, &mut plain);
            let sums: Vec<f32> = plain.iter().zip(bias.iter().cycle()).map(|(x, bias)| x + bias).collect();
            let (mut found, mut activated) = (plain.clone(), plain.clone());
            let finish = Finish::ActivateInto(Activation::Relu, &mut activated);
            weight.multiply(&left, Start::Row(&bias), finish, &mut found);
            assert_eq!(found, sums, "{format:?} {sizes:?}");
            assert_eq!(activated, sums.iter().map(|sum| sum.max(0.0)).collect::<Vec<_>>());
            weight.multiply(&left, Start::Row(&bias), Finish::Activate(Activation::Relu), &mut found);
            assert_eq!(found, activated);
            let mut added = vec![3.0; rows * columns];
            weight.multiply(&left, Start::Add, Finish::Plain, &mut added);
            assert_eq!(added, plain.iter().map(|sum| 3.0 + sum).collect::<Vec<_>>(), "{format:?} {sizes:?}");
        }
    }
}

/// Keeps sums as they are.
struct Plain;

impl<N: Copy + Into<f64>> Store<N> for Plain {
    fn store(&self, _: usize, _: usize, is_first: bool, sums: &[N; LANES], out: &mut [f32]) {
        for (out, sum) in out.iter_mut().zip(sums) {
            let sum: f64 = (*sum).into();
            *out = sum as f32 + if is_first { 0.0 } else { *out };
        }
    }

    fn adds(&self) -> bool {
        false
    }
}

fn product<D: Dot<Number: Into<f64>>>(
    dot: D,
    rows: usize,
    left: &[u32],
    right: &Panels,
    block: usize,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; rows * right.columns];
    Product { rows, left, right, block, store: Plain }.compute(dot, Finish::Plain, &mut out);
    out
}

/// Where this processor has it, the instruction gives what the portable form gives.
#[cfg(target_arch = "x86_64")]
#[test]
fn instructions_for_bfloat16_agree_with_the_portable_form() {
    let Some(dot) = super::x86::Avx512Bf16::detect() else { return };
    for sizes @ [rows, depth, columns] in SIZES {
        let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
        let packed = pack_left([rows, depth], Matrix::new(&left, depth));
        let panels = pack_right([depth, columns], Matrix::new(&right, columns));
        assert_near(&product(dot, rows, &packed, &panels, 100), &left, &right, sizes, 0.0);
        assert_near(&product(WidenedBf16, rows, &packed, &panels, 100), &left, &right, sizes, 0.0);
    }
}

fn panels_of_bytes([depth, columns]: [usize; 2], at: &(impl Fn(usize, usize) -> i32 + Sync)) -> Panels {
    let (panels, _) = Panels::new(columns, depth.div_ceil(4), |first, words| {
        for row in 0..depth {
            for column in first..columns.min(first + LANES) {
                let byte = (at(row, column) as i8).cast_unsigned();
                words[row / 4][column - first] |= u32::from(byte) << (8 * (row % 4));
            }
        }
    });
    panels
}

#[test]
fn products_of_int8_are_exact_with_every_instruction() {
    for [rows, depth, columns] in SIZES {
        let steps = depth.div_ceil(4);
        let left: Vec<u8> = (0..rows * steps * 4).map(|i| (i * 7919 % 256) as u8).collect();
        let at = |row: usize, column: usize| ((row * 31 + column * 17) % 255) as i32 - 127;
        let right = panels_of_bytes([depth, columns], &at);
        let words: Vec<u32> = left.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let expected: Vec<f32> = (0..rows * columns)
            .map(|i| {
                let row = &left[i / columns * steps * 4..][..depth];
                let products = row.iter().enumerate().map(|(k, left)| i32::from(*left) * at(k, i % columns));
                products.sum::<i32>() as f32
            })
            .collect();
        assert_eq!(product(PlainInt8, rows, &words, &right, steps), expected);
        #[cfg(target_arch = "x86_64")]
        {
            use super::x86::{Avx512Vnni, AvxVnni};
            if let Some(dot) = Avx512Vnni::detect() {
                assert_eq!(product(dot, rows, &words, &right, steps), expected);
            }
            if let Some(dot) = AvxVnni::detect() {
                assert_eq!(product(dot, rows, &words, &right, steps), expected);
            }
        }
    }
}

/// Each factor is off by at most half a step of its scale.
#[test]
fn int8_is_off_by_no_more_than_its_rounding() {
    for sizes @ [rows, depth, columns] in SIZES {
        let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
        let weight = PackedWeight::new(WeightFormat::Int8, [depth, columns], Matrix::new(&right, columns));
        let mut out = vec![f32::NAN; rows * columns];
        weight.multiply(&left, Start::Zero, Finish::Plain, &mut out);
        let scale = |values: &mut dyn Iterator<Item = f32>| {
            values.fold(0.0, |most: f32, x| most.max(x.abs())) / 127.0
        };
        for (i, found) in out.iter().enumerate() {
            let (row, column) = (&left[i / columns * depth..][..depth], i % columns);
            let of_column = || (0..depth).map(|k| right[k * columns + column]);
            let scales = [scale(&mut row.iter().copied()), scale(&mut of_column())];
            let sum: f64 = row.iter().zip(of_column()).map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
            let bound: f32 = row
                .iter()
                .zip(of_column())
                .map(|(a, b)| 0.5 * (scales[0] * b.abs() + scales[1] * a.abs() + scales[0] * scales[1]))
                .sum();
            assert!(
                (f64::from(*found) - sum).abs() <= f64::from(bound) * 1.001 + 1e-6,
                "{sizes:?}: {found}, not {sum}"
            );
        }
    }
}

#[test]
fn what_is_not_finite_stays_visible_and_tiny_numbers_are_zero() {
    let weight = PackedWeight::new(WeightFormat::Int8, [3, 1], Matrix::new(&[1.0, 2.0, 3.0], 1));
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut out = [0.0; 2];
        weight.multiply(&[1.0, odd, 2.0, 1.0, 1.0, 1.0], Start::Zero, Finish::Plain, &mut out);
        assert!(out[0].is_nan(), "{odd}");
        assert!((out[1] - 6.0).abs() < 0.1);
    }
    for odd in [f32::NAN, f32::INFINITY] {
        let weight = PackedWeight::new(WeightFormat::Int8, [2, 2], Matrix::new(&[1.0, 2.0, odd, 3.0], 2));
        let mut out = [0.0; 2];
        weight.multiply(&[1.0, 1.0], Start::Zero, Finish::Plain, &mut out);
        assert!(out[0].is_nan() && out[1].is_finite(), "{odd}");
    }
    let mut out = [f32::NAN];
    weight.multiply(&[1e-44, 0.0, 0.0], Start::Zero, Finish::Plain, &mut out);
    assert_eq!(out[0].abs(), 0.0);
}

/// A row has the same output alone and among others, on any number of threads.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let (rows, depth, columns) = (150, 70, 90);
    let (left, right) = (values(rows * depth, 1), values(depth * columns, 2));
    for format in [WeightFormat::Bf16, WeightFormat::Int8] {
        let weight = PackedWeight::new(format, [depth, columns], Matrix::new(&right, columns));
        let run = |left: &[f32], threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut out = vec![0.0; left.len() / depth * columns];
            pool.install(|| weight.multiply(left, Start::Zero, Finish::Plain, &mut out));
            out
        };
        let all = run(&left, 3);
        assert_eq!(run(&left, 1), all);
        for row in [0, 7, 149] {
            assert_eq!(run(&left[row * depth..][..depth], 2), all[row * columns..][..columns]);
        }
    }
}
