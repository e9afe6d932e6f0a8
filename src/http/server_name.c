/* `server_name`: what is a good name, and of which kind. Runs in: any process, at load time. */
#include "base/arena.h"
#include "config/loader.h"
#include "config/regex.h"
#include "config/snapshot.h"
#include "http/structure_internal.h"

#include <unistd.h>

static bool is_invalid(struct conf_call *call, size_t index)
{
    conf_error(call, index, "server name \"%.*s\" is invalid", SLICE_ARG(conf_arg(call, index)));
    conf_hint(call, "a \"*\" may stand only for the first or the last label: *.example.com, "
                    "www.example.*");
    return false;
}

/* Without a copy if it is so already: the text of the files stays. */
static struct slice lower(struct arena *arena, struct slice text)
{
    char *copy;
    size_t upper = 0;

    while (upper < text.len && text.data[upper] == ascii_lower(text.data[upper]))
        upper++;
    if (upper == text.len)
        return text;
    copy = arena_bytes(arena, text.len + 1);
    for (size_t i = 0; copy != NULL && i < text.len; i++)
        copy[i] = ascii_lower(text.data[i]);
    return slice_make(copy, copy == NULL ? 0 : text.len);
}

static bool classify(struct conf_call *call, size_t index, struct server_name *name)
{
    struct slice text = name->text;
    bool head = slice_starts(text, slice_of("*."));
    bool dot = text.len > 0 && text.data[0] == '.';
    bool tail = slice_ends(text, slice_of(".*"));
    struct slice rest = head ? slice_skip(text, 2) : dot ? slice_skip(text, 1) : text;

    if (tail)
        rest = slice_head(rest, rest.len > 2 ? rest.len - 2 : 0);
    if (((head || dot) && tail) || ((head || dot || tail) && rest.len == 0) ||
        slice_find(rest, '*') >= 0 || slice_find(rest, '/') >= 0 ||
        slice_search(text, slice_of("..")) >= 0)
        return is_invalid(call, index);
    name->kind = head || dot ? SERVER_NAME_HEAD : tail ? SERVER_NAME_TAIL : SERVER_NAME_EXACT;
    return true;
}

static bool compile(struct conf_call *call, size_t index, struct server_name *name)
{
    struct snapshot *snapshot = call->loader->context;
    struct slice pattern = slice_skip(conf_arg(call, index), 1);
    const char *error = NULL;

    if (pattern.len == 0)
        return conf_error(call, index, "empty regex in server name \"~\"");
    name->kind = SERVER_NAME_REGEX;
    name->text = pattern;
    name->regex = regex_compile(snapshot->regexes, pattern, true, &error);
    return name->regex != NULL || conf_error(call, index, "%s", error);
}

static bool read_name(struct conf_call *call, size_t index, struct server_name *name)
{
    struct slice text = conf_arg(call, index);
    char host[256];

    if (text.len > 0 && text.data[0] == '~')
        return compile(call, index, name);
    if (slice_eq(text, slice_of("$hostname")) && gethostname(host, sizeof host - 1) == 0) {
        host[sizeof host - 1] = '\0';
        text = arena_copy(call->loader->arena, slice_of(host));
    }
    name->text = lower(call->loader->arena, text);
    if (name->text.data == NULL)
        return conf_error(call, index, "no memory for the configuration");
    if (text.len > 1 && text.data[text.len - 1] == '.')
        name->text.len--; /* "example.com." is "example.com" */
    return classify(call, index, name);
}

/* `server_name example.com` without its semicolon takes the next line's words as names. */
static void doubt_name(struct conf_call *call, size_t index)
{
    static const char odd[] = "=;{}\"'()<>,|\\ \t\n";
    struct slice text = conf_arg(call, index);

    if (text.len > 0 && text.data[0] == '~')
        return;
    if (index > 1 && loader_knows(call->loader, text)) {
        conf_warn(call, index, "\"%.*s\" is taken for a name of this server", SLICE_ARG(text));
        conf_hint(call, "it is a directive: is there a semicolon missing before it?");
        return;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (strchr(odd, text.data[i]) == NULL)
            continue;
        conf_warn(call, index, "server name \"%.*s\" has suspicious symbols", SLICE_ARG(text));
        return;
    }
}

/* Names of several directives gather in one array. */
static bool make_room(struct conf_call *call, struct server_draft *server, size_t more)
{
    struct http_server *made = &server->server;
    struct server_name *names = arena_zalloc(call->loader->arena,
                                             (made->name_count + more) * sizeof *names);

    if (names == NULL)
        return conf_error(call, 0, "no memory for the configuration");
    if (made->name_count > 0)
        memcpy(names, made->names, made->name_count * sizeof *names);
    made->names = names;
    server->last_name = names + made->name_count;
    return true;
}

bool conf_set_server_name(struct conf_call *call)
{
    struct server_draft *server = server_draft_of(call);
    size_t count = conf_arg_count(call) - 1;

    if (!make_room(call, server, count))
        return false;
    for (size_t i = 1; i <= count; i++) {
        if (!read_name(call, i, server->last_name))
            return false;
        doubt_name(call, i);
        server->last_name++;
        server->server.name_count++;
    }
    if (server->server.name.data == NULL) {
        struct slice first = server->server.names[0].text;

        server->server.name = first.len > 0 && first.data[0] == '.' ? slice_skip(first, 1) : first;
    }
    return true;
}
