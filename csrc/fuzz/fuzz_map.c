/* The map of streams, against a flag for each id. */

#include "fuzz.h"

#define IDS 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint32_t capacity = 2 + take(&data, &size);
    uint32_t step = 1 + take(&data, &size) * UINT32_C(0x2000001); /* ids near and far */
    uint32_t *ids = calloc(capacity, sizeof *ids);
    uint8_t known[IDS] = {0};
    uint32_t count = 0;
    CHECK(ids != NULL);
    while (size >= 2) {
        uint32_t number = (uint32_t)take(&data, &size) | (uint32_t)(take(&data, &size) & 1) << 8;
        uint32_t id = (number + 1) * step, place;
        if (id == 0) continue;
        place = h2ws_map_find(ids, capacity, id);
        CHECK(place < capacity && ids[place] == (known[number] ? id : 0));
        if (known[number]) {
            for (;;) {
                uint32_t next = h2ws_map_shift(ids, capacity, place);
                CHECK(next <= capacity);
                if (next == capacity) break;
                ids[place] = ids[next];
                place = next;
            }
            ids[place] = 0;
            known[number] = 0;
            count--;
        } else if (count + 1 < capacity) {
            ids[place] = id;
            known[number] = 1;
            count++;
        }
    }
    for (uint32_t number = 0; number < IDS; number++) {
        uint32_t id = (number + 1) * step;
        if (id) CHECK((ids[h2ws_map_find(ids, capacity, id)] == id) == known[number]);
    }
    free(ids);
    return 0;
}
