/* Models that are too simple to be wrong, for the tests and for the fuzzer. */

#ifndef H2WS_MODELS_H
#define H2WS_MODELS_H

#include <stddef.h>
#include <stdint.h>

/* RFC 3629 section 4, decoded the long way: 0 valid, 1 a prefix of something valid, -1 neither. */
static inline int utf8_model(const uint8_t *p, size_t n) {
    size_t i = 0;
    while (i < n) {
        size_t length = p[i] < 0x80 ? 1 : p[i] >> 5 == 6 ? 2 : p[i] >> 4 == 14 ? 3 : 4;
        uint32_t lowest, highest, least, most;
        if (length == 1) {
            i++;
            continue;
        }
        if (p[i] < 0xC0 || p[i] > 0xF7) return -1;
        /* All code points that could begin like this, from all-zero to all-one rest bits. */
        lowest = p[i] & (0x7Fu >> length);
        highest = lowest;
        for (size_t k = 1; k < length; k++) {
            if (i + k < n) {
                if (p[i + k] >> 6 != 2) return -1;
                lowest = lowest << 6 | (p[i + k] & 0x3F);
                highest = highest << 6 | (p[i + k] & 0x3F);
            } else {
                lowest <<= 6;
                highest = highest << 6 | 0x3F;
            }
            /* Is there still a legal code point between the two? */
            least = lowest << 6 * (length - 1 - k);
            most = (highest + 1) << 6 * (length - 1 - k);
            if (length == 2 && most <= 0x80) return -1;
            if (length == 3 && most <= 0x800) return -1;
            if (length == 3 && least >= 0xD800 && most <= 0xE000) return -1;
            if (length == 4 && (most <= 0x10000 || least > 0x10FFFF)) return -1;
        }
        if (i + length > n) return 1;
        i += length;
    }
    return 0;
}

/* The same of what h2ws_utf8 returns. */
static inline int verdict(int32_t state) { return state < 0 ? -1 : state > 0; }

#endif
