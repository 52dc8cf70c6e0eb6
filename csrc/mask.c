/* Masking. Every width but the widest follows one plan: whole vectors from the front, then one
   vector that ends at the last octet and overlaps the one before it, its key rotated to its place.
   It is loaded before anything is written, so that masking in place does not mask an octet twice.
   AVX-512 can also read and write a part of a vector. */

#include "simd.h"
#include "widths.h"

/* The key as it lies in memory before octet `at`. */
static inline uint32_t key_at(uint32_t key, size_t at) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return h2ws_rotate(key, at); /* compilers take the octets below through memory */
#else
    uint32_t word;
    uint8_t octets[4];
    key = h2ws_rotate(key, at);
    octets[0] = (uint8_t)key;
    octets[1] = (uint8_t)(key >> 8);
    octets[2] = (uint8_t)(key >> 16);
    octets[3] = (uint8_t)(key >> 24);
    memcpy(&word, octets, 4);
    return word;
#endif
}

static inline uint64_t masked64(const uint8_t *from, uint32_t word) {
    return load64(from) ^ ((uint64_t)word << 32 | word);
}

static inline uint64_t mask64(uint8_t *to, const uint8_t *from, uint32_t word) {
    uint64_t value = masked64(from, word);
    memcpy(to, &value, 8);
    return value;
}

/* n < 16. Returns the octets written, ORed. */
static inline uint64_t mask_short(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    uint64_t seen = 0;
    if (n >= 8) {
        uint64_t first = masked64(from, key_at(key, 0));
        uint64_t last = masked64(from + n - 8, key_at(key, n - 8));
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
        return first | last;
    }
    if (n >= 4) {
        uint32_t first = load32(from) ^ key_at(key, 0);
        uint32_t last = load32(from + n - 4) ^ key_at(key, n - 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
        return first | last;
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i] ^ (uint8_t)(key >> 8 * i);
        seen |= to[i];
    }
    return seen;
}

static inline uint64_t mask_words(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    uint32_t word = key_at(key, 0);
    uint64_t last, seen;
    size_t i = 0;
    if (n < 16) return mask_short(to, from, n, key);
    last = seen = masked64(from + n - 8, key_at(key, n - 8));
    for (; n - i >= 32; i += 32) {
        seen |= mask64(to + i, from + i, word);
        seen |= mask64(to + i + 8, from + i + 8, word);
        seen |= mask64(to + i + 16, from + i + 16, word);
        seen |= mask64(to + i + 24, from + i + 24, word);
    }
    for (; n - i >= 8; i += 8) seen |= mask64(to + i, from + i, word);
    memcpy(to + n - 8, &last, 8);
    return seen;
}

void h2ws_mask_scalar(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    mask_words(to, from, n, key);
}

int h2ws_mask_ascii_scalar(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    return (mask_words(to, from, n, key) & HIGH64) == 0;
}

#if HAVE_VECTOR
static inline vector mask16(uint8_t *to, const uint8_t *from, vector key) {
    vector value = XOR(LOAD(from), key);
    STORE(to, value);
    return value;
}

/* n >= 16 */
static inline vector mask_vectors(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    vector word = FILL32(key_at(key, 0));
    vector last = XOR(LOAD(from + n - 16), FILL32(key_at(key, n - 16)));
    vector seen = last;
    size_t i = 0;
    for (; n - i >= 64; i += 64) {
        vector a = mask16(to + i, from + i, word);
        vector b = mask16(to + i + 16, from + i + 16, word);
        vector c = mask16(to + i + 32, from + i + 32, word);
        vector d = mask16(to + i + 48, from + i + 48, word);
        seen = OR(seen, OR(OR(a, b), OR(c, d)));
    }
    for (; n - i >= 16; i += 16) seen = OR(seen, mask16(to + i, from + i, word));
    STORE(to + n - 16, last);
    return seen;
}

void h2ws_mask_vector(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    if (n < 16)
        mask_short(to, from, n, key);
    else
        mask_vectors(to, from, n, key);
}

int h2ws_mask_ascii_vector(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    if (n < 16) return (mask_short(to, from, n, key) & HIGH64) == 0;
    return !HIGH_BITS(mask_vectors(to, from, n, key));
}
#endif

