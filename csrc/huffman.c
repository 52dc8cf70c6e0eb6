/* The Huffman code of HPACK. Bits stand at the top of a 64-bit word while they wait. */

#include "h2ws.h"
#include "huffman_code.h"

size_t h2ws_huffman_size(const uint8_t *p, size_t n) {
    size_t bits = 0;
    for (size_t i = 0; i < n; i++) bits += CODES[p[i]].bits;
    return (bits + 7) / 8;
}

void h2ws_huffman_encode(uint8_t *to, const uint8_t *p, size_t n) {
    uint64_t waiting = 0;
    int bits = 0; /* how many of them wait; below 8 before each symbol, so 38 at most */
    for (size_t i = 0; i < n; i++) {
        int length = CODES[p[i]].bits;
        waiting |= (uint64_t)CODES[p[i]].code << (64 - bits - length);
        for (bits += length; bits >= 8; bits -= 8) {
            *to++ = (uint8_t)(waiting >> 56);
            waiting <<= 8;
        }
    }
    /* "the most significant bits of the code corresponding to the EOS (end-of-string) symbol" */
    if (bits) *to = (uint8_t)(waiting >> 56 | 0xFF >> bits);
}

ptrdiff_t h2ws_huffman_decode(uint8_t *to, size_t room, const uint8_t *p, size_t n) {
    const uint8_t *end = p + n;
    uint64_t waiting = ~UINT64_C(0); /* ones behind the last bit: what the padding consists of */
    int bits = 0;
    size_t written = 0;
    for (;;) {
        uint32_t window;
        unsigned symbol;
        int length;
        if (bits < LONGEST) /* fill up once for several symbols */
            while (bits <= 56 && p < end) {
                waiting ^= (uint64_t)(*p++ ^ 0xFF) << (56 - bits);
                bits += 8;
            }
        window = (uint32_t)(waiting >> 32);
        /* Fewer than 8 bits, all ones: the end, without a search for the code of many ones. */
        if (bits < 8 && window >> 24 == 0xFF) return (ptrdiff_t)written;
        if (FIRST[window >> 24]) {
            symbol = FIRST[window >> 24] & 0xFF;
            length = FIRST[window >> 24] >> 8;
        } else {
            length = 10;
            while (length < LONGEST && window >= LENGTHS[length + 1].first) length++;
            symbol = LENGTHS[length].symbols + ((window - LENGTHS[length].first) >> (32 - length));
            /* "A Huffman-encoded string literal containing the EOS symbol MUST be treated as a
               decoding error." Ones without end are EOS, and longer than what is left. */
            if (symbol < 256)
                symbol = SYMBOLS[symbol];
            else if (length <= bits)
                return -1;
        }
        if (length > bits || written == room) return -1;
        to[written++] = (uint8_t)symbol;
        waiting = waiting << length | ((UINT64_C(1) << length) - 1);
        bits -= length;
    }
}
