#include "h2ws.h"

uint32_t h2ws_map_shift(const uint32_t *ids, uint32_t capacity, uint32_t hole) {
    uint32_t place = hole;
    for (;;) {
        uint32_t home;
        if (++place == capacity) place = 0;
        if (ids[place] == 0) return capacity;
        home = h2ws_map_home(ids[place], capacity);
        /* It has to move unless its home lies behind the hole: cyclically in (hole, place]. */
        if (hole < place ? home <= hole || home > place : home <= hole && home > place)
            return place;
    }
}
