/* Names in /etc/hosts. Runs in: the process the user started. */
#include "cli/hosts.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/file.h"
#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/home.h"
#include "config/files.h"
#include "config/tree.h"
#include "daemon/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 16 << 20, TREE_LEVELS = 3 };

static const char hosts_path[] = "/etc/hosts";
static const char begin_mark[] = "# names of Pelayan's sites: begin";
static const char end_mark[] = "# names of Pelayan's sites: end";

struct name {
    struct list link;
    struct slice text;
    struct slice address;
    bool there; /* the file leads it to this address */
    bool other; /* the file leads it somewhere else */
};

struct hosts {
    struct arena *arena;
    struct list names;
    const struct app_args *args;
    size_t missing;
};

static bool is_local(struct slice name)
{
    static const struct slice local = SLICE("localhost");
    static const struct slice below = SLICE(".localhost");

    return slice_eq_nocase(name, local) ||
           (name.len > below.len && slice_eq_nocase(slice_skip(name, name.len - below.len), below));
}

/* ---- the file's lines */

/* The next blank-separated word before a "#". */
static bool next_word(struct slice *line, struct slice *word)
{
    size_t start = 0;
    size_t end;

    while (start < line->len && strchr(" \t\r", line->data[start]) != NULL)
        start++;
    for (end = start; end < line->len && strchr(" \t\r#", line->data[end]) == NULL;)
        end++;
    *word = slice_make(line->data + start, end - start);
    *line = slice_skip(*line, end);
    return word->len > 0;
}

/* Calls `fn` with every address and name in the file; the marked block too. */
static void each_entry(struct slice text, void (*fn)(void *, struct slice, struct slice),
                       void *context)
{
    struct slice line;
    struct slice address;
    struct slice name;

    while (slice_split(&text, '\n', &line)) {
        if (!next_word(&line, &address))
            continue;
        while (next_word(&line, &name))
            fn(context, address, name);
    }
}

struct search {
    struct slice name;
    struct slice address; /* found */
};

static void look_for(void *context, struct slice address, struct slice name)
{
    struct search *search = context;

    if (search->address.len == 0 && slice_eq_nocase(name, search->name))
        search->address = address;
}

static struct slice address_in(struct slice text, struct slice name)
{
    struct search search = {.name = name};

    each_entry(text, look_for, &search);
    return search.address;
}

bool hosts_knows(const char *name)
{
    size_t len = 0;
    char *text;
    bool known = is_local(slice_of(name));

    if (known)
        return true;
    text = file_read(hosts_path, FILE_BYTES_MAX, &len);
    if (text != NULL)
        known = address_in(slice_make(text, len), slice_of(name)).len > 0;
    free(text);
    return known;
}

/* ---- the configuration's names */

/* No wildcard, no pattern, no address, no variable: something that a resolver may be asked for. */
static bool is_name(struct slice text)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    unsigned char bytes[16];
    char copy[256];

    if (text.len < 2 || text.len >= sizeof copy || text.data[0] == '.' || text.data[0] == '_')
        return false;
    snprintf(copy, sizeof copy, "%.*s", SLICE_ARG(text));
    return strspn(copy, allowed) == text.len && inet_pton(AF_INET, copy, bytes) != 1;
}

static bool is_asked_for(const struct hosts *hosts, struct slice name)
{
    for (size_t i = 0; i < hosts->args->word_count; i++) {
        if (slice_eq_nocase(name, slice_of(hosts->args->words[i])))
            return true;
    }
    return hosts->args->word_count == 0;
}

static void add_name(struct hosts *hosts, struct slice text, struct slice address)
{
    struct name *name;

    if (!is_name(text) || !is_asked_for(hosts, text))
        return;
    list_each(it, keep, &hosts->names)
    {
        if (slice_eq_nocase(container_of(it, struct name, link)->text, text))
            return;
    }
    name = arena_zalloc(hosts->arena, sizeof *name);
    if (name == NULL)
        return;
    name->text = arena_copy(hosts->arena, text);
    name->address = arena_copy(hosts->arena, address);
    list_push_back(&hosts->names, &name->link);
}

