/* The driver of the checks, and how their findings are told. Runs in: the process the user started.
 */
#include "cli/doctor.h"

#include "base/arena.h"
#include "base/list.h"
#include "cli/doctor_internal.h"
#include "cli/process.h"
#include "config/files.h"
#include "config/tree.h"
#include "daemon/load.h"
#include "daemon/manifest.h"
#include "daemon/options.h"
#include "daemon/pid_file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AREA_FINDINGS_MAX = 20 };

static const char *const grades[] = {"ok", "warning", "problem"};

static void check_configuration(struct doctor *doctor)
{
    if (doctor->manifest == NULL)
        doctor_mend(doctor, "pelayan -t shows all that is wrong; what follows is about the rest");
}

/* In the order in which they are worth reading. `good` is said when a check finds nothing. */
static const struct {
    const char *area;
    void (*run)(struct doctor *doctor);
    const char *good;
    bool loaded_only; /* there is nothing to check without a configuration */
} checks[] = {
    {"configuration", check_configuration, "can be loaded", false},
    {"descriptors", doctor_descriptors, "enough for all connections", true},
    {"backlog", doctor_backlog, "the kernel keeps as many waiting clients as wanted", true},
    {"addresses", doctor_addresses, "all are free, or ours already", true},
    {"paths", doctor_paths, "open to those who need them", true},
    {"certificates", doctor_certificates, "valid, and their keys are private", false},
    {"disks", doctor_disks, "enough room for logs and temporary files", true},
    {"clock", doctor_clock, "kept right by the system", false},
    {"names", doctor_names, "name servers answer", false},
    {"processes", doctor_processes, "nothing is left over", false},
};

void doctor_find(struct doctor *doctor, enum doctor_grade grade, const char *format, ...)
{
    struct finding *finding;
    va_list args;
    struct slice text;
    char line[1024];

    doctor->counts[grade]++;
    doctor->newest = NULL;
    if (++doctor->area_count > AREA_FINDINGS_MAX)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    finding = arena_zalloc(doctor->arena, sizeof *finding);
    text = arena_copy(doctor->arena, slice_of(line));
    if (finding == NULL || text.data == NULL)
        return;
    *finding = (struct finding){.grade = grade, .area = doctor->area, .what = text.data};
    *doctor->last = finding;
    doctor->last = &finding->next;
    doctor->newest = finding;
}

void doctor_mend(struct doctor *doctor, const char *format, ...)
{
    va_list args;
    char line[1024];

    if (doctor->newest == NULL)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    doctor->newest->mend = arena_copy(doctor->arena, slice_of(line)).data;
}

static void walk(struct doctor *doctor, const struct node *node,
                 void (*visit)(struct doctor *, const struct node *))
{
    for (; node != NULL; node = node->next) {
        visit(doctor, node);
        walk(doctor, node->children, visit); /* as deep as the grammar allows */
    }
}

void doctor_walk(struct doctor *doctor, void (*visit)(struct doctor *, const struct node *))
{
    walk(doctor, doctor->tree->first, visit);
}

long doctor_number(const char *path, long fallback)
{
    FILE *file = fopen(path, "re");
    long number = fallback;

    if (file != NULL) {
        if (fscanf(file, "%ld", &number) != 1)
            number = fallback;
        fclose(file);
    }
    return number;
}

long doctor_master(const struct doctor *doctor)
{
    struct diag diag;
    pid_t pid = 0;

    if (doctor->manifest == NULL)
        return 0;
    diag_init(&diag);
    if (!pid_file_read(doctor->manifest->pid_path.data, &pid, &diag))
        pid = 0;
    diag_fini(&diag);
    return process_is_ours(pid) ? pid : 0;
}

