#include "http/features/lookup.h"

bool parse_query_value(struct slice args, struct slice name, struct slice *value)
{
    struct slice pair;

    while (name.len > 0 && slice_split(&args, '&', &pair)) {
        if (pair.len > name.len && pair.data[name.len] == '=' &&
            slice_eq_nocase(slice_head(pair, name.len), name)) {
            *value = slice_skip(pair, name.len + 1);
            return true;
        }
    }
    return false;
}

static struct slice skip_blanks(struct slice s)
{
    while (s.len > 0 && s.data[0] == ' ')
        s = slice_skip(s, 1);
    return s;
}

/* Behind the next separator of pairs. */
static struct slice skip_pair(struct slice s)
{
    while (s.len > 0 && s.data[0] != ';' && s.data[0] != ',')
        s = slice_skip(s, 1);
    return skip_blanks(slice_skip(s, 1));
}

bool parse_cookie_value(struct slice header, struct slice name, struct slice *value)
{
    struct slice rest = skip_blanks(header);

    for (; rest.len > name.len; rest = skip_pair(rest)) {
        if (name.len == 0 || !slice_eq_nocase(slice_head(rest, name.len), name))
            continue;
        struct slice after = skip_blanks(slice_skip(rest, name.len));

        if (after.len == 0 || after.data[0] != '=')
            continue;
        after = skip_blanks(slice_skip(after, 1));
        ptrdiff_t end = slice_find(after, ';');

        *value = end < 0 ? after : slice_head(after, (size_t)end);
        return true;
    }
    return false;
}
