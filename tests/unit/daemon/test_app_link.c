/* What workers are told of an app, made of a line of the runner. */
#include "base/list.h"
#include "base/log.h"
#include "daemon/app_link_internal.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

/* Goal: a text of the runner's cannot become an instance, or another word, of the line it stands
 * in. */
TEST(texts_stay_what_they_are)
{
    static const struct {
        const char *line, *told;
    } cases[] = {
        {"{'status':'online','desired':1,'instances':[{'id':7,'address':'a:1','state':'ready'}]}",
         "web online 1\n7 a:1 ready\n"},
        {"{'status':'online','instances':[{'id':7,'address':'a:1 x','state':'ready'},"
         "{'id':8,'address':'a:1','state':'draining\\n9 b:1 ready'},"
         "{'id':9,'address':'','state':'ready'},7]}",
         "web online 0\n"},
        {"{'status':'failed','reason':'one\\n9 b:1 ready'}", "web failed 0\n! one\n"},
        {"{'status':'online 1\\n9 b:1 ready'}", NULL},
        {"{'status':7}", NULL},
        {"[]", NULL},
    };
    static const struct log log = {.targets = NULL};

    for (size_t i = 0; i < COUNT(cases); i++) {
        char *copy = strdup(cases[i].line);
        char *told;

        for (char *c = copy; *c != '\0'; c++)
            *c = *c == '\'' ? '"' : *c;
        json_t *line = json_loads(copy, 0, NULL);

        CHECK(line != NULL, "%s", copy);
        told = linked_app_text(&log, "web", line);
        CHECK_EQ(told == NULL, cases[i].told == NULL, copy);
        if (told != NULL)
            CHECK_STR(told, cases[i].told, copy);
        free(told);
        free(copy);
        json_decref(line);
    }
}
