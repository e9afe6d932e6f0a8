/* The ordered list of a message's fields. Runs in: any process, any thread; one thread per list. */
#include "base/arena.h"
#include "http/header.h"

#include <assert.h>

_Static_assert((HEADERS_INLINE & (HEADERS_INLINE - 1)) == 0,
               "slots are split by their highest bit");
_Static_assert((int)HEADER_COUNT <= 64 * (int)HEADER_WORDS, "each id has a bit");

enum {
    FIRST_FAR = 255,      /* in `first`: the field is in a slot that a byte cannot name */
    NOMINATIONS_MAX = 64, /* a Connection with more names makes us drop all fields we do not know */
};

/* Which chunk holds slot `index` (>= HEADERS_INLINE): chunk k begins at slot 16 << k and is as
 * long. */
static inline uint32_t chunk_of(uint32_t index)
{
    return 31u - (uint32_t)__builtin_clz(index / HEADERS_INLINE);
}

static inline uint32_t chunk_slots(uint32_t chunk)
{
    return (uint32_t)HEADERS_INLINE << chunk;
}

void header_list_init(struct header_list *list, struct arena *arena)
{
    list->arena = arena;
    list->chunk_count = 0;
    header_list_clear(list);
}

void header_list_clear(struct header_list *list)
{
    list->slot_count = 0;
    list->removed_count = 0;
    for (unsigned i = 0; i < HEADER_WORDS; i++)
        list->present[i] = 0;
}

static inline uint64_t bit_of(enum header_id id)
{
    return UINT64_C(1) << ((unsigned)id % 64);
}

/* The field in `slot` has just been added. */
static inline void note(struct header_list *list, enum header_id id, uint32_t slot)
{
    unsigned word = (unsigned)id / 64;

    if ((list->present[word] & bit_of(id)) != 0) {
        list->repeated[word] |= bit_of(id);
        return;
    }
    list->present[word] |= bit_of(id);
    list->repeated[word] &= ~bit_of(id);
    list->first[id] = slot + 1 < FIRST_FAR ? (uint8_t)(slot + 1) : FIRST_FAR;
}

struct header *header_list_slot(const struct header_list *list, uint32_t index)
{
    uint32_t chunk;

    assert(index < list->slot_count);
    if (index < HEADERS_INLINE)
        return (struct header *)&list->inline_fields[index];
    chunk = chunk_of(index);
    assert(chunk < list->chunk_count);
    return &list->chunks[chunk][index - chunk_slots(chunk)];
}

/* Makes sure that slot `slot_count` exists. */
static bool grow(struct header_list *list)
{
    uint32_t chunk;

    chunk = chunk_of(list->slot_count);
    if (chunk < list->chunk_count)
        return true;
    if (chunk >= HEADER_CHUNKS || list->arena == NULL)
        return false;
    list->chunks[chunk] = arena_alloc(list->arena, chunk_slots(chunk) * sizeof(struct header));
    if (list->chunks[chunk] == NULL)
        return false;
    list->chunk_count = chunk + 1;
    return true;
}

struct header *header_list_push(struct header_list *list, const struct header *field)
{
    uint32_t slot = list->slot_count;
    struct header *added;

    assert((unsigned)field->id < HEADER_COUNT);
    if (slot >= HEADERS_INLINE && !grow(list))
        return NULL;
    list->slot_count++;
    added = slot < HEADERS_INLINE ? &list->inline_fields[slot] : header_list_slot(list, slot);
    *added = *field;
    if (field->id != HEADER_OTHER)
        note(list, field->id, slot);
    return added;
}

struct header *header_list_add(struct header_list *list, struct slice name, struct slice value)
{
    struct header field = {.name = name, .value = value, .id = header_id_of(name)};

    if (field.id == HEADER_OTHER)
        field.flags = header_name_flags(name);
    return header_list_push(list, &field);
}

struct header *header_list_add_id(struct header_list *list, enum header_id id, struct slice value)
{
    struct header field = {.name = header_name(id), .value = value, .id = id};

    assert(id != HEADER_OTHER);
    return header_list_push(list, &field);
}

struct header *header_list_set(struct header_list *list, enum header_id id, struct slice value)
{
    uint32_t at = 0;
    struct header *field = header_list_next_id(list, id, &at);
    struct header *other;

