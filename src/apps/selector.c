/* Finding instances. Runs in: master. */
#include "apps/selector_internal.h"

#include "apps/apps_internal.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

struct matcher {
    const char *word;
    int id; /* -1: the word is no number */
    regex_t regex;
    bool has_regex;
};

static bool matcher_init(struct matcher *matcher, const char *word)
{
    size_t len = strlen(word);
    char *end;
    long number = strtol(word, &end, 10);

    *matcher = (struct matcher){.word = word, .id = -1};
    if (end != word && *end == '\0' && number >= 0 && number < 1 << 30)
        matcher->id = (int)number;
    if (len > 2 && len < 256 && word[0] == '/' && word[len - 1] == '/') {
        char pattern[256];

        memcpy(pattern, word + 1, len - 2);
        pattern[len - 2] = '\0';
        if (regcomp(&matcher->regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
            return false;
        matcher->has_regex = true;
    }
    return true;
}

static bool fits(const struct matcher *matcher, const struct instance *instance)
{
    const char *name = instance->app->name;

    if (matcher->has_regex)
        return regexec(&matcher->regex, name, 0, NULL, 0) == 0;
    return strcmp(matcher->word, "all") == 0 || matcher->id == instance->id ||
           strcmp(matcher->word, name) == 0 ||
           strcmp(matcher->word, instance->spec->namespace) == 0;
}

static size_t count_all(const struct apps *apps)
{
    size_t count = 0;

    list_each(it, keep, &apps->apps) count += app_count(container_of(it, struct app, link));
    return count;
}

bool selection_make(struct selection *selection, const struct apps *apps, const char *word)
{
    struct matcher matcher;

    *selection = (struct selection){
        .items = calloc(count_all(apps) + 1, sizeof(struct instance *))};
    if (selection->items == NULL || !matcher_init(&matcher, word)) {
        selection_free(selection);
        return false;
    }
    list_each(it, keep, &apps->apps)
    {
        struct app *app = container_of(it, struct app, link);

        list_each(one, next, &app->instances)
        {
            struct instance *instance = container_of(one, struct instance, link);

            if (fits(&matcher, instance))
                selection->items[selection->count++] = instance;
        }
    }
    if (matcher.has_regex)
        regfree(&matcher.regex);
    return true;
}

void selection_free(struct selection *selection)
{
    free(selection->items);
    *selection = (struct selection){.items = NULL};
}
