#include "simd.h"
#include "widths.h"

void (*h2ws_mask)(uint8_t *, const uint8_t *, size_t, uint32_t) = h2ws_mask_scalar;
int (*h2ws_mask_ascii)(uint8_t *, const uint8_t *, size_t, uint32_t) = h2ws_mask_ascii_scalar;
int32_t (*h2ws_utf8)(const uint8_t *, size_t, int32_t) = h2ws_utf8_scalar;

int h2ws_init(int limit) {
#if HAVE_AVX
    __builtin_cpu_init();
    /* VBMI2 came with the processors whose clock does not fall when 64 octets are used. */
    if (limit >= H2WS_AVX512 && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        h2ws_mask = h2ws_mask_avx512;
        h2ws_mask_ascii = h2ws_mask_ascii_avx512;
        h2ws_utf8 = h2ws_utf8_avx2;
        return H2WS_AVX512;
    }
    if (limit >= H2WS_AVX2 && __builtin_cpu_supports("avx2")) {
        h2ws_mask = h2ws_mask_avx2;
        h2ws_mask_ascii = h2ws_mask_ascii_avx2;
        h2ws_utf8 = h2ws_utf8_avx2;
        return H2WS_AVX2;
    }
#endif
#if HAVE_VECTOR
    if (limit >= H2WS_VECTOR) {
        h2ws_mask = h2ws_mask_vector;
        h2ws_mask_ascii = h2ws_mask_ascii_vector;
        h2ws_utf8 = h2ws_utf8_vector;
        return H2WS_VECTOR;
    }
#endif
    (void)limit;
    h2ws_mask = h2ws_mask_scalar;
    h2ws_mask_ascii = h2ws_mask_ascii_scalar;
    h2ws_utf8 = h2ws_utf8_scalar;
    return H2WS_SCALAR;
}
