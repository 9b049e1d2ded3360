//! The instructions of x86 processors for products of bfloat16 and of int8.
//!
//! All `unsafe` of these products is here. Each is a call of a function for certain processors; the types that make the
//! calls exist only where [`detect`](Avx512Bf16::detect) has found such a processor.
#![allow(unsafe_code)]

use std::arch::x86_64::{
    __cpuid, __m256i, __m512, __m512bh, __m512i, _mm256_dpbusd_avx_epi32, _mm512_dpbf16_ps,
    _mm512_dpbusd_epi32,
};
use std::mem::transmute;
use std::sync::OnceLock;

use super::dot::{Dot, LANES};

/// AVX-512 with products of bfloat16: AMD since Zen 4, Intel's servers since Cooper Lake.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16(());

impl Avx512Bf16 {
    /// There if the processor has the instruction.
    pub fn detect() -> Option<Self> {
        (has_avx512() && is_x86_feature_detected!("avx512bf16")).then_some(Self(()))
    }

    /// There if the instruction is also faster than products of f32: on AMD's processors it multiplies twice as many
    /// numbers at a time. On Intel's it takes four times as long (measured on Emerald Rapids); there AMX is meant for it.
    pub fn where_fast() -> Option<Self> {
        // The instruction that asks for the maker is slow on virtual machines.
        static FOUND: OnceLock<Option<Avx512Bf16>> = OnceLock::new();
        *FOUND.get_or_init(|| Self::detect().filter(|_| is_amd()))
    }
}

/// Whether the maker of the processor is AMD.
fn is_amd() -> bool {
    let maker = __cpuid(0);
    [maker.ebx, maker.edx, maker.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
}

impl Dot for Avx512Bf16 {
    type Number = f32;
    type Sums = __m512;
    const HAS_32_REGISTERS: bool = true;

    #[inline(always)]
    fn zero(self) -> __m512 {
        bytemuck::cast([0.0_f32; LANES])
    }

    #[inline(always)]
    fn add(self, sums: __m512, left: u32, right: &[u32; LANES]) -> __m512 {
        // SAFETY: `self` exists only where the processor has AVX512-BF16. Both types are 512 bits, and any are valid.
        unsafe {
            let left = transmute::<[u32; LANES], __m512bh>([left; LANES]);
            _mm512_dpbf16_ps(sums, left, transmute::<[u32; LANES], __m512bh>(*right))
        }
    }

    #[inline(always)]
    fn numbers(self, sums: __m512) -> [f32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn run<R>(self, body: impl FnMut() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
        fn compiled<R>(mut body: impl FnMut() -> R) -> R {
            body()
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { compiled(body) }
    }
}

/// AVX-512 with products of int8: Intel's servers since Cascade Lake, AMD since Zen 4.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Vnni(());

impl Avx512Vnni {
    /// There if the processor is.
    pub fn detect() -> Option<Self> {
        (has_avx512() && is_x86_feature_detected!("avx512vnni")).then_some(Self(()))
    }
}

impl Dot for Avx512Vnni {
    type Number = i32;
    type Sums = __m512i;
    const HAS_32_REGISTERS: bool = true;

    #[inline(always)]
    fn zero(self) -> __m512i {
        bytemuck::cast([0_i32; LANES])
    }

    #[inline(always)]
    fn add(self, sums: __m512i, left: u32, right: &[u32; LANES]) -> __m512i {
        let (left, right) = (bytemuck::cast([left; LANES]), bytemuck::cast(*right));
        // SAFETY: `self` exists only where the processor has AVX512-VNNI.
        unsafe { _mm512_dpbusd_epi32(sums, left, right) }
    }

    #[inline(always)]
    fn numbers(self, sums: __m512i) -> [i32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn run<R>(self, body: impl FnMut() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn compiled<R>(mut body: impl FnMut() -> R) -> R {
            body()
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { compiled(body) }
    }
}

/// Products of int8 without AVX-512: Intel's processors for laptops and desktops since Alder Lake, AMD since Zen 5.
#[derive(Clone, Copy, Debug)]
pub struct AvxVnni(());

impl AvxVnni {
    /// There if the processor is.
    pub fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avxvnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        is_there.then_some(Self(()))
    }
}

impl Dot for AvxVnni {
    type Number = i32;
    type Sums = [__m256i; 2];
    const HAS_32_REGISTERS: bool = false;

    #[inline(always)]
    fn zero(self) -> [__m256i; 2] {
        bytemuck::cast([0_i32; LANES])
    }

    #[inline(always)]
    fn add(self, sums: [__m256i; 2], left: u32, right: &[u32; LANES]) -> [__m256i; 2] {
        let left: __m256i = bytemuck::cast([left; LANES / 2]);
        let right: [__m256i; 2] = bytemuck::cast(*right);
        // SAFETY: `self` exists only where the processor has AVX-VNNI.
        std::array::from_fn(
            #[inline(always)]
            |half| unsafe { _mm256_dpbusd_avx_epi32(sums[half], left, right[half]) },
        )
    }

    #[inline(always)]
    fn numbers(self, sums: [__m256i; 2]) -> [i32; LANES] {
        bytemuck::cast(sums)
    }

    #[inline(always)]
    fn run<R>(self, body: impl FnMut() -> R) -> R {
        #[target_feature(enable = "avx2,fma,avxvnni")]
        fn compiled<R>(mut body: impl FnMut() -> R) -> R {
            body()
        }
        // SAFETY: `self` exists only where the processor has these features.
        unsafe { compiled(body) }
    }
}

fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}
