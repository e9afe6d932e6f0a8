/* pid files: written whole, read strictly, removed only by their owner. */
#include "tests/unit/check.h"

#include "base/diag.h"
#include "base/list.h"
#include "daemon/pid_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/pid-file-XXXXXX";
static char path[64];

static void write_text(const char *text)
{
    FILE *file = fopen(path, "w");

    fputs(text, file);
    fclose(file);
}

TEST(what_was_written_is_read_and_removed)
{
    struct diag diag;
    pid_t pid = 0;

    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/pid", folder);
    diag_init(&diag);
    CHECK(pid_file_write(path, 1234, &diag));
    CHECK(pid_file_write(path, 4321, &diag), "an old one is no obstacle");
    CHECK(pid_file_read(path, &pid, &diag));
    CHECK_EQ(pid, 4321);
    pid_file_remove(path, 1);
    CHECK_EQ(access(path, F_OK), 0, "somebody else's stays");
    pid_file_remove(path, 4321);
    CHECK_NE(access(path, F_OK), 0);
    diag_fini(&diag);
}

TEST(what_is_no_number_is_refused_in_nginx_s_words)
{
    static const char *const cases[] = {"", "\n", "0\n", "-1\n", "12x", "1 2", "99999999999999"};

    for (size_t i = 0; i < COUNT(cases); i++) {
        struct diag diag;
        pid_t pid;

        diag_init(&diag);
        write_text(cases[i]);
        CHECK(!pid_file_read(path, &pid, &diag), cases[i]);
        CHECK(strstr(diag.first->message, "invalid PID number") != NULL);
        diag_fini(&diag);
    }
    unlink(path);
    rmdir(folder);
}
