/* Goal: text becomes the right tree, with the right places, and every error is found at once. */
#include "tests/unit/check.h"

#include "base/arena.h"
#include "base/diag.h"
#include "base/list.h"
#include "config/files.h"
#include "config/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct parsed {
    struct diag diag;
    struct config_files *files;
    struct tree tree;
};

static void parsed_init(struct parsed *parsed)
{
    diag_init(&parsed->diag);
    parsed->files = config_files_from_disk();
    CHECK(parsed->files != NULL);
    tree_init(&parsed->tree, parsed->files);
}

static void add(struct parsed *parsed, const char *path, const char *text)
{
    CHECK(config_files_add(parsed->files, path, slice_of(text)), path);
}

static void parse(struct parsed *parsed, const char *text)
{
    parsed_init(parsed);
    add(parsed, "/etc/main.conf", text);
    tree_parse(&parsed->tree, parsed->files, "/etc/main.conf", &parsed->diag);
}

static void parsed_fini(struct parsed *parsed)
{
    tree_fini(&parsed->tree);
    config_files_free(parsed->files);
    diag_fini(&parsed->diag);
}

/* "a b;c{d;}" into `out`. */
static size_t write_nodes(const struct node *node, char *out, size_t room)
{
    size_t len = 0;

    for (; node != NULL; node = node->next) {
        for (size_t i = 0; i < node->word_count; i++)
            len += (size_t)snprintf(out + len, room - len, "%s%.*s", i == 0 ? "" : " ",
                                    SLICE_ARG(word_text(node->words[i])));
        len += (size_t)snprintf(out + len, room - len, node->is_block ? "{" : ";");
        if (node->is_block) {
            len += write_nodes(node->children, out + len, room - len);
            len += (size_t)snprintf(out + len, room - len, "}");
        }
    }
    return len;
}

static const struct {
    const char *text;
    const char *want;
} trees[] = {
    {"", ""},
    {"\xef\xbb\xbf"
     "a b;",
     "a b;"},
    {"a;b {c  d\te\r\n;} f;", "a;b{c d e;}f;"},
    {"a{b{c{}}d;}", "a{b{c{}}d;}"},
    {"a \"b c\" 'd;e' # x\n f;", "a b c d;e f;"},
    {"a ~^/(\\d+)\\.php$ \"\\.x\";", "a ~^/(\\d+)\\.php$ \\.x;"},
    {"a ${b}c$d;", "a ${b}c$d;"},
    {"if ($a ~ \"b\") { c; }", "if ($a ~ b ){c;}"},
    {"a; } b;", "a;b;"},
    {"a { b } c;", "a{b;}c;"},
    {"; a;", "a;"},
    {"{ x; } a;", "a;"},
    {"{ x { y; } z; } a;", "a;"},
    {"a {", "a{}"},
    {"a \"b\"c;", "a b c;"},
};

TEST(text_becomes_a_tree)
{
    char out[256];

    for (size_t i = 0; i < COUNT(trees); i++) {
        struct parsed parsed;

        parse(&parsed, trees[i].text);
        out[0] = '\0';
        write_nodes(parsed.tree.first, out, sizeof out);
        CHECK_STR(out, trees[i].want, trees[i].text);
        parsed_fini(&parsed);
    }
}

TEST(places_name_line_column_and_text)
{
    struct parsed parsed;
    struct diag_place place;
    const struct node *node;

    parse(&parsed, "# one\r\n  aa 'b'\r\n\tcc;\ndd {\n ee \"f\ng\" hh; }");
    node = parsed.tree.first;
    tree_place(&parsed.tree, node, 0, &place);
    CHECK_STR(place.file, "/etc/main.conf");
    CHECK_EQ(place.line, 2);
    CHECK_EQ(place.column, 3);
    CHECK_SLICE(place.text, "  aa 'b'");
    tree_place(&parsed.tree, node, 2, &place);
    CHECK_EQ(place.line, 3);
    CHECK_EQ(place.column, 2);
    tree_place(&parsed.tree, node->next->children, 2, &place);
    CHECK_EQ(place.line, 6);
    CHECK_EQ(place.column, 4);
    CHECK_SLICE(place.text, "g\" hh; }");
    parsed_fini(&parsed);
}

TEST(all_errors_are_found)
{
    struct parsed parsed;
    const struct diag_entry *entry;

    parse(&parsed, "a }\n;\nb \"c\"d;\ne { f\n}\ninclude nowhere.conf;\ng {");
    entry = parsed.diag.first;
    CHECK_EQ(parsed.diag.error_count, 6);
    for (unsigned line = 1; line <= 4; line++, entry = entry->next)
        CHECK(entry->place.line == line || (line == 4 && entry->place.line == 5), entry->message);
    CHECK_STR(entry->message, "open() \"/etc/nowhere.conf\" failed (2: No such file or directory)");
    CHECK_EQ(entry->place.line, 6);
    CHECK_EQ(entry->place.column, 9);
    CHECK_STR(entry->next->message, "unexpected end of file, expecting \"}\"");
    CHECK_STR(entry->next->hint, "the block \"g\" begins at line 7");
    parsed_fini(&parsed);
}

