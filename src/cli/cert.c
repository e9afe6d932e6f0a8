/* `pelayan cert ...`. Runs in: the process the user started. */
#include "cli/cert.h"

#include "base/list.h"
#include "cli/cert_internal.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- as text */

static const char *const level_names[] = {
    [CERT_FINE] = "note", [CERT_SOON] = "soon", [CERT_WRONG] = "wrong"};

static void print_findings(const struct cert_subject *subject, const char *indent)
{
    for (size_t i = 0; i < subject->findings.count; i++)
        printf("%s%s: %s\n", indent, level_names[subject->findings.items[i].level],
               subject->findings.items[i].text);
}

static void print_row(const struct cert_subject *subject)
{
    enum cert_level level = cert_worst(&subject->findings);
    const char *status = level == CERT_FINE ? "good" : level_names[level];

    if (subject->chain == NULL) {
        printf("%-10s  %6s  %-6s  %s  (%s)\n", "-", "-",
               subject->findings.count > 0 ? status : "varies", subject->what,
               subject->servers == NULL ? "" : subject->servers);
    } else {
        struct cert_facts facts;

        cert_facts(sk_X509_value(subject->chain, 0), &facts);
        printf("%.10s  %6d  %-6s  %s  (%s)\n", facts.until, facts.days_left, status, subject->what,
               subject->servers == NULL ? facts.names : subject->servers);
        cert_facts_fini(&facts);
    }
    print_findings(subject, "            ");
}

static void print_list(const struct cert_subject *list)
{
    printf("%-10s  %6s  %-6s  %s\n", "EXPIRES", "DAYS", "STATUS", "CERTIFICATE  (SERVERS)");
    for (; list != NULL; list = list->next)
        print_row(list);
}

static void print_certificate(X509 *cert, const char *indent)
{
    struct cert_facts facts;

    cert_facts(cert, &facts);
    printf("%ssubject      %s\n", indent, facts.subject);
    printf("%sissuer       %s%s\n", indent, facts.issuer, facts.self_signed ? " (itself)" : "");
    if (facts.names != NULL && facts.names[0] != '\0')
        printf("%snames        %s\n", indent, facts.names);
    printf("%skey          %s\n", indent, facts.key);
    printf("%svalid        %s to %s (%d days left)\n", indent, facts.from, facts.until,
           facts.days_left);
    printf("%sserial       %s\n", indent, facts.serial);
    printf("%sfingerprint  %s\n", indent, facts.fingerprint);
    cert_facts_fini(&facts);
}

static void print_whole(const struct cert_subject *list)
{
    for (; list != NULL; list = list->next) {
        printf("%s\n", list->what);
        if (list->servers != NULL)
            printf("  servers      %s\n", list->servers);
        for (int i = 0; i < sk_X509_num(list->chain); i++) {
            if (i > 0)
                puts("  followed by");
            print_certificate(sk_X509_value(list->chain, i), i == 0 ? "  " : "    ");
        }
        print_findings(list, "  ");
    }
}

/* ---- as JSON */

static json_t *certificate_as_json(X509 *cert)
{
    struct cert_facts facts;

    cert_facts(cert, &facts);
    json_t *object = json_pack("{s:s, s:s, s:s*, s:s, s:s, s:s, s:i, s:s, s:s, s:b}", "subject",
                               facts.subject, "issuer", facts.issuer, "names", facts.names, "key",
                               facts.key, "from", facts.from, "until", facts.until, "days_left",
                               facts.days_left, "serial", facts.serial, "fingerprint",
                               facts.fingerprint, "self_signed", facts.self_signed);

    cert_facts_fini(&facts);
    return object;
}

static json_t *as_json(const struct cert_subject *subject)
{
    json_t *chain = json_array();
    json_t *findings = json_array();
    enum cert_level level = cert_worst(&subject->findings);

    for (int i = 0; i < sk_X509_num(subject->chain); i++)
        json_array_append_new(chain, certificate_as_json(sk_X509_value(subject->chain, i)));
    for (size_t i = 0; i < subject->findings.count; i++)
        json_array_append_new(findings, json_pack("{s:s, s:s}", "level",
                                                  level_names[subject->findings.items[i].level],
                                                  "text", subject->findings.items[i].text));
    return json_pack("{s:s, s:s*, s:s*, s:s, s:o, s:o}", "certificate", subject->what, "key",
                     subject->key, "servers", subject->servers, "status",
                     level == CERT_FINE ? "good" : level_names[level], "chain", chain, "findings",
                     findings);
}

