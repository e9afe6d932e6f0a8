#include "base/log.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A log into an unnamed file, and what was written to it. */
struct fixture {
    struct log_target target;
    struct log log;
    char text[65536];
};

static void open_log(struct fixture *fixture, enum log_level level)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND, 0600);

    CHECK(fd >= 0);
    fixture->target = (struct log_target){.fd = fd, .level = level};
    fixture->log = (struct log){.targets = &fixture->target, .level = level};
}

/* The lines so far, without the date and time at their beginning. */
static const char *written(struct fixture *fixture)
{
    ssize_t len = pread(fixture->target.fd, fixture->text, sizeof fixture->text - 1, 0);

    CHECK(len >= 0);
    fixture->text[len] = '\0';
    return len > 20 ? fixture->text + 20 : fixture->text;
}

static const char *expected(char out[512], const char *level, const char *message)
{
    snprintf(out, 512, "[%s] %d#%d: %s\n", level, (int)getpid(), (int)gettid(), message);
    return out;
}

TEST(a_line_has_nginxs_form)
{
    struct fixture fixture;
    char want[512];
    int year;
    int second;

    open_log(&fixture, LOG_LEVEL_ERROR);
    log_write(&fixture.log, LOG_LEVEL_ERROR, ENOENT, "open() \"%s\" failed", "/x");
    CHECK_STR(written(&fixture),
              expected(want, "error", "open() \"/x\" failed (2: No such file or directory)"));
    CHECK_EQ(sscanf(fixture.text, "%4d/%*2d/%*2d %*2d:%*2d:%2d ", &year, &second), 2);
    CHECK(year >= 2024);
    close(fixture.target.fd);
}

TEST(levels_filter)
{
    struct fixture fixture;

    open_log(&fixture, LOG_LEVEL_WARN);
    log_write(&fixture.log, LOG_LEVEL_NOTICE, 0, "too much");
    CHECK_STR(written(&fixture), "");
    log_write(NULL, LOG_LEVEL_EMERG, 0, "nowhere");
    fixture.log.level = LOG_LEVEL_DEBUG; /* another target wants everything */
    log_write(&fixture.log, LOG_LEVEL_NOTICE, 0, "too much");
    CHECK_STR(written(&fixture), "");
    log_write(&fixture.log, LOG_LEVEL_CRIT, 0, "enough");
    CHECK(strstr(written(&fixture), "[crit]") != NULL);
    close(fixture.target.fd);
}

TEST(control_bytes_are_escaped)
{
    struct fixture fixture;
    char want[512];

    open_log(&fixture, LOG_LEVEL_ERROR);
    log_write(&fixture.log, LOG_LEVEL_ERROR, 0, "a\r\n\x1b\x7f\xc3\xa9%s", "\n");
    CHECK_STR(written(&fixture), expected(want, "error", "a\\x0D\\x0A\\x1B\\x7F\xc3\xa9\\x0A"));
    close(fixture.target.fd);
}

/* Goal: a long line is cut at 4096 bytes with its line feed, wherever an escape falls. */
TEST(long_lines_are_cut)
{
    static char text[9000];

    for (size_t len = 3990; len < 4120; len++) {
        struct fixture fixture;
        size_t line_len;

        memset(text, 'a', len);
        memset(text + len, '\n', 100);
        text[len + 100] = '\0';
        open_log(&fixture, LOG_LEVEL_ERROR);
        log_write(&fixture.log, LOG_LEVEL_ERROR, ENOENT, "%s", text);
        written(&fixture);
        line_len = strlen(fixture.text);
        CHECK(line_len <= 4096, "%zu", len);
        CHECK(line_len > 4090, "%zu", len);
        CHECK(strchr(fixture.text, '\n') == fixture.text + line_len - 1);
        close(fixture.target.fd);
    }
}

static size_t describe(const struct log_subject *subject, char *out, size_t out_bytes)
{
    CHECK_EQ(subject->connection_id, 42);
    return (size_t)snprintf(out, out_bytes, " while testing, client: 127.0.0.1\n");
}

static size_t describe_too_much(const struct log_subject *subject, char *out, size_t out_bytes)
{
    (void)subject;
    memset(out, 'x', out_bytes);
    return out_bytes + 1000;
}

TEST(a_subject_is_named_and_described)
{
    struct fixture fixture;
    struct log_subject subject = {&fixture.log, 42, describe};
    char want[512];

    open_log(&fixture, LOG_LEVEL_INFO);
    log_about(&subject, LOG_LEVEL_INFO, EPIPE, "send failed");
    CHECK_STR(written(&fixture),
              expected(want, "info",
                       "*42 send failed (32: Broken pipe) while testing, client: 127.0.0.1\\x0A"));
    log_about(&subject, LOG_LEVEL_DEBUG, 0, "not wanted");
    CHECK(strstr(written(&fixture), "not wanted") == NULL);
    close(fixture.target.fd);
}

