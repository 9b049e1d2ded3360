// CUDA's words for a kernel that g++ compiles, and the instructions that a warp executes together.
//
// Which thread of a warp holds which elements of a matrix: PTX ISA 9.0, "Matrix Fragments for mma.m16n8k16", "ldmatrix".
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>

#include "interface.h"

extern "C" Emulator *emulator;

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define threadIdx (emulator->current->thread)
#define blockIdx (emulator->current->block)
#define blockDim (emulator->current->block_dim)
#define gridDim (emulator->current->grid_dim)
#define warpSize 32

using std::isfinite, std::isinf, std::isnan;

static inline void refuse(const char *what) {
    fprintf(stderr, "emulator: %s\n", what);
    abort();
}

// ---- Synchronisation and exchange within a warp

static inline void __syncthreads() { emulator->sync_block(); }
static inline void __threadfence() {}
static inline unsigned __activemask() { return 0xffffffffu; }

static inline void __syncwarp(unsigned = 0) {
    int nothing = 0;
    emulator->with_warp(&nothing, [](void **, unsigned) {});
}

template <class T> struct Exchange {
    T value, found;
    int source;
};

// The value of another lane of the warp; the own one if that lane is not there.
template <class T> T exchanged(T value, int source) {
    Exchange<T> mine{value, value, source};
    emulator->with_warp(&mine, [](void **slots, unsigned present) {
        for (int lane = 0; lane < 32; lane++) {
            if (!(present >> lane & 1)) continue;
            auto *own = static_cast<Exchange<T> *>(slots[lane]);
            bool there = own->source >= 0 && own->source < 32 && (present >> own->source & 1);
            if (there) own->found = static_cast<Exchange<T> *>(slots[own->source])->value;
        }
    });
    return mine.found;
}

static inline int lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
template <class T> T __shfl_sync(unsigned, T value, int source) { return exchanged(value, source & 31); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) { return exchanged(value, lane() ^ mask); }
template <class T> T __shfl_up_sync(unsigned, T value, int by) { return exchanged(value, lane() - by); }
template <class T> T __shfl_down_sync(unsigned, T value, int by) { return exchanged(value, lane() + by); }

// ---- Types and functions

static inline float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline uint32_t as_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

static inline float from_bfloat16(uint16_t bits) { return as_float((uint32_t)bits << 16); }

