/* What every target of libFuzzer shares. An input is read from its front by `take`; what is left is
   handed to the kernels in blocks of its exact size, so that under AddressSanitizer one octet read
   or written too far ends the run. */

#ifndef H2WS_FUZZ_H
#define H2WS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "h2ws.h"

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                        \
        }                                                                   \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next octet of the input, 0 where it has ended. */
static inline uint8_t take(const uint8_t **data, size_t *size) {
    if (*size == 0) return 0;
    --*size;
    return *(*data)++;
}

/* n octets, `align` octets into what malloc returned, which `whole` keeps for free. */
static inline uint8_t *block(size_t n, size_t align, uint8_t **whole) {
    /* A block of no octets: one may not even be read. */
    *whole = malloc(n + align);
    CHECK(*whole != NULL);
    return *whole + align;
}

static inline uint8_t *copy_of(const uint8_t *p, size_t n, size_t align, uint8_t **whole) {
    uint8_t *copy = block(n, align, whole);
    if (n) memcpy(copy, p, n);
    return copy;
}

#endif
