/* The contracts of the C kernels.

   All are pure functions over pointer and length. They allocate nothing, keep no pointer, know no
   Python, and set no global but the dispatch pointers below, which `h2ws_init` fills once before
   any other call. No pointer needs an alignment. `n == 0` is allowed everywhere, and the pointers
   may then be NULL. Unless a contract says otherwise, ranges must not overlap. */

#ifndef H2WS_H
#define H2WS_H

#include <stddef.h>
#include <stdint.h>

/* -- which instructions ------------------------------------------------------------------- */

enum {
    H2WS_SCALAR = 0, /* 64-bit words */
    H2WS_VECTOR = 1, /* 16 octets: SSE2, NEON */
    H2WS_AVX2 = 2,   /* 32 octets */
    H2WS_AVX512 = 3, /* 64 octets */
};

/* Choose the widest instructions of this machine, `limit` at most. Returns what was chosen.
   Not safe against kernels that run meanwhile in other threads. */
int h2ws_init(int limit);

/* -- masking: RFC 6455 section 5.3 -------------------------------------------------------- */

/* Copy n octets, octet i XORed with octet i % 4 of the key; the key's octet 0 is its lowest.
   `to` may be `from`, but may not overlap it otherwise. */
extern void (*h2ws_mask)(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);

/* The same, and return 1 if every octet written is below 0x80, else 0. All n are written anyway. */
extern int (*h2ws_mask_ascii)(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);

/* Return the key as seen n octets further on. */
static inline uint32_t h2ws_rotate(uint32_t key, size_t n) {
    unsigned shift = (unsigned)(n & 3) * 8;
    return key >> shift | key << (-shift & 31);
}

/* -- UTF-8: RFC 3629 ---------------------------------------------------------------------- */

/* Validate n octets that continue a text. `state` is 0 at the start of a text, then what the
   call before returned. Returns 0 between two characters, another state (opaque, positive)
   within a character, or -1 as soon as no continuation can make the text valid. */
extern int32_t (*h2ws_utf8)(const uint8_t *p, size_t n, int32_t state);

/* -- Huffman code: RFC 7541 section 5.2 --------------------------------------------------- */

/* Return how many octets `h2ws_huffman_encode` writes. */
size_t h2ws_huffman_size(const uint8_t *p, size_t n);

/* Encode n octets with the padding; `to` has room for h2ws_huffman_size octets. */
void h2ws_huffman_encode(uint8_t *to, const uint8_t *p, size_t n);

/* Decode n octets into `to`, at most `room` of them. Returns how many were written, or -1 for
   more than `room`, an EOS symbol, padding longer than 7 bits or other than ones. */
ptrdiff_t h2ws_huffman_decode(uint8_t *to, size_t room, const uint8_t *p, size_t n);

/* -- the map of streams ------------------------------------------------------------------- */

/* An open-addressing table of ids; 0 marks a free place. Where an id begins to be looked for. */
static inline uint32_t h2ws_map_home(uint32_t id, uint32_t capacity) {
    /* 2^32 / golden ratio spreads ids that follow each other by 2; the high half of the product
       maps it to any capacity without a division. */
    return (uint32_t)((uint64_t)(uint32_t)(id * UINT32_C(0x9E3779B1)) * capacity >> 32);
}

/* Return the place of `id` (not 0), or of the free place where it would stand. The table has a
   free place. */
static inline uint32_t h2ws_map_find(const uint32_t *ids, uint32_t capacity, uint32_t id) {
    uint32_t place = h2ws_map_home(id, capacity);
    while (ids[place] != id && ids[place] != 0)
        if (++place == capacity) place = 0;
    return place;
}

/* `hole` was freed. Return the place of the next id that has to move there, whose own place is
   the next hole; or `capacity` when none has to, and `ids[hole]` is to be 0. */
uint32_t h2ws_map_shift(const uint32_t *ids, uint32_t capacity, uint32_t hole);

#endif