// To the nearest, ties to even.
static inline uint16_t to_bfloat16(float value) {
    uint32_t bits = as_bits(value);
    if (isnan(value)) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float value) : bits(to_bfloat16(value)) {}
    __nv_bfloat16(double value) : bits(to_bfloat16((float)value)) {}
    __nv_bfloat16(int value) : bits(to_bfloat16((float)value)) {}
    operator float() const { return from_bfloat16(bits); }
};
struct __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline __nv_bfloat16 __float2bfloat16(float value) { return value; }
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
static inline float __bfloat162float(__nv_bfloat16 value) { return value; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float __expf(float x) { return expf(x); }
static inline float __logf(float x) { return logf(x); }
static inline float __powf(float x, float y) { return powf(x, y); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __tanhf(float x) { return tanhf(x); }
static inline unsigned __umulhi(unsigned x, unsigned y) { return (uint64_t)x * y >> 32; }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
template <class T> T min(T x, T y) { return y < x ? y : x; }
template <class T> T max(T x, T y) { return x < y ? y : x; }
// max.NaN and min.NaN: not a number if one of them is not.
static inline float max_nan(float x, float y) { return isnan(x) ? x : isnan(y) ? y : max(x, y); }
static inline float min_nan(float x, float y) { return isnan(x) ? x : isnan(y) ? y : min(x, y); }

// ---- Shared memory: an address is a distance from its beginning

#define __cvta_generic_to_shared(pointer) ((unsigned long)((char *)(pointer) - emulator->shared))

static inline char *shared_pointer(uint64_t address) {
    if (address % 16) refuse("an address in shared memory is not aligned to 16 bytes");
    return emulator->shared + address;
}

static inline void copy_async(uint64_t shared, const void *from, int length) {
    if ((uint64_t)from % 16) refuse("cp.async from an address that is not aligned to 16 bytes");
    emulator->copy_async(shared_pointer(shared), from, 16, length);
}

// ---- Tensor cores

template <int INNER> struct Multiplication {
    uint32_t left[4], right[2];
    float sum[4], found[4];
};

static inline float from_tf32(uint32_t bits) { return as_float(bits & 0xffffe000u); }

// Puts the elements of a thread's registers where they are in the matrices: 16 x 16 of bfloat16, 16 x 8 of TF32.
template <int INNER>
void gather(const Multiplication<INNER> &of, int lane, float left[16][INNER], float right[INNER][8]) {
    int group = lane / 4, member = lane % 4;
    if constexpr (INNER == 16) {
        for (int half = 0; half < 2; half++) {
            for (int r = 0; r < 4; r++)
                left[group + r % 2 * 8][member * 2 + half + r / 2 * 8] = from_bfloat16(of.left[r] >> 16 * half);
            for (int r = 0; r < 2; r++)
                right[member * 2 + half + r * 8][group] = from_bfloat16(of.right[r] >> 16 * half);
        }
    } else {
        for (int r = 0; r < 4; r++) left[group + r % 2 * 8][member + r / 2 * 4] = from_tf32(of.left[r]);
        for (int r = 0; r < 2; r++) right[member + r * 4][group] = from_tf32(of.right[r]);
    }
}

// mma.m16n8k16 of bfloat16, mma.m16n8k8 of TF32.
template <int INNER> void multiply_add(Multiplication<INNER> &mine) {
    emulator->with_warp(&mine, [](void **slots, unsigned present) {
        if (present != 0xffffffffu) refuse("mma by a part of a warp");
        float left[16][INNER], right[INNER][8];
        for (int lane = 0; lane < 32; lane++)
            gather(*static_cast<Multiplication<INNER> *>(slots[lane]), lane, left, right);
        for (int lane = 0; lane < 32; lane++) {
            auto *own = static_cast<Multiplication<INNER> *>(slots[lane]);
            for (int r = 0; r < 4; r++) {
                int row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2;
                float sum = own->sum[r];
                for (int k = 0; k < INNER; k++) sum += left[row][k] * right[k][column];
                own->found[r] = sum;
            }
        }
    });
}

struct Matrices {
    char *row;
    uint32_t registers[4];
};

// ldmatrix and stmatrix: lanes 8 n to 8 n + 7 name the rows of matrix n.
template <int COUNT, bool TRANSPOSED, bool STORES> void move_matrices(Matrices &mine) {
    emulator->with_warp(&mine, [](void **slots, unsigned present) {
        if (present != 0xffffffffu) refuse("ldmatrix or stmatrix by a part of a warp");
        auto of = [&](int lane) { return static_cast<Matrices *>(slots[lane]); };
        for (int number = 0; number < COUNT; number++) {
            uint16_t matrix[8][8];
            for (int row = 0; row < 8 && !STORES; row++) memcpy(matrix[row], of(number * 8 + row)->row, 16);
            for (int lane = 0; lane < 32; lane++) {
                int group = lane / 4, member = lane % 4 * 2;
                uint16_t *low = TRANSPOSED ? &matrix[member][group] : &matrix[group][member];
                uint16_t *high = TRANSPOSED ? &matrix[member + 1][group] : &matrix[group][member + 1];
                uint32_t &of_lane = of(lane)->registers[number];
                if (STORES) {
                    *low = of_lane, *high = of_lane >> 16;
                } else {
                    of_lane = *low | (uint32_t)*high << 16;
                }
            }
            for (int row = 0; row < 8 && STORES; row++) memcpy(of(number * 8 + row)->row, matrix[row], 16);
        }
    });
}
