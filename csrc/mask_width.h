/* Masking by vectors of one width; mask.c includes this once for each, with these defined:

   NAME                      of the function made here
   TARGET                    its attribute
   WIDTH                     octets of a vector
   VECTOR, LOAD, STORE, XOR, OR, FILL32

   It masks n >= WIDTH octets and returns all of them ORed into one vector. The first and the last
   WIDTH octets overlap the rest of it, each with the key rotated to its place; both are loaded
   before anything is written, so that masking in place masks no octet twice. */

TARGET static inline VECTOR NAME(uint8_t *to, const uint8_t *from, size_t n, uint32_t key) {
    VECTOR word = FILL32(key_at(key, 0));
    VECTOR first = XOR(LOAD(from), word);
    VECTOR last = XOR(LOAD(from + n - WIDTH), FILL32(key_at(key, n - WIDTH)));
    VECTOR seen = OR(first, last);
    uint8_t *start = to, *end = to + n;
    size_t skip = WIDTH;
    if (n >= ALIGNED_FROM) { /* stores across cache lines cost twice */
        skip -= (uintptr_t)to & (WIDTH - 1);
        word = FILL32(key_at(key, skip));
    }
    to += skip;
    from += skip;
    while (end - to >= 4 * WIDTH) {
        VECTOR a = XOR(LOAD(from), word);
        VECTOR b = XOR(LOAD(from + WIDTH), word);
        VECTOR c = XOR(LOAD(from + 2 * WIDTH), word);
        VECTOR d = XOR(LOAD(from + 3 * WIDTH), word);
        STORE(to, a);
        STORE(to + WIDTH, b);
        STORE(to + 2 * WIDTH, c);
        STORE(to + 3 * WIDTH, d);
        seen = OR(OR(seen, OR(a, b)), OR(c, d));
        from += 4 * WIDTH;
        to += 4 * WIDTH;
        KEEP_POINTERS(from, to);
    }
    while (end - to >= WIDTH) {
        VECTOR a = XOR(LOAD(from), word);
        STORE(to, a);
        seen = OR(seen, a);
        from += WIDTH;
        to += WIDTH;
    }
    STORE(start, first);
    STORE(end - WIDTH, last);
    return seen;
}

#undef NAME
#undef TARGET
#undef WIDTH
#undef VECTOR
#undef LOAD
#undef STORE
#undef XOR
#undef OR
#undef FILL32
