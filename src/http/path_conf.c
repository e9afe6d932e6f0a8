/* `root` and `alias`: where files are. Runs in: any process, at load time. */
#include "config/loader.h"
#include "http/core_conf.h"

static struct template *compile(struct conf_call *call, size_t index, struct slice text)
{
    const char *error = NULL;
    struct template *made = template_compile(call->loader->variables, call->loader->arena, text,
                                             &error);

    if (made == NULL)
        conf_error(call, index, "%s", error);
    return made;
}

static bool set_path(struct conf_call *call, bool is_alias)
{
    struct path_conf *conf = call->conf;
    struct slice path = conf_arg(call, 1);
    bool absolute = path.len > 0 && (path.data[0] == '/' || path.data[0] == '$');

    if (!absolute)
        path = loader_path(call->loader, path);
    if (path.len > 1 && !is_alias && path.data[path.len - 1] == '/')
        path.len--;
    conf->root = compile(call, 1, path);
    conf->is_alias = is_alias;
    return conf->root != NULL;
}

static bool set_root(struct conf_call *call)
{
    return set_path(call, false);
}

static bool has_root(const struct node *block)
{
    for (const struct node *it = block->children; it != NULL; it = it->next)
        if (slice_eq(word_text(it->words[0]), slice_of("root")))
            return true;
    return false;
}

static bool set_alias(struct conf_call *call)
{
    const struct http_location *location = conf_location(call);
    struct path_conf *conf = call->conf;

    if (has_root(call->scope->node))
        return conf_error(call, 0, "\"root\" and \"alias\" cannot stand in one location");
    if (location->kind == LOCATION_NAMED)
        return conf_error(call, 0,
                          "the \"alias\" directive cannot be used inside a named location");
    conf->alias_location = location->kind == LOCATION_REGEX ? slice_make(NULL, 0) : location->name;
    return set_path(call, true);
}

static const struct directive directives[] = {
    {"root", CTX_HTTP_ALL | CTX_LOCATION_IF, CUSTOM, .def = "html", .args_min = 1, .args_max = 1,
     .set = set_root, .doc = "Folder that paths are looked up in."},
    {"alias", CTX_LOCATION, CUSTOM, .args_min = 1, .args_max = 1, .set = set_alias,
     .doc = "Folder or file that takes the place of the location's name in paths.",
     .example = "alias /srv/images/;"},
};

struct feature http_path_feature = {
    .conf = {.name = "http_core",
             .conf_bytes = sizeof(struct path_conf),
             .frequent = true,
             .directives = directives,
             .directive_count = COUNT(directives)},
};
