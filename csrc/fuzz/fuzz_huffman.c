/* The Huffman code both ways, against a walk over the codes bit by bit. */

#include "../huffman_code.h"
#include "fuzz.h"

/* A binary tree of the 256 codes: what a 0 and a 1 lead to, negative for a symbol. EOS, which is
   thirty ones, leads nowhere. */
static int16_t tree[512][2];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    int16_t used = 1;
    (void)argc, (void)argv;
    for (int symbol = 0; symbol < 256; symbol++) {
        int16_t node = 0;
        for (int bit = CODES[symbol].bits - 1; bit >= 0; bit--) {
            int16_t *next = &tree[node][CODES[symbol].code >> bit & 1];
            if (bit == 0)
                *next = (int16_t)(-1 - symbol);
            else {
                if (*next == 0) *next = used++;
                node = *next;
            }
        }
    }
    return 0;
}

/* What h2ws_huffman_decode is to return; `to` has room for two octets of each octet read. */
static ptrdiff_t model(uint8_t *to, size_t room, const uint8_t *p, size_t n) {
    size_t written = 0;
    int16_t node = 0;
    int depth = 0, ones = 1;
    for (size_t i = 0; i < n * 8; i++) {
        int bit = p[i / 8] >> (7 - i % 8) & 1;
        int16_t next = tree[node][bit];
        if (next == 0) return -1;
        ones &= bit;
        depth++;
        node = next;
        if (next < 0) {
            to[written++] = (uint8_t)(-1 - next);
            node = 0;
            depth = 0;
            ones = 1;
        }
    }
    return depth > 7 || !ones || written > room ? -1 : (ptrdiff_t)written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t room = take(&data, &size);
    uint8_t how = take(&data, &size);
    uint8_t *whole, *expected, *to, *code, *p;
    ptrdiff_t written, least;
    size_t n;
    if (how & 1) room = size * 8 / 5 + 1;
    p = copy_of(data, size, how >> 1 & 7, &whole);

    expected = malloc(size * 2 + 1);
    to = malloc(room);
    CHECK(expected != NULL && to != NULL);
    least = model(expected, room, p, size);
    written = h2ws_huffman_decode(to, room, p, size);
    CHECK(written == least);
    if (written >= 0) {
        CHECK(written == 0 || memcmp(to, expected, (size_t)written) == 0);
        /* What decodes has one code only. */
        CHECK(h2ws_huffman_size(to, (size_t)written) == size);
        code = malloc(size);
        CHECK(code != NULL);
        h2ws_huffman_encode(code, to, (size_t)written);
        CHECK(size == 0 || memcmp(code, p, size) == 0);
        free(code);
    }
    free(expected);
    free(to);

    /* And the octets as what is to be encoded. */
    n = h2ws_huffman_size(p, size);
    code = malloc(n);
    to = malloc(size);
    CHECK(code != NULL && to != NULL);
    h2ws_huffman_encode(code, p, size);
    CHECK(h2ws_huffman_decode(to, size, code, n) == (ptrdiff_t)size);
    CHECK(size == 0 || memcmp(to, p, size) == 0);
    CHECK(size == 0 || h2ws_huffman_decode(to, size - 1, code, n) == -1);
    free(code);
    free(to);
    free(whole);
    return 0;
}
