/* Edit distance with swaps of neighbours, bounded. Runs in: any process, at load time. */
#include "config/nearest_internal.h"

#include "config/loader.h"

enum { NAME_MAX_LEN = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* Optimal string alignment over three rows. Both lengths are at most NAME_MAX_LEN. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned rows[3][NAME_MAX_LEN + 1];
    unsigned *before = rows[0];
    unsigned *above = rows[1];
    unsigned *row = rows[2];

    for (unsigned j = 0; j <= b.len; j++)
        above[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *free_row = before;

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char x = ascii_lower(a.data[i - 1]);
            char y = ascii_lower(b.data[j - 1]);

            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == ascii_lower(b.data[j - 2]) &&
                ascii_lower(a.data[i - 2]) == y && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        before = above;
        above = row;
        row = free_row;
    }
    return above[b.len];
}

void nearest_init(struct nearest *nearest, struct slice word)
{
    /* A third of the letters may be wrong: fewer find nothing, more find nonsense. */
    *nearest = (struct nearest){.word = word, .best_distance = (unsigned)(word.len / 3 + 2)};
    if (word.len > NAME_MAX_LEN || word.len < 2)
        nearest->best_distance = 0;
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
    struct slice name = slice_of(candidate);
    size_t longer = name.len > nearest->word.len ? name.len : nearest->word.len;
    size_t shorter = name.len + nearest->word.len - longer;
    unsigned edits;

    if (name.len > NAME_MAX_LEN || longer - shorter >= nearest->best_distance)
        return;
    edits = distance(nearest->word, name);
    if (edits < nearest->best_distance) {
        nearest->best_distance = edits;
        nearest->best = candidate;
    }
}

const char *nearest_name(struct slice word, const char *const *names, size_t count)
{
    struct nearest nearest;

    nearest_init(&nearest, word);
    for (size_t i = 0; i < count; i++)
        nearest_try(&nearest, names[i]);
    return nearest.best;
}
