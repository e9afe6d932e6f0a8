/* Program, arguments and user of an instance. Runs in: master. */
#include "apps/launch.h"

#include "apps/env_internal.h"
#include "apps/spec.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 4096, GROUPS_MAX = 256 };

static const struct {
    const char *extension;
    const char *interpreter;
} interpreters[] = {
    {".js", "node"},    {".cjs", "node"},  {".mjs", "node"},      {".ts", "bun"},  {".tsx", "bun"},
    {".py", "python3"}, {".sh", "bash"},   {".rb", "ruby"},       {".pl", "perl"}, {".php", "php"},
    {".lua", "lua"},    {".R", "Rscript"}, {".coffee", "coffee"},
};

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* NULL: the script is a program itself. */
static const char *interpreter_of(const struct app_spec *spec)
{
    const char *extension = strrchr(last_part(spec->script), '.');

    if (spec->interpreter != NULL)
        return strcmp(spec->interpreter, "none") == 0 ? NULL : spec->interpreter;
    if (strchr(spec->script, ' ') != NULL)
        return NULL;
    for (size_t i = 0; extension != NULL && i < COUNT(interpreters); i++) {
        if (strcmp(extension, interpreters[i].extension) == 0)
            return interpreters[i].interpreter;
    }
    return NULL;
}

bool launch_is_node(const struct app_spec *spec)
{
    const char *interpreter = interpreter_of(spec);
    const char *name;

    if (interpreter == NULL)
        return false;
    name = last_part(interpreter);
    return strncmp(name, "node", 4) == 0 || strcmp(name, "bun") == 0;
}

static bool is_file(const char *path, int mode)
{
    struct stat stat_;

    return stat(path, &stat_) == 0 && S_ISREG(stat_.st_mode) && access(path, mode) == 0;
}

static const char *joined(struct arena *arena, struct slice folder, const char *name)
{
    return arena_printf(arena, "%.*s/%s", SLICE_ARG(folder), name).data;
}

/* As a shell does, with the app's own PATH. NULL: nowhere. */
static const char *find_in_path(struct arena *arena, char **envp, const char *name)
{
    struct slice rest = slice_of("/usr/local/bin:/usr/bin:/bin");
    struct slice folder;

    for (char **it = envp; *it != NULL; it++) {
        if (strncmp(*it, "PATH=", 5) == 0)
            rest = slice_of(*it + 5);
    }
    while (slice_split(&rest, ':', &folder)) {
        const char *path = joined(arena, folder, name);

        if (path != NULL && folder.len > 0 && is_file(path, X_OK))
            return path;
    }
    return NULL;
}

static const char *program_path(struct arena *arena, const struct app_spec *spec, char **envp,
                                const char *name)
{
    if (name[0] == '/')
        return name;
    if (strchr(name, '/') != NULL)
        return joined(arena, slice_of(spec->cwd), name);
    return find_in_path(arena, envp, name);
}

char *launch_fill_in(struct arena *arena, const struct app_spec *spec, const struct place *place,
                     const char *text)
{
    struct slice out = slice_of("");
    const char *at = text;

    if (strchr(text, '{') == NULL)
        return (char *)text;
    while (*at != '\0') {
        size_t len = strcspn(at + 1, "{") + 1;
        struct slice value = {0};
        size_t skip = 0;

        if (strncmp(at, "{port}", skip = 6) == 0 && place->port > 0)
            value = arena_printf(arena, "%d", place->port);
        else if (strncmp(at, "{instance}", skip = 10) == 0)
            value = arena_printf(arena, "%d", place->index);
        else if (strncmp(at, "{socket}", skip = 8) == 0 && place->socket != NULL)
            value = slice_of(place->socket);
        else if (strncmp(at, "{id}", skip = 4) == 0)
            value = arena_printf(arena, "%d", place->id);
        else if (strncmp(at, "{name}", skip = 6) == 0)
            value = slice_of(spec->name);
        else
            skip = 0;
        out = arena_printf(arena, "%.*s%.*s%.*s", SLICE_ARG(out), SLICE_ARG(value),
                           (int)(len - skip), at + skip);
        if (out.data == NULL)
            return NULL;
        at += len;
    }
    return (char *)out.data;
}

struct argument_list {
    struct arena *arena;
    const struct app_spec *spec;
    const struct place *place;
    char **items;
    size_t count;
};

static void add(struct argument_list *list, const char *text)
{
    char *filled = launch_fill_in(list->arena, list->spec, list->place, text);

    if (list->count < ARGUMENTS_MAX && filled != NULL)
        list->items[list->count++] = filled;
}

static void add_words(struct argument_list *list, const struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        add(list, words->items[i]);
}

/* The script below the app's folder, if it is there; else as it is written. */
static const char *script_path(struct arena *arena, const struct app_spec *spec)
{
    const char *path = spec->script;

    if (path[0] != '/')
        path = joined(arena, slice_of(spec->cwd), path);
    return path != NULL && is_file(path, R_OK) ? path : spec->script;
}

static bool no_program(struct diag *diag, const struct app_spec *spec, const char *name)
{
    diag_add(diag, DIAG_ERROR, NULL, "app \"%s\": there is no program \"%s\" in %s or in PATH",
             spec->name, name, spec->cwd);
    return false;
}

