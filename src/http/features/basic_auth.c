#include "http/features/basic_auth.h"

/* 0..63, or -1. */
static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : -1;
}

/* `out` has room for in.len bytes. False: a byte outside the alphabet, or a lone last digit. */
static bool base64_decode(struct slice in, char *out, size_t *out_bytes)
{
    uint32_t bits = 0;
    unsigned held = 0;

    *out_bytes = 0;
    while (in.len > 0 && in.data[in.len - 1] == '=')
        in.len--;
    if (in.len % 4 == 1)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        int digit = base64_digit(in.data[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[(*out_bytes)++] = (char)(bits >> held & 0xff);
        }
    }
    return true;
}

bool parse_basic_auth(struct slice value, char *out, struct basic_credentials *credentials)
{
    static const struct slice scheme = SLICE("Basic ");
    size_t bytes;

    if (value.len <= scheme.len || !slice_eq_nocase(slice_head(value, scheme.len), scheme))
        return false;
    value = slice_trim(slice_skip(value, scheme.len));
    if (value.len == 0 || !base64_decode(value, out, &bytes))
        return false;
    struct slice both = slice_make(out, bytes);
    ptrdiff_t colon = slice_find(both, ':');

    if (colon < 0 || memchr(out, '\0', bytes) != NULL)
        return false;
    credentials->user = slice_head(both, (size_t)colon);
    credentials->password = slice_skip(both, (size_t)colon + 1);
    return true;
}
