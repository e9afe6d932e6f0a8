/* Hex digits: percent-encoding and chunk sizes. Runs in: any process, any thread. */
#pragma once

/* 0 to 15, or -1 for what is no hex digit; either case. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
