/* Masking at every width and alignment, against one octet at a time. */

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t key = 0;
    uint8_t how = take(&data, &size);
    size_t cut = take(&data, &size);
    uint8_t *from_whole, *to_whole, *model;
    uint8_t *from, *to;
    int ascii = 1;
    for (int i = 0; i < 4; i++) key |= (uint32_t)take(&data, &size) << 8 * i;
    h2ws_init(how & 3);
    from = copy_of(data, size, how >> 2 & 7, &from_whole);
    to = block(size, how >> 5, &to_whole);
    model = malloc(size + 1);
    CHECK(model != NULL);
    for (size_t i = 0; i < size; i++) {
        model[i] = data[i] ^ (uint8_t)(key >> 8 * (i & 3));
        if (model[i] & 0x80) ascii = 0;
    }
    h2ws_mask(to, from, size, key);
    CHECK(size == 0 || memcmp(to, model, size) == 0);
    if (size) memset(to, 0xEE, size);
    CHECK(h2ws_mask_ascii(to, from, size, key) == ascii);
    CHECK(size == 0 || memcmp(to, model, size) == 0);
    /* In place, and in two parts. */
    if (cut > size) cut = size;
    h2ws_mask(from, from, cut, key);
    h2ws_mask(from + cut, from + cut, size - cut, h2ws_rotate(key, cut));
    CHECK(size == 0 || memcmp(from, model, size) == 0);
    free(model);
    free(from_whole);
    free(to_whole);
    return 0;
}
