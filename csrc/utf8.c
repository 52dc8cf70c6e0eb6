/* UTF-8 validation. A state within a character is what its next octet may be and how many follow:
   low | high << 8 | after << 16, so that 0 is free for "between two characters".

   The widths differ in how they get over the bulk of a text; where a call begins or ends within a
   character, `step` decides octet by octet for all of them. */

#include "simd.h"
#include "widths.h"

#define STATE(after, low, high) ((int32_t)((after) << 16 | (high) << 8 | (low)))

/* What must follow a lead octet (RFC 3629 section 4), or -1. */
static inline int32_t after_lead(uint8_t lead) {
    if (lead < 0xC2) return -1; /* a continuation octet, or an overlong form */
    if (lead < 0xE0) return STATE(0, 0x80, 0xBF);
    if (lead == 0xE0) return STATE(1, 0xA0, 0xBF); /* below is overlong */
    if (lead == 0xED) return STATE(1, 0x80, 0x9F); /* above are surrogates */
    if (lead < 0xF0) return STATE(1, 0x80, 0xBF);
    if (lead == 0xF0) return STATE(2, 0x90, 0xBF); /* below is overlong */
    if (lead < 0xF4) return STATE(2, 0x80, 0xBF);
    if (lead == 0xF4) return STATE(2, 0x80, 0x8F); /* above is past U+10FFFF */
    return -1;
}

/* One octet further. */
static inline int32_t step(int32_t state, uint8_t octet) {
    int after = state >> 16;
    if (state == 0) return octet < 0x80 ? 0 : after_lead(octet);
    if (octet < (state & 0xFF) || octet > (state >> 8 & 0xFF)) return -1;
    return after ? STATE(after - 1, 0x80, 0xBF) : 0;
}

static inline int continues(uint8_t octet) { return (octet & 0xC0) == 0x80; }

/* The length of the character at p, 0 if it is none; four octets can be read. */
static inline size_t character(const uint8_t *p) {
    int32_t state;
    if (p[0] < 0x80) return 1;
    state = after_lead(p[0]);
    if (state < 0 || p[1] < (state & 0xFF) || p[1] > (state >> 8 & 0xFF)) return 0;
    if (state >> 16 == 0) return 2;
    if (!continues(p[2])) return 0;
    if (state >> 16 == 1) return 3;
    return continues(p[3]) ? 4 : 0;
}

int32_t h2ws_utf8_scalar(const uint8_t *p, size_t n, int32_t state) {
    size_t i = 0;
    while (i < n && state > 0) state = step(state, p[i++]);
    if (state < 0) return -1;
    while (n - i >= 8) {
        if ((load64(p + i) & HIGH64) == 0) {
            i += 8;
        } else { /* at least one character of the next 8 octets is not ASCII: take 4 or so */
            size_t end = i + 5;
            while (i < end) {
                size_t length = character(p + i);
                if (length == 0) return -1;
                i += length;
            }
        }
    }
    while (i < n && state >= 0) state = step(state, p[i++]);
    return state;
}

#if HAVE_VECTOR
int32_t h2ws_utf8_vector(const uint8_t *p, size_t n, int32_t state) {
    size_t i = 0;
    while (i < n && state > 0) state = step(state, p[i++]);
    if (state != 0) return state; /* invalid, or the end */
    while (n - i >= 64) {
        vector a = vector_or(vector_load(p + i), vector_load(p + i + 16));
        vector b = vector_or(vector_load(p + i + 32), vector_load(p + i + 48));
        if (vector_high_bits(vector_or(a, b))) break;
        i += 64;
    }
    return h2ws_utf8_scalar(p + i, n - i, 0);
}
#endif

#if HAVE_AVX
/* Thirty-two octets at a time, by table: "Validating UTF-8 In Less Than One Instruction Per Byte"
   (Keiser and Lemire, 2020). Each pair of neighbouring octets is looked up by the high and the low
   half of the first and the high half of the second; a bit set in all three tables is an error.
   The bits are named for it. TWO is none by itself: it must stand exactly where the octet two or
   three places before demands a third or fourth one. */
