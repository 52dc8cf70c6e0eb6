/* UTF-8 validation. A state within a character is what its next octet may be and how many follow:
   low | high << 8 | after << 16, so that 0 is free for "between two characters". */

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

static inline int continues(uint8_t octet) { return (octet & 0xC0) == 0x80; }

/* One octet further. */
static inline int32_t step(int32_t state, uint8_t octet) {
    int after = state >> 16;
    if (state == 0) return octet < 0x80 ? 0 : after_lead(octet);
    if (octet < (state & 0xFF) || octet > (state >> 8 & 0xFF)) return -1;
    return after ? STATE(after - 1, 0x80, 0xBF) : 0;
}

/* Octets from the front that are ASCII, rounded down to what is quick to find. */
typedef size_t ascii_run(const uint8_t *p, size_t n);

static inline size_t ascii_run_words(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (n - i >= 16 && ((load64(p + i) | load64(p + i + 8)) & HIGH64) == 0) i += 16;
    return i;
}

static inline int32_t validate(const uint8_t *p, size_t n, int32_t state, ascii_run *run) {
    size_t i = 0;
    while (i < n && state > 0) state = step(state, p[i++]); /* the rest of the last character */
    if (state < 0) return -1;
    while (i < n) {
        uint8_t octet = p[i];
        if (octet < 0x80) {
            size_t skipped = run(p + i, n - i);
            i += skipped ? skipped : 1;
            continue;
        }
        if (n - i < 4) { /* the last character may be unfinished */
            state = after_lead(octet);
            i++;
            while (i < n && state > 0) state = step(state, p[i++]);
            if (state < 0) return -1;
            continue;
        }
        state = after_lead(octet);
        if (state < 0 || p[i + 1] < (state & 0xFF) || p[i + 1] > (state >> 8 & 0xFF)) return -1;
        switch (state >> 16) {
            case 0:
                i += 2;
                break;
            case 1:
                if (!continues(p[i + 2])) return -1;
                i += 3;
                break;
            default:
                if (!continues(p[i + 2]) || !continues(p[i + 3])) return -1;
                i += 4;
        }
        state = 0;
    }
    return state;
}

int32_t h2ws_utf8_scalar(const uint8_t *p, size_t n, int32_t state) {
    return validate(p, n, state, ascii_run_words);
}

#if HAVE_VECTOR
static inline size_t ascii_run_vectors(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (n - i >= 64) {
        vector a = OR(LOAD(p + i), LOAD(p + i + 16));
        vector b = OR(LOAD(p + i + 32), LOAD(p + i + 48));
        if (HIGH_BITS(OR(a, b))) break;
        i += 64;
    }
    while (n - i >= 16 && !HIGH_BITS(LOAD(p + i))) i += 16;
    return i;
}

int32_t h2ws_utf8_vector(const uint8_t *p, size_t n, int32_t state) {
    return validate(p, n, state, ascii_run_vectors);
}
#endif

#if HAVE_AVX2
int32_t h2ws_utf8_avx2(const uint8_t *p, size_t n, int32_t state) {
    return validate(p, n, state, ascii_run_vectors);
}
#endif