static void print_json(const struct cert_subject *list)
{
    json_t *all = json_array();

    for (; list != NULL; list = list->next)
        json_array_append_new(all, as_json(list));
    json_dumpf(all, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(all);
}

/* ---- ls, show, check */

static bool is_file(const char *word)
{
    return strchr(word, '/') != NULL || access(word, F_OK) == 0;
}

/* Without words: of the configuration. */
static bool gather(const struct run_options *options, const struct cert_args *args,
                   struct cert_subject **list)
{
    int soon_days = args->days > 0 ? args->days : CERT_SOON_DAYS;
    bool ok = true;

    if (args->word_count == 0)
        return cert_subjects_of_config(options, soon_days, list);
    for (size_t i = 0; ok && i < args->word_count; i++)
        ok = is_file(args->words[i])
                 ? cert_subject_of_file(args->words[i], args->key, soon_days, list)
                 : cert_subject_of_host(args->words[i], soon_days, list);
    return ok;
}

/* What somebody named and could not be read is a failure, whatever was asked of it. */
static bool all_read(const struct cert_args *args, const struct cert_subject *list)
{
    for (; args->word_count > 0 && list != NULL; list = list->next) {
        if (list->chain == NULL)
            return false;
    }
    return true;
}

static int look(const struct run_options *options, const struct cert_args *args, const char *what)
{
    struct cert_subject *list = NULL;
    enum cert_level worst = CERT_FINE;
    bool ok = gather(options, args, &list);

    for (const struct cert_subject *it = list; it != NULL; it = it->next)
        if (cert_worst(&it->findings) > worst)
            worst = cert_worst(&it->findings);
    if (ok && args->json)
        print_json(list);
    else if (ok && strcmp(what, "show") == 0)
        print_whole(list);
    else if (ok)
        print_list(list);
    ok = ok && all_read(args, list);
    cert_subjects_free(list);
    if (!ok)
        return 1;
    if (strcmp(what, "check") == 0)
        return worst == CERT_WRONG ? 1 : worst == CERT_SOON ? 2 : 0;
    return 0;
}

/* ---- the command line */

static const char usage[] =
    "usage: pelayan cert ls [--json]                      the configuration's certificates\n"
    "       pelayan cert show [FILE|HOST[:PORT]...] [--key FILE] [--json]\n"
    "       pelayan cert check [FILE|HOST[:PORT]...] [--key FILE] [--days N] [--json]\n"
    "                                                     exit code 0: good; 1: wrong; 2: ends soon\n"
    "       pelayan cert local [NAME...] [--days N] [--out FOLDER] [--rsa]\n"
    "                                                     signed by this user's own authority\n"
    "       pelayan cert selfsigned NAME... [--days N] [--out FOLDER] [--rsa]\n"
    "       pelayan cert trust [--system|--browser]       this machine trusts that authority\n"
    "       pelayan cert untrust [--system|--browser]\n";

static bool take_days(const char *text, int *days)
{
    char *end = NULL;
    long value = strtol(text, &end, 10);

    *days = (int)value;
    return end != text && *end == '\0' && value >= 1 && value <= 36500;
}

static bool take_option(struct cert_args *args, const char *option, const char *value, bool *used)
{
    const struct {
        const char *name;
        bool *flag;
        const char **text;
    } rows[] = {
        {"--json", &args->json, NULL},     {"--rsa", &args->rsa, NULL},
        {"--system", &args->system, NULL}, {"--browser", &args->browser, NULL},
        {"--key", NULL, &args->key},       {"--out", NULL, &args->out},
    };

    *used = strcmp(option, "--days") == 0;
    if (*used)
        return value != NULL && take_days(value, &args->days);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (strcmp(rows[i].name, option) != 0)
            continue;
        *used = rows[i].text != NULL;
        if (rows[i].flag != NULL)
            *rows[i].flag = true;
        else
            *rows[i].text = value;
        return rows[i].flag != NULL || value != NULL;
    }
    return false;
}

static bool parse(int argc, char **argv, struct cert_args *args)
{
    for (int i = 2; i < argc; i++) {
        bool used = false;

        if (argv[i][0] != '-') {
            args->words[args->word_count++] = argv[i];
            continue;
        }
        if (!take_option(args, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used))
            return false;
        i += used;
    }
    return true;
}

static int run(const struct run_options *options, const struct cert_args *args, const char *what)
{
    if ((strcmp(what, "ls") == 0 && args->word_count == 0) || strcmp(what, "show") == 0 ||
        strcmp(what, "check") == 0)
        return look(options, args, what);
    if (strcmp(what, "local") == 0 || (strcmp(what, "selfsigned") == 0 && args->word_count > 0))
        return cert_make(args, strcmp(what, "local") == 0);
    if ((strcmp(what, "trust") == 0 || strcmp(what, "untrust") == 0) && args->word_count == 0)
        return cert_trust(args, strcmp(what, "trust") == 0);
    fputs(usage, stderr);
    return 2;
}

int cert_command(const struct run_options *options, int argc, char **argv)
{
    struct cert_args args = {.words = calloc((size_t)argc, sizeof(char *))};
    int code = 2;

    if (argc < 2 || args.words == NULL || !parse(argc, argv, &args))
        fputs(usage, stderr);
    else
        code = run(options, &args, argv[1]);
    free(args.words);
    return code;
}