TEST(files_are_included_where_they_are_named)
{
    struct parsed parsed;
    char out[256];

    parsed_init(&parsed);
    add(&parsed, "/etc/main.conf",
        "a { include b/c.conf; d; } include /x/e.conf; include b/c.conf;");
    add(&parsed, "/etc/b/c.conf", "c1; c2 { include d.conf; }");
    add(&parsed, "/etc/d.conf",
        "\xef\xbb\xbf"
        "text/html html;");
    add(&parsed, "/x/e.conf", "");
    tree_parse(&parsed.tree, parsed.files, "/etc/main.conf", &parsed.diag);
    CHECK(!diag_failed(&parsed.diag));
    write_nodes(parsed.tree.first, out, sizeof out);
    CHECK_STR(out, "a{c1;c2{text/html html;}d;}c1;c2{text/html html;}");
    CHECK_EQ(parsed.tree.file_count, 4);
    parsed_fini(&parsed);
}

TEST(a_file_cannot_close_the_block_of_another)
{
    struct parsed parsed;

    parsed_init(&parsed);
    add(&parsed, "/etc/main.conf", "a { include b; }");
    add(&parsed, "/etc/b", "c { d; } }");
    tree_parse(&parsed.tree, parsed.files, "/etc/main.conf", &parsed.diag);
    CHECK_EQ(parsed.diag.error_count, 1);
    CHECK_STR(parsed.diag.first->message, "unexpected \"}\"");
    CHECK_STR(parsed.diag.first->place.file, "/etc/b");
    parsed_fini(&parsed);
}

TEST(a_circle_of_includes_is_named)
{
    struct parsed parsed;

    parsed_init(&parsed);
    add(&parsed, "/etc/main.conf", "\ninclude a;");
    add(&parsed, "/etc/a", "include b;");
    add(&parsed, "/etc/b", "x;\ninclude a;");
    tree_parse(&parsed.tree, parsed.files, "/etc/main.conf", &parsed.diag);
    CHECK_EQ(parsed.diag.error_count, 1);
    CHECK_STR(parsed.diag.first->message,
              "\"include\" goes in a circle: \"/etc/a\" is being read already");
    CHECK_STR(parsed.diag.first->place.file, "/etc/b");
    CHECK_EQ(parsed.diag.first->place.line, 2);
    CHECK_STR(parsed.diag.first->hint, "it includes this file at /etc/a:1");
    parsed_fini(&parsed);
}

TEST(includes_and_blocks_have_a_depth)
{
    struct parsed parsed;
    char path[32];
    char text[64];
    char deep[3 * 65 + 1] = "";

    parsed_init(&parsed);
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "/etc/%d", i);
        snprintf(text, sizeof text, "include %d;", i + 1);
        add(&parsed, path, text);
    }
    tree_parse(&parsed.tree, parsed.files, "/etc/0", &parsed.diag);
    CHECK_EQ(parsed.diag.error_count, 1);
    CHECK_STR(parsed.diag.first->message, "files include each other more than 32 deep");
    parsed_fini(&parsed);

    memset(deep, '}', 3 * 65);
    for (size_t i = 0; i < 65; i++)
        memcpy(deep + 2 * i, "a{", 2);
    parse(&parsed, deep);
    CHECK_EQ(parsed.diag.error_count, 1);
    CHECK_STR(parsed.diag.first->message, "blocks nest deeper than 64");
    parsed_fini(&parsed);
}

TEST(globs_are_sorted_and_may_be_empty)
{
    char folder[] = "/tmp/test_tree_XXXXXX";
    static const char *const names[] = {"b.conf", "a.conf", "c.txt"};
    struct parsed parsed;
    char path[128];
    char out[64];

    CHECK(mkdtemp(folder) != NULL);
    for (size_t i = 0; i < COUNT(names); i++) {
        FILE *file;

        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        file = fopen(path, "w");
        CHECK(file != NULL, path);
        fprintf(file, "%c;", names[i][0]);
        fclose(file);
    }
    parsed_init(&parsed);
    snprintf(path, sizeof path, "x { include %s/*.conf; include %s/*.none; }", folder, folder);
    add(&parsed, "/etc/main.conf", path);
    tree_parse(&parsed.tree, parsed.files, "/etc/main.conf", &parsed.diag);
    CHECK(!diag_failed(&parsed.diag));
    write_nodes(parsed.tree.first, out, sizeof out);
    CHECK_STR(out, "x{a;b;}");
    parsed_fini(&parsed);
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

TEST(global_directives_come_first)
{
    struct parsed parsed;
    char out[64];

    parsed_init(&parsed);
    add(&parsed, "/etc/main.conf", "a;");
    tree_parse_text(&parsed.tree, "command line", (struct slice)SLICE("g 1; h 2;"), &parsed.diag);
    tree_parse(&parsed.tree, parsed.files, "/etc/main.conf", &parsed.diag);
    CHECK(!diag_failed(&parsed.diag));
    write_nodes(parsed.tree.first, out, sizeof out);
    CHECK_STR(out, "g 1;h 2;a;");
    parsed_fini(&parsed);

    parsed_init(&parsed);
    tree_parse_text(&parsed.tree, "command line", (struct slice)SLICE("g { } h"), &parsed.diag);
    CHECK_EQ(parsed.diag.error_count, 2);
    CHECK_STR(parsed.diag.first->message, "block directives are not supported in -g option");
    CHECK_STR(parsed.diag.first->next->message, "unexpected end of parameter, expecting \";\"");
    parsed_fini(&parsed);
}
