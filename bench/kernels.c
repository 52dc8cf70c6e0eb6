/* Times the C kernels beside memcpy, called as the engine calls them: through the dispatch
   pointers, over buffers that stay in the cache up to its size. Built by bench/kernels.py
   together with csrc/. */

#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "h2ws.h"

enum { MEMCPY, MASK, MASK_ASCII, UTF8, HUFFMAN_DECODE, HUFFMAN_ENCODE };

/* volatile: the compiler must call what the engine would call, and every time */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static volatile uint64_t sink;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Seconds of `rounds` calls. A kernel that fails its own contract gives -1. */
__attribute__((visibility("default"))) double h2ws_bench(int kernel, uint8_t *to, size_t room,
                                                         const uint8_t *from, size_t n,
                                                         long rounds) {
    uint64_t seen = 0;
    uint32_t key = 0x3d21fa37;
    double started = now();
    for (long i = 0; i < rounds; i++) {
        switch (kernel) {
        case MEMCPY: copy(to, from, n); break;
        case MASK: h2ws_mask(to, from, n, key); break;
        case MASK_ASCII: seen += (uint64_t)h2ws_mask_ascii(to, from, n, key); break;
        case UTF8:
            if (h2ws_utf8(from, n, 0) != 0) return -1;
            break;
        case HUFFMAN_DECODE:
            if (h2ws_huffman_decode(to, room, from, n) < 0) return -1;
            break;
        case HUFFMAN_ENCODE: h2ws_huffman_encode(to, from, n); break;
        default: return -1;
        }
        __asm__ volatile("" : : : "memory");
    }
    sink = seen;
    return now() - started;
}

__attribute__((visibility("default"))) int h2ws_bench_init(void) { return h2ws_init(H2WS_AVX512); }

__attribute__((visibility("default"))) size_t h2ws_bench_huffman(uint8_t *to, const uint8_t *from,
                                                                 size_t n) {
    h2ws_huffman_encode(to, from, n);
    return h2ws_huffman_size(from, n);
}
