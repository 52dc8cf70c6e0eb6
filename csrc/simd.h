/* Vectors and unaligned words; private to the kernels.

   A `vector` has 16 octets and the same names with SSE2 and NEON, which need no check at run time.
   AVX2 and AVX-512 are compiled on any x86-64 and chosen by `h2ws_init`. */

#ifndef H2WS_SIMD_H
#define H2WS_SIMD_H

#include <string.h>

#include "h2ws.h"

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define HAVE_VECTOR 1
typedef __m128i vector;
#define vector_load(p) _mm_loadu_si128((const void *)(p))
#define vector_store(p, v) _mm_storeu_si128((void *)(p), v)
#define vector_xor(a, b) _mm_xor_si128(a, b)
#define vector_or(a, b) _mm_or_si128(a, b)
#define vector_fill32(x) _mm_set1_epi32((int)(x))
#define vector_high_bits(v) (_mm_movemask_epi8(v) != 0)
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#define HAVE_VECTOR 1
typedef uint8x16_t vector;
#define vector_load(p) vld1q_u8(p)
#define vector_store(p, v) vst1q_u8(p, v)
#define vector_xor(a, b) veorq_u8(a, b)
#define vector_or(a, b) vorrq_u8(a, b)
#define vector_fill32(x) vreinterpretq_u8_u32(vdupq_n_u32(x))
#define vector_high_bits(v) (vmaxvq_u8(v) >= 0x80)
#else
#define HAVE_VECTOR 0
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define HAVE_AVX 1
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi2")))
#else
#define HAVE_AVX 0
#endif

#define HIGH64 UINT64_C(0x8080808080808080)

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

static inline void store64(uint8_t *p, uint64_t value) { memcpy(p, &value, 8); }

#endif