#if HAVE_AVX2
AVX2 INLINE __m256i mask32(uint8_t *to, const uint8_t *from, __m256i key) {
    __m256i value = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)from), key);
    _mm256_storeu_si256((__m256i *)to, value);
    return value;
}

/* n >= 32 */
AVX2 INLINE __m256i mask_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    __m256i word = _mm256_set1_epi32((int)key_at(key, 0));
    __m256i last = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(from + n - 32)),
                                    _mm256_set1_epi32((int)key_at(key, n - 32)));
    __m256i seen = last;
    size_t i = 0;
    for (; n - i >= 128; i += 128) {
        __m256i a = mask32(to + i, from + i, word);
        __m256i b = mask32(to + i + 32, from + i + 32, word);
        __m256i c = mask32(to + i + 64, from + i + 64, word);
        __m256i d = mask32(to + i + 96, from + i + 96, word);
        seen = _mm256_or_si256(seen, _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d)));
    }
    for (; n - i >= 32; i += 32) seen = _mm256_or_si256(seen, mask32(to + i, from + i, word));
    _mm256_storeu_si256((__m256i *)(to + n - 32), last);
    return seen;
}

AVX2 void h2ws_mask_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    if (n < 32)
        h2ws_mask_vector(to, from, n, key);
    else
        mask_avx2(to, from, n, key);
}

AVX2 int h2ws_mask_ascii_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    if (n < 32) return h2ws_mask_ascii_vector(to, from, n, key);
    return _mm256_movemask_epi8(mask_avx2(to, from, n, key)) == 0;
}

AVX512 INLINE __m512i mask64x8(uint8_t *to, const uint8_t *from, __m512i key) {
    __m512i value = _mm512_xor_si512(_mm512_loadu_si512(from), key);
    _mm512_storeu_si512(to, value);
    return value;
}

/* The first n octets of a vector; n <= 64. */
AVX512 INLINE __m512i mask_part(uint8_t *to, const uint8_t *from, size_t n, __m512i key) {
    __mmask64 part = n ? ~UINT64_C(0) >> (64 - n) : 0;
    __m512i value = _mm512_xor_si512(_mm512_maskz_loadu_epi8(part, from), key);
    value = _mm512_maskz_mov_epi8(part, value);
    _mm512_mask_storeu_epi8(to, part, value);
    return value;
}

/* The octets written, ORed. */
AVX512 INLINE __m512i mask_avx512(uint8_t *to, const uint8_t *from, size_t n,
                                         uint32_t key) {
    __m512i word = _mm512_set1_epi32((int)key_at(key, 0));
    __m512i last, seen;
    size_t i = 0;
    if (n <= 64) return mask_part(to, from, n, word);
    last = _mm512_xor_si512(_mm512_loadu_si512(from + n - 64),
                            _mm512_set1_epi32((int)key_at(key, n - 64)));
    seen = last;
    if (n >= 512 && to != from) {
        /* Stores that cross a cache line cost twice: align them, the first vector overlaps. */
        seen = _mm512_or_si512(seen, mask64x8(to, from, word));
        i = 64 - ((uintptr_t)to & 63);
        word = _mm512_set1_epi32((int)key_at(key, i));
    }
    for (; n - i >= 256; i += 256) {
        __m512i a = mask64x8(to + i, from + i, word);
        __m512i b = mask64x8(to + i + 64, from + i + 64, word);
        __m512i c = mask64x8(to + i + 128, from + i + 128, word);
        __m512i d = mask64x8(to + i + 192, from + i + 192, word);
        seen = _mm512_or_si512(seen, _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d)));
    }
    for (; n - i >= 64; i += 64) seen = _mm512_or_si512(seen, mask64x8(to + i, from + i, word));
    _mm512_storeu_si512(to + n - 64, last);
    return seen;
}

AVX512 void h2ws_mask_avx512(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    mask_avx512(to, from, n, key);
}

AVX512 int h2ws_mask_ascii_avx512(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    return _mm512_movepi8_mask(mask_avx512(to, from, n, key)) == 0;
}
#endif
