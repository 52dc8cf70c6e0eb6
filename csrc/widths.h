/* The widths in which the kernels exist, for the dispatch alone; contracts in h2ws.h. */

#ifndef H2WS_WIDTHS_H
#define H2WS_WIDTHS_H

#include "h2ws.h"

void h2ws_mask_scalar(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
void h2ws_mask_vector(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
void h2ws_mask_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
void h2ws_mask_avx512(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
int h2ws_mask_ascii_scalar(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
int h2ws_mask_ascii_vector(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
int h2ws_mask_ascii_avx2(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
int h2ws_mask_ascii_avx512(uint8_t *to, const uint8_t *from, size_t n, uint32_t key);
int32_t h2ws_utf8_scalar(const uint8_t *p, size_t n, int32_t state);
int32_t h2ws_utf8_vector(const uint8_t *p, size_t n, int32_t state);
int32_t h2ws_utf8_avx2(const uint8_t *p, size_t n, int32_t state);

#endif