/* An address of `listen` that is one of this machine's for sure; else the usual one. */
static struct slice listen_address(const struct node *server)
{
    unsigned char bytes[16];
    char copy[64];

    for (const struct node *node = server->children; node != NULL; node = node->next) {
        ptrdiff_t colon;

        if (!slice_eq(word_text(node->words[0]), slice_of("listen")) || node->word_count < 2)
            continue;
        colon = slice_find(word_text(node->words[1]), ':');
        snprintf(copy, sizeof copy, "%.*s",
                 (int)(colon < 0 ? (ptrdiff_t)word_text(node->words[1]).len : colon),
                 word_text(node->words[1]).data);
        if (inet_pton(AF_INET, copy, bytes) == 1 && strcmp(copy, "0.0.0.0") != 0)
            return slice_head(word_text(node->words[1]), strlen(copy));
    }
    return slice_of("127.0.0.1");
}

static void take_servers(struct hosts *hosts, const struct node *node, int level)
{
    for (; node != NULL; node = node->next) {
        if (!slice_eq(word_text(node->words[0]), slice_of("server")) || !node->is_block) {
            if (level < TREE_LEVELS && slice_eq(word_text(node->words[0]), slice_of("http")))
                take_servers(hosts, node->children, level + 1);
            continue;
        }
        for (const struct node *one = node->children; one != NULL; one = one->next) {
            if (!slice_eq(word_text(one->words[0]), slice_of("server_name")))
                continue;
            for (size_t i = 1; i < one->word_count; i++)
                add_name(hosts, word_text(one->words[i]), listen_address(node));
        }
    }
}

/* False: there is such a file, and it cannot be read. */
static bool take_conf(struct hosts *hosts, const char *path)
{
    struct config_files *files;
    struct diag diag;
    struct tree tree;
    bool good;

    if (path == NULL || access(path, F_OK) != 0)
        return true;
    files = config_files_from_disk();
    diag_init(&diag);
    tree_init(&tree, files);
    if (files != NULL)
        tree_parse(&tree, files, path, &diag);
    take_servers(hosts, tree.first, 0);
    good = files != NULL && !diag_failed(&diag);
    if (!good)
        diag_print(&diag, stderr);
    tree_fini(&tree);
    diag_fini(&diag);
    config_files_free(files);
    return good;
}

static bool collect(struct hosts *hosts, const struct run_options *options)
{
    const char *home = home_path();
    struct slice own = {0};

    if (home != NULL)
        own = arena_printf(hosts->arena, "%s/nginx.conf", home);
    return take_conf(hosts, options->conf_path) && take_conf(hosts, own.data);
}

static void compare(struct hosts *hosts, struct slice text)
{
    list_each(it, keep, &hosts->names)
    {
        struct name *name = container_of(it, struct name, link);
        struct slice found = address_in(text, name->text);

        name->there = slice_eq(found, name->address) || slice_eq(found, slice_of("::1"));
        name->other = !name->there && found.len > 0;
        hosts->missing += !name->there && !name->other && !is_local(name->text);
    }
}

/* ---- what is said, and what is written */

static void show(const struct hosts *hosts)
{
    list_each(it, keep, &hosts->names)
    {
        const struct name *name = container_of(it, struct name, link);

        if (is_local(name->text))
            printf("# %.*s needs no line: names that end in .localhost mean this machine\n",
                   SLICE_ARG(name->text));
        else if (name->there)
            printf("%.*s %.*s # is there already\n", SLICE_ARG(name->address),
                   SLICE_ARG(name->text));
        else if (name->other)
            printf("# %.*s is there with another address: change that line yourself\n",
                   SLICE_ARG(name->text));
        else
            printf("%.*s %.*s\n", SLICE_ARG(name->address), SLICE_ARG(name->text));
    }
    if (list_empty(&hosts->names))
        puts("# no server_name needs a line");
    else if (hosts->missing > 0 && isatty(STDOUT_FILENO) == 1)
        puts("# to put them there: sudo pelayan hosts --write");
}

