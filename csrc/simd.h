/* Sixteen octets at a time, the same source for SSE2 and NEON; private to the kernels. */

#ifndef H2WS_SIMD_H
#define H2WS_SIMD_H

#include <string.h>

#include "h2ws.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define HAVE_VECTOR 1
typedef __m128i vector;
#define LOAD(p) _mm_loadu_si128((const __m128i *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(p), v)
#define XOR(a, b) _mm_xor_si128(a, b)
#define OR(a, b) _mm_or_si128(a, b)
#define FILL32(x) _mm_set1_epi32((int)(x))
#define HIGH_BITS(v) (_mm_movemask_epi8(v) != 0)
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#define HAVE_VECTOR 1
typedef uint8x16_t vector;
#define LOAD(p) vld1q_u8(p)
#define STORE(p, v) vst1q_u8(p, v)
#define XOR(a, b) veorq_u8(a, b)
#define OR(a, b) vorrq_u8(a, b)
#define FILL32(x) vreinterpretq_u8_u32(vdupq_n_u32(x))
#define HIGH_BITS(v) (vmaxvq_u8(v) >= 0x80)
#else
#define HAVE_VECTOR 0
#endif

/* AVX2 and AVX-512 are compiled on any x86-64 and chosen at run time. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define HAVE_AVX2 1
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define INLINE static inline __attribute__((always_inline))
#else
#define HAVE_AVX2 0
#endif

static inline uint64_t load64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

static inline uint32_t load32(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

#define HIGH64 UINT64_C(0x8080808080808080)

#endif
