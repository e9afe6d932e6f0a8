/* Goal: no text crashes the parser or the loader; places lie inside the text; and a tree that is
 * written out again, every word in quotes, is read as the same tree. */
#include "tests/unit/config/fixture.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Files that are only in memory: what the text includes is then never looked for on the disk. */
static struct config_files *only_this(struct slice text)
{
    struct config_files *disk = config_files_from_disk();
    struct config_files *files;
    struct diag diag;
    int fd;

    diag_init(&diag);
    assert(disk != NULL);
    assert(config_files_add(disk, "/tmp/main.conf", text));
    fd = config_files_record(disk);
    assert(fd >= 0);
    config_files_free(disk);
    files = config_files_from_record(fd, &diag);
    assert(files != NULL);
    close(fd);
    diag_fini(&diag);
    return files;
}

static void check_places(const struct tree *tree, const struct node *node)
{
    for (; node != NULL; node = node->next) {
        assert(node->word_count > 0);
        assert(node->file < tree->file_count);
        assert(node->is_block || node->children == NULL);
        for (size_t i = 0; i < node->word_count; i++) {
            struct diag_place place;

            tree_place(tree, node, i, &place);
            assert(place.line >= node->line);
            assert(place.column > 0);
            assert(place.column <= place.text.len + 1);
        }
        check_places(tree, node->children);
    }
}

static void write_word(struct slice word, FILE *out)
{
    fputc('"', out);
    for (size_t i = 0; i < word.len; i++) {
        if (word.data[i] == '"' || word.data[i] == '\\')
            fputc('\\', out);
        fputc(word.data[i], out);
    }
    fputs("\" ", out);
}

static void write_nodes(const struct node *node, FILE *out)
{
    for (; node != NULL; node = node->next) {
        for (size_t i = 0; i < node->word_count; i++)
            write_word(word_text(node->words[i]), out);
        fputs(node->is_block ? "{ " : "; ", out);
        write_nodes(node->children, out);
        fputs(node->is_block ? "} " : "", out);
    }
}

static char *written(const struct tree *tree, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    assert(out != NULL);
    write_nodes(tree->first, out);
    fclose(out);
    return text;
}

static char *parse_and_write(struct slice text, size_t *len, bool *clean)
{
    struct config_files *files = only_this(text);
    struct diag diag;
    struct tree tree;
    char *out;

    diag_init(&diag);
    tree_init(&tree, files);
    tree_parse(&tree, files, "/tmp/main.conf", &diag);
    check_places(&tree, tree.first);
    out = written(&tree, len);
    *clean = !diag_failed(&diag);
    tree_fini(&tree);
    config_files_free(files);
    diag_fini(&diag);
    return out;
}

static void load(struct slice text)
{
    struct world world;

    assert(world_init(&world));
    config_files_free(world.files);
    world.files = only_this(text);
    tree_parse(&world.tree, world.files, "/tmp/main.conf", &world.diag);
    assert(loader_init(&world.loader, fixture_features, FIXTURE_FEATURES));
    loader_run(&world.loader, &world.root);
    world_fini(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make((const char *)data, size);
    char *once;
    char *twice;
    size_t once_len;
    size_t twice_len;
    bool clean;

    /* NUL bytes are refused when a file is read; escapes make words longer, which have a limit. */
    if (size > 2000 || memchr(data, '\0', size) != NULL)
        return 0;
    load(text);
    once = parse_and_write(text, &once_len, &clean);
    twice = parse_and_write(slice_make(once, once_len), &twice_len, &clean);
    assert(clean);
    assert(once_len == twice_len);
    assert(memcmp(once, twice, once_len) == 0);
    free(once);
    free(twice);
    return 0;
}