enum {
    SHORT = 1 << 0,     /* a lead octet, then no continuation */
    LONG = 1 << 1,      /* ASCII, then a continuation */
    OVERLONG3 = 1 << 2, /* E0, then 80 to 9F */
    LARGE = 1 << 3,     /* F4, then 90 to BF; F5 and above, then 90 to BF */
    SURROGATE = 1 << 4, /* ED, then A0 to BF */
    OVERLONG2 = 1 << 5, /* C0 or C1 */
    LARGE80 = 1 << 6,   /* F5 and above, then 80 to 8F */
    OVERLONG4 = 1 << 6, /* F0, then 80 to 8F */
    TWO = 1 << 7,       /* two continuations */
    ANY = SHORT | LONG | TWO,
};

#define TABLE(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)
#define HALVES(v) _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15))
/* `now`, moved by n octets, the last n of `before` in front. */
#define SHIFTED(before, now, n) \
    _mm256_alignr_epi8(now, _mm256_permute2x128_si256(before, now, 0x21), 16 - (n))

AVX2 static inline __m256i faults(__m256i before, __m256i now) {
    const __m256i first_high = TABLE(LONG, LONG, LONG, LONG, LONG, LONG, LONG, LONG, (char)TWO,
                                     (char)TWO, (char)TWO, (char)TWO, SHORT | OVERLONG2, SHORT,
                                     SHORT | OVERLONG3 | SURROGATE, SHORT | LARGE | LARGE80);
    const __m256i first_low = TABLE(
        (char)(ANY | OVERLONG2 | OVERLONG3 | OVERLONG4), (char)(ANY | OVERLONG2), (char)ANY,
        (char)ANY, (char)(ANY | LARGE), (char)(ANY | LARGE | LARGE80),
        (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80),
        (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80),
        (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80 | SURROGATE),
        (char)(ANY | LARGE | LARGE80), (char)(ANY | LARGE | LARGE80));
    const __m256i second_high =
        TABLE(SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT, SHORT,
              (char)(LONG | TWO | OVERLONG2 | OVERLONG3 | OVERLONG4 | LARGE80),
              (char)(LONG | TWO | OVERLONG2 | OVERLONG3 | LARGE),
              (char)(LONG | TWO | OVERLONG2 | SURROGATE | LARGE),
              (char)(LONG | TWO | OVERLONG2 | SURROGATE | LARGE), SHORT, SHORT, SHORT, SHORT);
    __m256i one = SHIFTED(before, now, 1);
    __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, HALVES(one)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(one, _mm256_set1_epi8(15)))),
        _mm256_shuffle_epi8(second_high, HALVES(now)));
    /* The high bit where two places before stands E0 or above, or three before F0 or above. */
    __m256i third = _mm256_subs_epu8(SHIFTED(before, now, 2), _mm256_set1_epi8(0xE0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(SHIFTED(before, now, 3), _mm256_set1_epi8(0xF0 - 0x80));
    __m256i demanded =
        _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)TWO));
    return _mm256_xor_si256(demanded, pairs);
}

AVX2 int32_t h2ws_utf8_avx2(const uint8_t *p, size_t n, int32_t state) {
    size_t i = 0;
    while (i < n && state > 0) state = step(state, p[i++]);
    if (state != 0) return state; /* invalid, or the end */
    if (n - i >= 32) {
        __m256i before = _mm256_setzero_si256();
        __m256i wrong = _mm256_setzero_si256();
        int open = 0; /* `before` was not ASCII: its last character may reach into the next */
        while (n - i >= 32) {
            __m256i now = _mm256_loadu_si256((const void *)(p + i));
            if (_mm256_movemask_epi8(now) || open) {
                wrong = _mm256_or_si256(wrong, faults(before, now));
                open = _mm256_movemask_epi8(now) != 0;
            } else {
                while (n - i >= 128) {
                    __m256i a = _mm256_loadu_si256((const void *)(p + i + 32));
                    __m256i b = _mm256_loadu_si256((const void *)(p + i + 64));
                    __m256i c = _mm256_loadu_si256((const void *)(p + i + 96));
                    if (_mm256_movemask_epi8(_mm256_or_si256(_mm256_or_si256(a, b), c))) break;
                    i += 96;
                    now = c;
                }
            }
            before = now;
            i += 32;
        }
        if (!_mm256_testz_si256(wrong, wrong)) return -1;
        /* Back to the beginning of a character that the last vector did not hold all of. */
        if (p[i - 1] >= 0xC0)
            i -= 1;
        else if (p[i - 2] >= 0xE0)
            i -= 2;
        else if (p[i - 3] >= 0xF0)
            i -= 3;
    }
    return h2ws_utf8_scalar(p + i, n - i, 0);
}
#endif
