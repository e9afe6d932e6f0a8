/* What goes from one program of the runner to the next. */
#include "apps/handover.h"
#include "base/diag.h"
#include "base/list.h"
#include "tests/unit/check.h"

#include <string.h>

/* Method: every byte, as half a line of an app may hold any. */
TEST(any_bytes_go_and_come)
{
    char bytes[256];
    char back[256];
    json_t *packed;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    packed = bytes_pack(slice_make(bytes, sizeof bytes));
    CHECK_EQ(bytes_unpack(packed, back, sizeof back), sizeof bytes, "all of them");
    CHECK(memcmp(bytes, back, sizeof bytes) == 0);
    CHECK_EQ(bytes_unpack(packed, back, sizeof back - 1), 0, "no room");
    json_decref(packed);
    packed = json_string("0g");
    CHECK_EQ(bytes_unpack(packed, back, sizeof back), 0, "no digits");
    json_decref(packed);
    CHECK_EQ(bytes_unpack(NULL, back, sizeof back), 0, "nothing");
}

static const struct {
    const char *state;
    bool understood;
} cases[] = {
    {"{}", false},
    {"{\"specs\": [], \"apps\": []}", true},
    {"{\"specs\": []}", false},
    {"{\"specs\": [{}], \"apps\": []}", false},
    {"{\"specs\": [{\"source\": {\"name\": \"a\"}}], \"apps\": []}", false},
    {"{\"specs\": [{\"source\": {\"name\": \"a\", \"script\": \"x\", \"cwd\": \"/\"}}],"
     " \"apps\": []}",
     true},
};

/* A program that does not understand all of it must say so before anything has changed. */
TEST(what_is_not_understood_is_refused)
{
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *given = json_loads(cases[i].state, 0, NULL);
        struct diag diag;

        diag_init(&diag);
        CHECK(given != NULL);
        CHECK_EQ(apps_understand(given, &diag), cases[i].understood, cases[i].state);
        CHECK_EQ(diag.first == NULL, cases[i].understood, cases[i].state);
        diag_fini(&diag);
        json_decref(given);
    }
}