    if (field == NULL)
        return header_list_add_id(list, id, value);
    while ((other = header_list_next_id(list, id, &at)) != NULL)
        header_list_remove(list, other);
    field->value = value;
    field->flags &= ~(unsigned)HEADER_VERBATIM;
    return field;
}

void header_list_remove(struct header_list *list, struct header *field)
{
    uint32_t at = 0;

    assert((field->flags & HEADER_REMOVED) == 0);
    assert(list->removed_count < list->slot_count);
    field->flags |= HEADER_REMOVED;
    list->removed_count++;
    if (field->id != HEADER_OTHER && header_list_next_id(list, field->id, &at) == NULL)
        list->present[(unsigned)field->id / 64] &= ~bit_of(field->id);
}

uint32_t header_list_remove_id(struct header_list *list, enum header_id id)
{
    uint32_t at = 0, count = 0;

    for (struct header *h; (h = header_list_next_id(list, id, &at)) != NULL; count++)
        header_list_remove(list, h);
    return count;
}

struct header *header_list_next_id(const struct header_list *list, enum header_id id, uint32_t *at)
{
    uint32_t first;

    assert(id != HEADER_OTHER);
    if (!header_list_has(list, id))
        return NULL;
    first = list->first[id];
    if (first != FIRST_FAR && (list->repeated[(unsigned)id / 64] & bit_of(id)) == 0) {
        if (*at >= first)
            return NULL;
        *at = first;
        return header_list_slot(list, first - 1);
    }
    if (*at < first - 1)
        *at = first - 1;
    for (struct header *h; (h = header_list_next(list, at)) != NULL;) {
        if (h->id == id)
            return h;
    }
    return NULL;
}

struct header *header_list_find_name(const struct header_list *list, struct slice name)
{
    enum header_id id = header_id_of(name);
    uint32_t at = 0;

    if (id != HEADER_OTHER)
        return header_list_find(list, id);
    for (struct header *h; (h = header_list_next(list, &at)) != NULL;) {
        if (h->id == HEADER_OTHER && slice_eq_nocase(h->name, name))
            return h;
    }
    return NULL;
}

bool header_list_copy(struct header_list *target, const struct header_list *source)
{
    uint32_t at = 0;

    assert(target != source);
    for (const struct header *h; (h = header_list_next(source, &at)) != NULL;) {
        struct header copy = *h;

        if (target->arena == NULL)
            return false;
        copy.name = arena_copy(target->arena, h->name);
        copy.value = arena_copy(target->arena, h->value);
        copy.flags &= ~(unsigned)HEADER_VERBATIM;
        if (copy.name.data == NULL || copy.value.data == NULL)
            return false;
        if (header_list_push(target, &copy) == NULL)
            return false;
    }
    return true;
}

/* The names that Connection lines give besides those that are no fields. Few, in honest messages.
 */
struct nominations {
    struct slice names[NOMINATIONS_MAX];
    size_t count; /* above NOMINATIONS_MAX: more than we are willing to compare */
};

static bool is_usual_option(struct slice option)
{
    static const struct slice usual[] = {SLICE("close"), SLICE("keep-alive"), SLICE("upgrade")};

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (slice_eq_nocase(option, usual[i]))
            return true;
    }
    return false;
}

static void collect_nominations(const struct header_list *list, struct nominations *found)
{
    uint32_t at = 0;

    found->count = 0;
    for (const struct header *h; (h = header_list_next_id(list, HEADER_CONNECTION, &at)) != NULL;) {
        struct slice rest = h->value, option;

        while (found->count <= NOMINATIONS_MAX && header_next_token(&rest, &option)) {
            if (is_usual_option(option))
                continue;
            if (found->count < NOMINATIONS_MAX)
                found->names[found->count] = option;
            found->count++;
        }
    }
}

static bool is_nominated(const struct nominations *found, struct slice name)
{
    if (found->count > NOMINATIONS_MAX)
        return true;
    for (size_t i = 0; i < found->count; i++) {
        if (slice_eq_nocase(found->names[i], name))
            return true;
    }
    return false;
}

void header_list_mark_hop_by_hop(struct header_list *list)
{
    struct nominations found;
    uint32_t at = 0;

    collect_nominations(list, &found);
    for (struct header *h; (h = header_list_next(list, &at)) != NULL;) {
        bool hop = h->id != HEADER_OTHER ? (header_traits(h->id) & HEADER_HOP) != 0
                                         : is_nominated(&found, h->name);

        if (hop)
            h->flags |= HEADER_HOP_BY_HOP;
    }
}
