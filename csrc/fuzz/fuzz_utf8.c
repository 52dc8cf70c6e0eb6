/* UTF-8 at every width, whole and in pieces, against the model: valid, unfinished or wrong, and
   wrong as soon as no continuation could mend it. */

#include "../tests/models.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t how = take(&data, &size);
    uint32_t pieces = 1 + take(&data, &size); /* octets of a piece at most */
    uint32_t random = how;
    int32_t state = 0;
    uint8_t *whole;
    uint8_t *p = copy_of(data, size, how >> 2 & 15, &whole);
    h2ws_init(how & 3);
    CHECK(verdict(h2ws_utf8(p, size, 0)) == utf8_model(data, size));
    free(whole);
    for (size_t at = 0, part; at < size && state >= 0; at += part) {
        random = random * 1103515245 + 12345;
        part = 1 + (random >> 16) % pieces;
        if (part > size - at) part = size - at;
        p = copy_of(data + at, part, random >> 28, &whole);
        state = h2ws_utf8(p, part, state);
        free(whole);
        /* The model rescans: at some of the cuts is enough. */
        if (at + part == size || state < 0 || at < 64)
            CHECK(verdict(state) == utf8_model(data, at + part));
    }
    return 0;
}
