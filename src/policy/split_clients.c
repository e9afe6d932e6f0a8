#include "policy/split_clients.h"

#include "base/arena.h"
#include "config/loader.h"
#include "config/variable.h"

enum { WHOLE = 10000 };

struct split_part {
    struct split_part *next;
    uint32_t
        below; /* hashes below this are in this part; of "*": UINT32_MAX, and all that are left */
    bool rest;
    struct slice value;
};

struct split {
    struct template *source;
    struct split_part *parts;
};

uint32_t murmur_hash2(struct slice text)
{
    const uint32_t m = 0x5bd1e995;
    const unsigned char *data = (const unsigned char *)text.data;
    size_t len = text.len;
    uint32_t hash = (uint32_t)len;

    for (; len >= 4; len -= 4, data += 4) {
        uint32_t k = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
                     (uint32_t)data[3] << 24;

        k *= m;
        k ^= k >> 24;
        k *= m;
        hash = hash * m ^ k;
    }
    for (size_t i = len; i > 0; i--)
        hash ^= (uint32_t)data[i - 1] << (8 * (i - 1));
    if (len > 0)
        hash *= m;
    hash ^= hash >> 13;
    hash *= m;
    return hash ^ hash >> 15;
}

bool parse_share(struct slice text, unsigned *share)
{
    unsigned digits_after = 0;
    bool dot = false;
    unsigned value = 0;

    if (!slice_ends(text, slice_of("%")))
        return false;
    text.len--;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];

        if (c == '.' && !dot && i > 0) {
            dot = true;
            continue;
        }
        if (c < '0' || c > '9' || (dot && ++digits_after > 2) || value > WHOLE)
            return false;
        value = value * 10 + (unsigned)(c - '0');
    }
    for (; digits_after < 2; digits_after++)
        value *= 10;
    *share = value;
    return value > 0 && value <= WHOLE;
}

static bool get(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct split *split = (const struct split *)v->data;
    struct slice source;
    uint32_t hash;

    if (!template_eval(split->source, subject, &source))
        return false;
    hash = murmur_hash2(source);
    for (const struct split_part *part = split->parts; part != NULL; part = part->next) {
        if (part->rest || hash < part->below) {
            *text = part->value;
            return true;
        }
    }
    *text = slice_make("", 0);
    return true;
}

/* `*sum`: the shares of the parts before. */
static bool load_part(struct conf_call *call, struct split_part *part, unsigned *sum)
{
    struct slice share_text = conf_arg(call, 0);
    unsigned share;

    if (conf_arg_count(call) != 2)
        return conf_error(call, 0, "a part has a share and a value");
    part->value = arena_copy(call->loader->arena, conf_arg(call, 1));
    if (part->value.data == NULL)
        return conf_error(call, 0, "no memory");
    part->rest = slice_eq(share_text, slice_of("*"));
    if (part->rest)
        return true;
    if (!parse_share(share_text, &share))
        return conf_error(call, 0, "invalid percent value \"%.*s\"", SLICE_ARG(share_text));
    *sum += share;
    if (*sum > WHOLE)
        return conf_error(call, 0, "percent total is greater than 100%%");
    part->below = (uint32_t)((uint64_t)*sum * UINT32_MAX / WHOLE);
    return true;
}

static bool load_parts(struct conf_call *call, struct split *split)
{
    struct split_part **last = &split->parts;
    unsigned sum = 0;

    for (const struct node *node = call->node->children; node != NULL; node = node->next) {
        struct split_part *part = arena_zalloc(call->loader->arena, sizeof *part);
        struct conf_call entry = *call;

        entry.node = node;
        if (part == NULL)
            return conf_error(call, 0, "no memory");
        if (!load_part(&entry, part, &sum))
            return false;
        *last = part;
        last = &part->next;
    }
    return true;
}

static bool set_split(struct conf_call *call)
{
    struct loader *loader = call->loader;
    struct split *split = arena_zalloc(loader->arena, sizeof *split);
    struct slice name = conf_arg(call, 2);
    struct variable variable = {.get = get, .flags = VARIABLE_CHANGEABLE};
    const char *error;

    if (split == NULL)
        return conf_error(call, 0, "no memory");
    if (name.len < 2 || name.data[0] != '$')
        return conf_error(call, 2, "invalid variable name \"%.*s\"", SLICE_ARG(name));
    split->source = template_compile(loader->variables, loader->arena, conf_arg(call, 1), &error);
    if (split->source == NULL)
        return conf_error(call, 1, "%s", error);
    if (!load_parts(call, split))
        return false;
    variable.name = slice_skip(name, 1);
    variable.data = (uintptr_t)split;
    return variables_add(loader->variables, &variable) ||
           conf_error(call, 2, "the duplicate \"%.*s\" variable", SLICE_ARG(variable.name));
}

const struct directive split_clients_directives[SPLIT_CLIENTS_DIRECTIVES] = {
    {.name = "split_clients",
     .contexts = CTX_HTTP | CTX_STREAM,
     .field = CUSTOM,
     .args_min = 2,
     .args_max = 2,
     .block = true,
     .early = true,
     .repeatable = true,
     .set = set_split,
     .doc = "Makes a variable that has each of several values for a share of clients, chosen by a "
            "hash of the text: the same text always gets the same value.",
     .example = "split_clients $remote_addr $variant {\n    0.5% .one;\n    *    '';\n}"},
};
