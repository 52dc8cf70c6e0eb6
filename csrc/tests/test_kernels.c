/* The kernels against models that are too simple to be wrong. Every range is malloc'd to its exact
   size, so that under AddressSanitizer one octet read or written too far ends the run. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2ws.h"
#include "models.h"

static int failures;

#define CHECK(condition, ...)                                               \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fprintf(stderr, "\n");                                          \
            if (++failures > 20) exit(1);                                   \
        }                                                                   \
    } while (0)

/* xorshift: the same octets on every machine. */
static uint64_t seed = 0x6455;
static uint32_t random32(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

/* n octets that end where the malloc'd block ends; `whole` is what to free. */
static uint8_t *block(size_t n, size_t align, uint8_t **whole) {
    *whole = malloc(n + align + !(n + align));
    if (*whole == NULL) abort();
    return *whole + align;
}

/* -- masking ------------------------------------------------------------------------------ */

static void test_mask(int width) {
    static const uint32_t keys[] = {0, 0x80604020, 0xFFFFFFFF, 0x01000000, 0xA1B2C3D4};
    for (size_t n = 0; n <= 4096; n += n < 300 ? 1 : 1 + random32() % 29) {
        for (size_t align = 0; align < 4; align++) {
            uint32_t key = keys[random32() % 5];
            uint8_t *from_whole, *to_whole;
            uint8_t *from = block(n, align, &from_whole);
            uint8_t *to = block(n, random32() % 8, &to_whole);
            int ascii = 1, reported;
            for (size_t i = 0; i < n; i++)
                from[i] = (uint8_t)((key >> 8 * (i % 4)) ^ (random32() & 0x7F));
            if (n && random32() % 2) from[random32() % n] ^= 0x80; /* not ASCII, at one octet */
            h2ws_mask(to, from, n, key);
            for (size_t i = 0; i < n; i++) {
                uint8_t expected = from[i] ^ (uint8_t)(key >> 8 * (i % 4));
                if (expected >= 0x80) ascii = 0;
                CHECK(to[i] == expected, "width %d, n %zu, octet %zu", width, n, i);
            }
            memset(to, 0xEE, n);
            reported = h2ws_mask_ascii(to, from, n, key);
            CHECK(reported == ascii, "width %d, n %zu", width, n);
            for (size_t i = 0; i < n; i++)
                CHECK(to[i] == (uint8_t)(from[i] ^ (uint8_t)(key >> 8 * (i % 4))),
                      "width %d, n %zu, octet %zu", width, n, i);
            h2ws_mask(from, from, n, key); /* in place */
            CHECK(n == 0 || memcmp(from, to, n) == 0, "in place: width %d, n %zu", width, n);
            free(from_whole);
            free(to_whole);
        }
    }
    h2ws_mask(NULL, NULL, 0, 5);
    CHECK(h2ws_mask_ascii(NULL, NULL, 0, 5) == 1, "nothing is ASCII");
}

static void test_rotate(void) {
    for (size_t n = 0; n < 9; n++)
        for (unsigned i = 0; i < 4; i++)
            CHECK((uint8_t)(h2ws_rotate(0x44332211, n) >> 8 * i) ==
                      (uint8_t)(0x44332211u >> 8 * ((i + n) % 4)),
                  "n %zu", n);
}

/* -- UTF-8 -------------------------------------------------------------------------------- */

static int utf8_whole(const uint8_t *p, size_t n) { return verdict(h2ws_utf8(p, n, 0)); }

static int utf8_in_pieces(const uint8_t *p, size_t n) {
    int32_t state = 0;
    for (size_t i = 0, part; i < n && state >= 0; i += part) {
        part = 1 + random32() % 40;
        if (part > n - i) part = n - i;
        state = h2ws_utf8(p + i, part, state);
    }
    return verdict(state);
}

static size_t write_character(uint8_t *to) {
    static const uint32_t limits[] = {0x80, 0x800, 0x10000, 0x110000};
    uint32_t c = random32() % limits[random32() % 4];
    if (c >= 0xD800 && c < 0xE000) c = 'x';
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

static void test_utf8(int width) {
    for (int round = 0; round < 60000; round++) {
        uint8_t scratch[600];
        uint8_t *p;
        size_t n = 0, wanted = random32() % (round % 8 ? 60 : 500);
        int expected, ascii = random32() % 3 == 0;
        while (n < wanted) {
            if (ascii && random32() % 20)
                scratch[n++] = (uint8_t)(random32() & 0x7F);
            else
                n += write_character(scratch + n);
        }
        if (n && random32() % 2) scratch[random32() % n] = (uint8_t)random32();
        if (n && random32() % 3 == 0) n -= random32() % (n < 4 ? n : 4);
        p = malloc(n ? n : 1);
        if (p == NULL) abort();
        memcpy(p, scratch, n);
        expected = utf8_model(p, n);
        CHECK(utf8_whole(p, n) == expected, "width %d, round %d, n %zu", width, round, n);
        CHECK(utf8_in_pieces(p, n) == expected, "width %d, round %d, n %zu", width, round, n);
        free(p);
    }
    /* Every sequence of three octets, with the fourth that matters. */
    for (uint32_t three = 0x800000; three < 0x1000000; three++) {
        uint8_t p[4] = {(uint8_t)(three >> 16), (uint8_t)(three >> 8), (uint8_t)three, 0x80};
        size_t n = 3 + (p[0] >= 0xF0);
        if ((p[1] & 0x3F) % 15 > 1 && (p[2] & 0x3F) % 31 > 1) continue;
        CHECK(utf8_whole(p, n) == utf8_model(p, n), "width %d, %06x", width, three);
        CHECK(utf8_whole(p, 3) == utf8_model(p, 3), "width %d, %06x", width, three);
    }
}

/* -- Huffman ------------------------------------------------------------------------------ */

static void test_huffman(void) {
    for (int round = 0; round < 20000; round++) {
        size_t n = random32() % 100, size;
        uint8_t *p = malloc(n ? n : 1), *code, *back = malloc(n ? n : 1);
        ptrdiff_t written;
        if (p == NULL || back == NULL) abort();
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)(round % 2 ? random32() : 32 + random32() % 95);
        size = h2ws_huffman_size(p, n);
        code = malloc(size ? size : 1);
        if (code == NULL) abort();
        h2ws_huffman_encode(code, p, n);
        written = h2ws_huffman_decode(back, n, code, size);
        CHECK(written == (ptrdiff_t)n && memcmp(p, back, n) == 0, "round %d, n %zu", round, n);
        CHECK(n == 0 || h2ws_huffman_decode(back, n - 1, code, size) == -1, "room %zu", n - 1);
        free(p);
        free(code);
        free(back);
    }
    for (int round = 0; round < 200000; round++) { /* octets that nobody encoded */
        size_t n = random32() % 12, room = random32() % 20;
        uint8_t *p = malloc(n ? n : 1), *back = malloc(room ? room : 1), again[12 * 4];
        ptrdiff_t written;
        if (p == NULL || back == NULL) abort();
        for (size_t i = 0; i < n; i++) p[i] = random32() % 3 ? (uint8_t)random32() : 0xFF;
        written = h2ws_huffman_decode(back, room, p, n);
        CHECK(written >= -1 && written <= (ptrdiff_t)room, "round %d", round);
        if (written >= 0) { /* what decodes has one code only */
            CHECK(h2ws_huffman_size(back, (size_t)written) == n, "round %d", round);
            h2ws_huffman_encode(again, back, (size_t)written);
            CHECK(memcmp(p, again, n) == 0, "round %d", round);
        }
        free(p);
        free(back);
    }
}

/* -- the map ------------------------------------------------------------------------------ */

static void test_map(void) {
    for (uint32_t capacity = 2; capacity < 70; capacity += 1 + capacity / 9) {
        uint32_t *ids = calloc(capacity, sizeof *ids);
        uint8_t known[257] = {0};
        uint32_t count = 0;
        if (ids == NULL) abort();
        for (int round = 0; round < 20000; round++) {
            uint32_t id = 1 + random32() % 256, place = h2ws_map_find(ids, capacity, id);
            CHECK(place < capacity && (ids[place] == id) == known[id], "capacity %u", capacity);
            if (!known[id] && count + 1 < capacity && random32() % 2) {
                ids[place] = id;
                known[id] = 1;
                count++;
            } else if (known[id]) {
                for (;;) {
                    uint32_t next = h2ws_map_shift(ids, capacity, place);
                    if (next == capacity) break;
                    ids[place] = ids[next];
                    place = next;
                }
                ids[place] = 0;
                known[id] = 0;
                count--;
            }
        }
        for (uint32_t id = 1; id < 257; id++)
            CHECK((ids[h2ws_map_find(ids, capacity, id)] == id) == known[id], "id %u", id);
        free(ids);
    }
}

int main(void) {
    int last = -1;
    test_rotate();
    for (int width = H2WS_SCALAR; width <= H2WS_AVX512; width++) {
        int chosen = h2ws_init(width);
        if (chosen == last) continue; /* this machine has no wider ones */
        last = chosen;
        test_mask(chosen);
        test_utf8(chosen);
        printf("width %d: mask, utf8\n", chosen);
    }
    test_huffman();
    test_map();
    printf("huffman, map\n%s\n", failures ? "FAILED" : "ok");
    return failures != 0;
}