TEST(a_description_may_be_missing_or_too_long)
{
    struct fixture fixture;
    struct log_subject subject = {&fixture.log, 0, NULL};
    char want[512];

    open_log(&fixture, LOG_LEVEL_INFO);
    log_about(&subject, LOG_LEVEL_INFO, 0, "m");
    CHECK_STR(written(&fixture), expected(want, "info", "m"));
    subject.describe = describe_too_much;
    log_about(&subject, LOG_LEVEL_INFO, 0, "m");
    CHECK(strlen(written(&fixture)) < 4200);
    close(fixture.target.fd);
}

TEST(syslog_gets_datagrams)
{
    int fds[2];
    struct log_target target = {.level = LOG_LEVEL_DEBUG, .syslog_prefix = "host pelayan: "};
    struct log log = {.targets = &target, .level = LOG_LEVEL_DEBUG};
    char text[8192];
    char month[4];
    char rest[128];
    ssize_t len;
    int priority;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    target.fd = fds[0];
    target.syslog_facility = 23;
    log_write(&log, LOG_LEVEL_ERROR, 0, "hello");
    len = recv(fds[1], text, sizeof text - 1, 0);
    CHECK(len > 0);
    text[len] = '\0';
    CHECK_EQ(sscanf(text, "<%d>%3s %*2d %*2d:%*2d:%*2d %127[^\n]", &priority, month, rest), 3);
    CHECK_EQ(priority, 23 * 8 + 3);
    CHECK(strncmp(rest, "host pelayan: 2", 15) == 0, rest);
    CHECK(strcmp(rest + strlen(rest) - 7, ": hello") == 0, rest);
    close(fds[1]);
    log_write(&log, LOG_LEVEL_ERROR, 0, "nobody listens"); /* neither a signal nor a failure */
    close(fds[0]);
}

TEST(errno_is_left_alone)
{
    struct log_target target = {.fd = 1000000, .level = LOG_LEVEL_DEBUG};
    struct log log = {.targets = &target, .level = LOG_LEVEL_DEBUG};

    errno = EDOM;
    log_write(&log, LOG_LEVEL_ERROR, 0, "into a closed descriptor");
    CHECK_EQ(errno, EDOM);
}

TEST(a_forked_process_tells_its_own_number)
{
    struct fixture fixture;
    char number[32];
    pid_t child;

    open_log(&fixture, LOG_LEVEL_ERROR);
    log_write(&fixture.log, LOG_LEVEL_ERROR, 0, "parent");
    child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        log_write(&fixture.log, LOG_LEVEL_ERROR, 0, "child");
        _exit(0);
    }
    CHECK_EQ(waitpid(child, NULL, 0), child);
    snprintf(number, sizeof number, "%d#%d: child", (int)child, (int)child);
    CHECK(strstr(written(&fixture), number) != NULL, fixture.text);
    close(fixture.target.fd);
}

static void *write_lines(void *data)
{
    for (int i = 0; i < 100; i++)
        log_write(data, LOG_LEVEL_ERROR, 0, "line %d of a thread, neither mixed nor lost", i);
    return NULL;
}

TEST(threads_do_not_mix_their_lines)
{
    struct fixture fixture;
    struct slice rest;
    struct slice line;
    pthread_t threads[4];
    int lines = 0;

    open_log(&fixture, LOG_LEVEL_ERROR);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, write_lines, &fixture.log), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    written(&fixture);
    rest = slice_of(fixture.text);
    while (slice_split(&rest, '\n', &line) && line.len > 0) {
        CHECK(slice_ends(line, slice_of(" of a thread, neither mixed nor lost")));
        lines++;
    }
    CHECK_EQ(lines, 400);
    close(fixture.target.fd);
}

TEST(level_words)
{
    static const char *const words[] = {"emerg", "alert",  "crit", "error",
                                        "warn",  "notice", "info", "debug"};
    enum log_level level;

    for (int i = 0; i < 8; i++) {
        CHECK(log_parse_level(slice_of(words[i]), &level), words[i]);
        CHECK_EQ(level, (enum log_level)(i + 1), words[i]);
        CHECK_STR(log_level_name(level), words[i]);
    }
    CHECK(!log_parse_level(slice_of("stderr"), &level));
    CHECK(!log_parse_level(slice_of("ERROR"), &level));
    CHECK(!log_parse_level(slice_of(""), &level));
}