/* Our block, if there is one: from the begin of its first line to the end of its last. */
static bool find_block(struct slice text, size_t *begin, size_t *end)
{
    ptrdiff_t first = slice_search(text, slice_of(begin_mark));
    ptrdiff_t last = slice_search(text, slice_of(end_mark));

    if (first < 0 || last < first)
        return false;
    *begin = (size_t)first;
    *end = (size_t)last + strlen(end_mark);
    *end += *end < text.len && text.data[*end] == '\n';
    return true;
}

/* The block's old lines stay; what is missing follows them. */
static char *new_text(const struct hosts *hosts, struct slice text)
{
    char *out_text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&out_text, &len);
    size_t begin = text.len;
    size_t end = text.len;
    size_t body_end;

    if (out == NULL)
        return NULL;
    if (find_block(text, &begin, &end))
        body_end = (size_t)slice_search(text, slice_of(end_mark));
    else
        body_end = text.len;
    fwrite(text.data, 1, body_end, out);
    if (body_end == text.len) {
        if (text.len > 0 && text.data[text.len - 1] != '\n')
            fputc('\n', out);
        fprintf(out, "%s\n", begin_mark);
    }
    list_each(it, keep, &hosts->names)
    {
        const struct name *name = container_of(it, struct name, link);

        if (!name->there && !name->other && !is_local(name->text))
            fprintf(out, "%.*s %.*s\n", SLICE_ARG(name->address), SLICE_ARG(name->text));
    }
    fprintf(out, "%s\n", end_mark);
    fwrite(text.data + end, 1, text.len - end, out);
    fclose(out);
    return out_text;
}

static int write_hosts(const struct hosts *hosts, const char *path, struct slice text)
{
    char *changed;
    bool written;

    if (hosts->missing == 0) {
        printf("%s has all of them already\n", path);
        return 0;
    }
    changed = new_text(hosts, text);
    written = changed != NULL && file_replace(path, slice_of(changed), 0644);
    if (written)
        printf("%s has %zu more %s now\n", path, hosts->missing,
               hosts->missing == 1 ? "name" : "names");
    else
        fprintf(stderr, "pelayan: cannot write \"%s\": %s%s\n", path, strerror(errno),
                errno == EACCES || errno == EPERM ? ": sudo pelayan hosts --write" : "");
    free(changed);
    return written ? 0 : 1;
}

static int run_hosts(const struct run_options *options, const struct app_args *args)
{
    struct hosts hosts = {.arena = arena_new(4096), .args = args};
    const char *path = args->file == NULL ? hosts_path : args->file;
    size_t len = 0;
    char *text = file_read(path, FILE_BYTES_MAX, &len);
    int code = 1;

    list_init(&hosts.names);
    if (text == NULL && errno != ENOENT) {
        fprintf(stderr, "pelayan: cannot read \"%s\": %s\n", path, strerror(errno));
    } else if (hosts.arena != NULL && collect(&hosts, options)) {
        /* a name given by hand need not be in a configuration */
        for (size_t i = 0; i < args->word_count; i++)
            add_name(&hosts, slice_of(args->words[i]), slice_of("127.0.0.1"));
        compare(&hosts, slice_make(text, len));
        code = 0;
        if (!args->write)
            show(&hosts);
        else
            code = write_hosts(&hosts, path, slice_make(text == NULL ? "" : text, len));
    }
    free(text);
    arena_drop(hosts.arena);
    return code;
}

int hosts_command(const struct run_options *options, int argc, char **argv)
{
    struct app_args args;
    int code = 1;

    if (app_args_parse(&args, argc, argv, ARGS_HOSTS))
        code = run_hosts(options, &args);
    app_args_fini(&args);
    return code;
}