static void run_check(struct doctor *doctor, size_t index)
{
    size_t before = doctor->counts[DOCTOR_WARN] + doctor->counts[DOCTOR_BAD];
    size_t found;

    doctor->area = checks[index].area;
    checks[index].run(doctor);
    found = doctor->counts[DOCTOR_WARN] + doctor->counts[DOCTOR_BAD] - before;
    if (doctor->area_count > AREA_FINDINGS_MAX) {
        size_t more = doctor->area_count - AREA_FINDINGS_MAX;

        doctor->area_count = 0;
        doctor_find(doctor, DOCTOR_GOOD, "... and %zu more", more);
    } else if (found == 0 && doctor->area_count == 0) {
        doctor_find(doctor, DOCTOR_GOOD, "%s", checks[index].good);
    }
    doctor->area_count = 0;
}

/* What load_run() said becomes findings; the manifest is what other checks ask. */
static void load(struct doctor *doctor, struct load *load)
{
    struct manifest *manifest = NULL;

    doctor->area = checks[0].area;
    if (load_run(load, doctor->options, config_files_from_disk()))
        manifest = load_manifest(load, doctor->options, &load->diag);
    doctor->manifest = manifest;
    for (const struct diag_entry *it = load->diag.first; it != NULL; it = it->next) {
        enum doctor_grade grade = it->level == DIAG_ERROR ? DOCTOR_BAD : DOCTOR_WARN;

        if (it->place.file == NULL)
            doctor_find(doctor, grade, "%s", it->message);
        else
            doctor_find(doctor, grade, "%s in %s:%u", it->message, it->place.file, it->place.line);
        if (it->hint != NULL)
            doctor_mend(doctor, "%s", it->hint);
    }
}

static void examine(struct doctor *doctor)
{
    struct config_files *files = config_files_from_disk();
    struct load loaded;
    struct tree tree;
    struct diag diag;

    load(doctor, &loaded);
    diag_init(&diag); /* the same messages again: not told */
    tree_init(&tree, files);
    if (files != NULL)
        tree_parse(&tree, files, doctor->options->conf_path, &diag);
    doctor->tree = &tree;
    for (size_t i = 0; i < COUNT(checks); i++) {
        if (!checks[i].loaded_only || doctor->manifest != NULL)
            run_check(doctor, i);
    }
    tree_fini(&tree);
    diag_fini(&diag);
    config_files_free(files);
    load_fini(&loaded);
}

static void print_text(const struct doctor *doctor)
{
    for (const struct finding *it = doctor->first; it != NULL; it = it->next) {
        printf("%-8s %-14s %s\n", grades[it->grade], it->area, it->what);
        if (it->mend != NULL)
            printf("%-8s %-14s -> %s\n", "", "", it->mend);
    }
    printf("%zu problem%s, %zu warning%s\n", doctor->counts[DOCTOR_BAD],
           doctor->counts[DOCTOR_BAD] == 1 ? "" : "s", doctor->counts[DOCTOR_WARN],
           doctor->counts[DOCTOR_WARN] == 1 ? "" : "s");
}

static void print_json(const struct doctor *doctor)
{
    json_t *list = json_array();
    json_t *whole = json_pack("{s:I, s:I}", "problems", (json_int_t)doctor->counts[DOCTOR_BAD],
                              "warnings", (json_int_t)doctor->counts[DOCTOR_WARN]);

    for (const struct finding *it = doctor->first; it != NULL; it = it->next)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:s?}", "area", it->area, "grade",
                                        grades[it->grade], "what", it->what, "mend", it->mend));
    json_object_set_new(whole, "findings", list);
    json_dumpf(whole, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(whole);
}

int doctor_command(const struct run_options *options, int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    struct doctor doctor = {.options = options, .arena = arena_new(4096)};

    if (argc > 1 && !json) {
        fputs("usage: pelayan doctor [--json]\n", stderr);
        arena_drop(doctor.arena);
        return 1;
    }
    if (doctor.arena == NULL) {
        fputs("pelayan: no memory\n", stderr);
        return 1;
    }
    doctor.last = &doctor.first;
    examine(&doctor);
    if (json)
        print_json(&doctor);
    else
        print_text(&doctor);
    manifest_free((struct manifest *)(uintptr_t)doctor.manifest);
    arena_drop(doctor.arena);
    return doctor.counts[DOCTOR_BAD] == 0 ? 0 : 1;
}
