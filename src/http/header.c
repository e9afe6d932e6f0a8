/* Header names by number. Runs in: any process, any thread. */
#include "http/header.h"

#include "http/header_slots_internal.h"

#include <assert.h>

#define EACH_BYTE(value) (0x0101010101010101u * (uint64_t)(value))

_Static_assert(HEADER_COUNT <= 255, "slots and the lists' index count in bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tools/header_slots.py reads words so");

static const struct {
    struct slice name;
    unsigned traits;
} names[HEADER_COUNT] = {[HEADER_OTHER] = {SLICE(""), 0},
#define HEADER_ROW(id, text, set) [HEADER_##id] = {SLICE(text), set},
                         HEADERS(HEADER_ROW)
#undef HEADER_ROW
};

/* What a byte says about the name it stands in: 0 for what nginx calls valid. */
static const uint8_t name_bytes[256] = {
    [0 ... ' '] = HEADER_NAME_INVALID,   ['!'] = HEADER_NAME_UNUSUAL,
    ['"'] = HEADER_NAME_INVALID,         ['#' ... '\''] = HEADER_NAME_UNUSUAL,
    ['(' ... ')'] = HEADER_NAME_INVALID, ['*' ... '+'] = HEADER_NAME_UNUSUAL,
    [','] = HEADER_NAME_INVALID,         ['.'] = HEADER_NAME_UNUSUAL,
    ['/'] = HEADER_NAME_INVALID,         [':' ... '@'] = HEADER_NAME_INVALID,
    ['[' ... ']'] = HEADER_NAME_INVALID, ['^'] = HEADER_NAME_UNUSUAL,
    ['_'] = HEADER_NAME_UNDERSCORE,      ['`'] = HEADER_NAME_UNUSUAL,
    ['{'] = HEADER_NAME_INVALID,         ['|'] = HEADER_NAME_UNUSUAL,
    ['}'] = HEADER_NAME_INVALID,         ['~'] = HEADER_NAME_UNUSUAL,
    [127 ... 255] = HEADER_NAME_INVALID,
};

static inline uint64_t load(const char *p, size_t bytes)
{
    uint64_t word = 0;

    memcpy(&word, p, bytes);
    return word;
}

/* The slot that `name` would have: both ends of it and its length, see tools/header_slots.py. Two
 * letters at least. */
static inline unsigned name_slot(struct slice name)
{
    const char *end = name.data + name.len;
    uint64_t head, tail;

    if (name.len >= 8) {
        head = load(name.data, 8);
        tail = load(end - 8, 8);
    } else if (name.len >= 4) {
        head = load(name.data, 4);
        tail = load(end - 4, 4);
    } else {
        head = load(name.data, 2);
        tail = load(end - 2, 2);
    }
    head = ((head | EACH_BYTE(0x20)) + name.len) * HEADER_SLOT_FIRST;
    tail = (tail | EACH_BYTE(0x20)) * HEADER_SLOT_SECOND;
    return (unsigned)((head ^ tail) >> (64 - HEADER_SLOT_BITS));
}

/* Whether two words differ only in the case of letters. `known` has only letters, digits and
 * hyphens, so that bit 6 tells its letters from the rest. */
static inline bool same_word(uint64_t word, uint64_t known)
{
    uint64_t case_bits = (known & EACH_BYTE(0x40)) >> 1;

    return ((word ^ known) & ~case_bits) == 0;
}

static bool same_name(struct slice name, struct slice known)
{
    size_t i = 0;

    if (name.len != known.len)
        return false;
    for (; i + 8 <= name.len; i += 8) {
        if (!same_word(load(name.data + i, 8), load(known.data + i, 8)))
            return false;
    }
    if (name.len >= 8) /* the rest overlaps what has been compared */
        return same_word(load(name.data + name.len - 8, 8), load(known.data + name.len - 8, 8));
    return same_word(load(name.data, name.len), load(known.data, name.len));
}

enum header_id header_id_of(struct slice name)
{
    enum header_id id;

    if (name.len < 2)
        return HEADER_OTHER;
    id = (enum header_id)header_slots[name_slot(name)];
    if (id == HEADER_OTHER || !same_name(name, names[id].name))
        return HEADER_OTHER;
    return id;
}

struct slice header_name(enum header_id id)
{
    assert((unsigned)id < HEADER_COUNT);
    return names[id].name;
}

unsigned header_traits(enum header_id id)
{
    assert((unsigned)id < HEADER_COUNT);
    return names[id].traits;
}

unsigned header_name_flags(struct slice name)
{
    unsigned flags = name.len == 0 ? HEADER_NAME_INVALID : 0;

    for (size_t i = 0; i < name.len; i++)
        flags |= name_bytes[(unsigned char)name.data[i]];
    return flags;
}

bool header_next_token(struct slice *rest, struct slice *token)
{
    struct slice part;

    while (slice_split(rest, ',', &part)) {
        part = slice_trim(part);
        if (part.len > 0) {
            *token = part;
            return true;
        }
    }
    return false;
}

bool header_has_token(struct slice value, struct slice token)
{
    struct slice part;

    while (header_next_token(&value, &part)) {
        if (slice_eq_nocase(part, token))
            return true;
    }
    return false;
}
