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

static inline uint64_t load_8(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t load_4(const char *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t load_2(const char *p)
{
    uint16_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Both ends of a name: eight bytes, or four or two where it is shorter. They may overlap. */
struct ends {
    uint64_t head;
    uint64_t tail;
};

/* Two letters at least. */
static inline struct ends ends_of(struct slice name)
{
    const char *end = name.data + name.len;

    if (name.len >= 8)
        return (struct ends){load_8(name.data), load_8(end - 8)};
    if (name.len >= 4)
        return (struct ends){load_4(name.data), load_4(end - 4)};
    return (struct ends){load_2(name.data), load_2(end - 2)};
}

/* The slot that a name would have: both ends of it and its length, see tools/header_slots.py. */
static inline unsigned name_slot(struct ends ends, size_t len)
{
    uint64_t head = ((ends.head | EACH_BYTE(0x20)) + len) * HEADER_SLOT_FIRST;
    uint64_t tail = (ends.tail | EACH_BYTE(0x20)) * HEADER_SLOT_SECOND;

    return (unsigned)((head ^ tail) >> (64 - HEADER_SLOT_BITS));
}

/* Whether two words differ only in the case of letters. `known` has only letters, digits and
 * hyphens, so that bit 6 tells its letters from the rest. */
static inline bool same_word(uint64_t word, uint64_t known)
{
    uint64_t case_bits = (known & EACH_BYTE(0x40)) >> 1;

    return ((word ^ known) & ~case_bits) == 0;
}

/* Between the ends: those of up to 16 bytes (or 7, or 3) meet or overlap. */
static inline bool same_middle(struct slice name, struct slice known)
{
    for (size_t i = 8; i + 8 < name.len; i += 8) {
        if (!same_word(load_8(name.data + i), load_8(known.data + i)))
            return false;
    }
    return true;
}

enum header_id header_id_of(struct slice name)
{
    if (name.len < 2)
        return HEADER_OTHER;
    struct ends ends = ends_of(name);
    unsigned id = header_slots[name_slot(ends, name.len)];
    struct slice known = names[id].name;

    if (known.len != name.len) /* "" for HEADER_OTHER */
        return HEADER_OTHER;
    struct ends wanted = ends_of(known);

    if (!same_word(ends.head, wanted.head) || !same_word(ends.tail, wanted.tail) ||
        !same_middle(name, known))
        return HEADER_OTHER;
    return (enum header_id)id;
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
