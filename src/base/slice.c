/* Views of bytes: comparing, searching, cutting, copying, hashing. Runs in: any process, any
 * thread. */
#include "base/slice.h"

#include <assert.h>
#include <stdlib.h>

#define EACH_BYTE(value) (0x0101010101010101u * (uint64_t)(value))

/* The multipliers of the hash. All of them follow from the seed: with constants that everybody can
 * read, an attacker could choose words that turn a product into zero whatever the seed is. */
static uint64_t secret[3] = {0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u, 0x8cb92ba72f3d8dd7u};

static inline uint64_t load8(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t load4(const char *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Folds A-Z to a-z in all eight bytes at once and leaves every other byte as it is. */
static inline uint64_t fold8(uint64_t word)
{
    uint64_t seven_bits = word & EACH_BYTE(0x7f);
    uint64_t from_a = seven_bits + EACH_BYTE(0x80 - 'A');
    uint64_t after_z = seven_bits + EACH_BYTE(0x7f - 'Z');
    uint64_t upper = (from_a ^ after_z) & ~word & EACH_BYTE(0x80);

    return word | upper >> 2;
}

char *slice_strdup(struct slice s)
{
    char *copy = malloc(s.len + 1);

    if (copy == NULL)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

bool slice_has_upper(struct slice s)
{
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        uint64_t word = load8(s.data + i);

        if (fold8(word) != word)
            return true;
    }
    for (; i < s.len; i++) {
        if (ascii_lower(s.data[i]) != s.data[i])
            return true;
    }
    return false;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    size_t i = 0;

    if (a.len != b.len)
        return false;
    for (; i + 8 <= a.len; i += 8) {
        if (fold8(load8(a.data + i)) != fold8(load8(b.data + i)))
            return false;
    }
    for (; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    }
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

ptrdiff_t slice_find(struct slice s, char c)
{
    const char *at = s.len == 0 ? NULL : memchr(s.data, c, s.len);

    return at == NULL ? -1 : at - s.data;
}

ptrdiff_t slice_search(struct slice s, struct slice needle)
{
    const char *at;

    if (needle.len == 0)
        return 0;
    if (needle.len > s.len)
        return -1;
    at = memmem(s.data, s.len, needle.data, needle.len);
    return at == NULL ? -1 : at - s.data;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.data[0]))
        s = slice_skip(s, 1);
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

bool slice_split(struct slice *rest, char separator, struct slice *part)
{
    ptrdiff_t at;

    if (rest->data == NULL)
        return false;
    at = slice_find(*rest, separator);
    if (at < 0) {
        *part = *rest;
        *rest = slice_make(NULL, 0);
        return true;
    }
    *part = slice_head(*rest, (size_t)at);
    *rest = slice_skip(*rest, (size_t)at + 1);
    return true;
}

bool slice_has_word(const char *words, const char *word)
{
    struct slice rest = slice_of(words);
    struct slice one;

    while (slice_split(&rest, ' ', &one)) {
        if (one.len > 0 && slice_eq(one, slice_of(word)))
            return true;
    }
    return false;
}

bool slice_to_u64(struct slice s, uint64_t *value)
{
    uint64_t sum = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

/* The two halves of the 128-bit product, folded: one multiplication stirs all bits of both. */
static inline uint64_t stir(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* At most 16 bytes as two words: reads overlap instead of looping over the rest. */
static inline void load_short(const char *p, size_t len, uint64_t words[2])
{
    words[0] = 0;
    words[1] = 0;
    if (len >= 8) {
        words[0] = load8(p);
        words[1] = load8(p + len - 8);
    } else if (len >= 4) {
        words[0] = load4(p);
        words[1] = load4(p + len - 4);
    } else if (len > 0) {
        words[0] = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[len / 2] << 8 |
                   (unsigned char)p[len - 1];
    }
}

static inline __attribute__((always_inline)) uint64_t hash_bytes(struct slice s, bool fold)
{
    const char *p = s.data;
    size_t left = s.len;
    uint64_t hash = secret[2] ^ s.len;
    uint64_t words[2];

    for (; left > 16; left -= 16, p += 16) {
        words[0] = fold ? fold8(load8(p)) : load8(p);
        words[1] = fold ? fold8(load8(p + 8)) : load8(p + 8);
        hash = stir(words[0] ^ secret[0], words[1] ^ hash);
    }
    load_short(p, left, words);
    if (fold) {
        words[0] = fold8(words[0]);
        words[1] = fold8(words[1]);
    }
    return stir(stir(words[0] ^ secret[0], words[1] ^ hash) ^ secret[1], secret[2] ^ hash);
}

uint64_t slice_hash(struct slice s)
{
    return hash_bytes(s, false);
}

uint64_t slice_hash_nocase(struct slice s)
{
    return hash_bytes(s, true);
}

void slice_hash_seed(uint64_t seed)
{
    for (size_t i = 0; i < 3; i++) {
        seed += 0x9e3779b97f4a7c15u;
        secret[i] = stir(seed ^ 0xd1b54a32d192ed03u, 0xaef17502108ef2d9u ^ seed >> 29) | 1;
    }
    assert(secret[0] != secret[1]);
}