/* A command line goes to the shell, with "exec" in front where that keeps its meaning: the app is
 * then the shell's own process, and signals reach it. */
static bool prepare_shell(struct launch *launch, struct argument_list *list)
{
    bool simple = strpbrk(list->spec->script, ";&|<>()$`\n=*?") == NULL;
    struct slice line = arena_printf(list->arena, "%s%s", simple ? "exec " : "",
                                     list->spec->script);

    launch->program = is_file("/bin/bash", X_OK) ? "/bin/bash" : "/bin/sh";
    add(list, last_part(launch->program));
    add(list, "-c");
    if (line.data == NULL)
        return false;
    add(list, line.data);
    if (list->spec->args.count > 0)
        add(list, list->spec->name);
    add_words(list, &list->spec->args);
    return true;
}

static bool prepare_script(struct launch *launch, struct argument_list *list, struct diag *diag)
{
    const struct app_spec *spec = list->spec;
    const char *interpreter = interpreter_of(spec);
    const char *script = script_path(list->arena, spec);

    if (interpreter == NULL) {
        launch->program = script[0] == '/' ? script
                                           : program_path(list->arena, spec, launch->envp, script);
        add(list, spec->script);
    } else {
        launch->program = program_path(list->arena, spec, launch->envp, interpreter);
        add(list, interpreter);
        add_words(list, &spec->node_args);
        add(list, script);
        if (script[0] != '/' && !is_file(script, R_OK))
            return no_program(diag, spec, spec->script);
    }
    if (launch->program == NULL)
        return no_program(diag, spec, interpreter == NULL ? spec->script : interpreter);
    add_words(list, &spec->args);
    return true;
}

static bool parse_id(const char *text, unsigned *id)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    *id = (unsigned)number;
    return end != text && *end == '\0' && number <= UINT_MAX - 1;
}

static bool find_user(const struct app_spec *spec, struct launch *launch, struct passwd **user)
{
    unsigned id;

    *user = parse_id(spec->uid, &id) ? getpwuid(id) : getpwnam(spec->uid);
    if (*user == NULL && !parse_id(spec->uid, &id))
        return false;
    launch->uid = *user == NULL ? id : (*user)->pw_uid;
    launch->gid = *user == NULL ? id : (*user)->pw_gid;
    return true;
}

static bool find_group(const struct app_spec *spec, struct launch *launch)
{
    const struct group *group;
    unsigned id;

    if (parse_id(spec->gid, &id)) {
        launch->gid = id;
        return true;
    }
    group = getgrnam(spec->gid);
    if (group != NULL)
        launch->gid = group->gr_gid;
    return group != NULL;
}

static bool find_groups(struct launch *launch, const struct passwd *user, struct arena *arena)
{
    int count = GROUPS_MAX;

    launch->groups = arena_alloc(arena, GROUPS_MAX * sizeof *launch->groups);
    if (launch->groups == NULL)
        return false;
    launch->groups[0] = launch->gid;
    launch->group_count = 1;
    if (user != NULL && getgrouplist(user->pw_name, launch->gid, launch->groups, &count) > 0)
        launch->group_count = (size_t)count;
    return true;
}

static bool prepare_user(struct launch *launch, const struct app_spec *spec, struct arena *arena,
                         struct diag *diag)
{
    struct passwd *user = NULL;

    launch->uid = geteuid();
    launch->gid = getegid();
    if (spec->uid == NULL && spec->gid == NULL)
        return true;
    if (spec->uid != NULL && !find_user(spec, launch, &user)) {
        diag_add(diag, DIAG_ERROR, NULL, "there is no user \"%s\"", spec->uid);
        return false;
    }
    if (spec->gid != NULL && !find_group(spec, launch)) {
        diag_add(diag, DIAG_ERROR, NULL, "there is no group \"%s\"", spec->gid);
        return false;
    }
    launch->switch_user = launch->uid != geteuid() || launch->gid != getegid();
    if (launch->switch_user && geteuid() != 0) {
        diag_add(diag, DIAG_ERROR, NULL, "only root can run app \"%s\" as another user",
                 spec->name);
        return false;
    }
    return find_groups(launch, user, arena);
}

bool launch_prepare(struct launch *launch, struct app_spec *spec, const struct place *place,
                    struct arena *arena, struct diag *diag)
{
    struct argument_list list = {.arena = arena, .spec = spec, .place = place};

    *launch = (struct launch){
        .cwd = spec->cwd, .umask = -1, .input = -1, .output = -1, .errors = -1};
    list.items = arena_zalloc(arena, (ARGUMENTS_MAX + 1) * sizeof *list.items);
    if (!prepare_user(launch, spec, arena, diag))
        return false;
    if (list.items == NULL || !env_build(launch, spec, place, arena)) {
        diag_add(diag, DIAG_ERROR, NULL, "app \"%s\": no memory", spec->name);
        return false;
    }
    launch->argv = list.items;
    launch->limits = spec->limits;
    launch->limit_count = spec->limit_count;
    if (spec->umask != NULL)
        launch->umask = (int)strtol(spec->umask, NULL, 8);
    if (strchr(spec->script, ' ') != NULL && spec->interpreter == NULL)
        return prepare_shell(launch, &list);
    return prepare_script(launch, &list, diag);
}
