/* Real processes through the real core: started, crashed, stopped, replaced, and nothing left. */
#include "apps/apps.h"
#include "base/list.h"
#include "base/log.h"
#include "base/sanitize.h"
#include "event/loop.h"
#include "tests/unit/check.h"

#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

struct bench {
    char home[64];
    struct loop *loop;
    struct apps *apps;
    struct log log;
    bool answered, ok;
    json_t *result;
};

static void setup(struct bench *bench)
{
    struct apps_observer observer = {.context = bench};

    *bench = (struct bench){.home = "/tmp/pelayan-apps-XXXXXX"};
    signal(SIGPIPE, SIG_IGN);
    CHECK(mkdtemp(bench->home) != NULL);
    bench->loop = loop_new(0);
    CHECK(bench->loop != NULL);
    bench->apps = apps_new(bench->loop, bench->home, &bench->log, &observer);
    CHECK(bench->apps != NULL);
}

static void on_answer(void *context, bool ok, json_t *result)
{
    struct bench *bench = context;

    bench->answered = true;
    bench->ok = ok;
    json_decref(bench->result);
    bench->result = json_incref(result);
}

static void turn_until(struct bench *bench, const bool *done)
{
    uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!*done && clock_monotonic_ms() < end_ms)
        loop_turn(bench->loop, 50);
    CHECK(*done);
}

/* '~' stands for a double quote. */
static bool ask(struct bench *bench, const char *request)
{
    char text[2048];
    json_t *json;

    snprintf(text, sizeof text, "%s", request);
    for (char *at = text; *at != '\0'; at++)
        *at = *at == '~' ? '"' : *at;
    json = json_loads(text, 0, NULL);
    CHECK(json != NULL, "%s", text);
    bench->answered = false;
    CHECK(apps_ask(bench->apps, json, on_answer, bench));
    json_decref(json);
    turn_until(bench, &bench->answered);
    return bench->ok;
}

static json_t *env_of(struct bench *bench, size_t index)
{
    ask(bench, "{~command~:~list~}");
    return json_object_get(json_array_get(bench->result, index), "pm2_env");
}

static const char *status(struct bench *bench, size_t index)
{
    const char *text = json_string_value(json_object_get(env_of(bench, index), "status"));

    return text == NULL ? "none" : text;
}

static int number(struct bench *bench, const char *name)
{
    return (int)json_integer_value(json_object_get(env_of(bench, 0), name));
}

static pid_t pid_of(struct bench *bench, size_t index)
{
    ask(bench, "{~command~:~list~}");
    return (pid_t)json_integer_value(json_object_get(json_array_get(bench->result, index), "pid"));
}

static void wait_for_status(struct bench *bench, const char *wanted)
{
    uint64_t end_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (strcmp(status(bench, 0), wanted) != 0 && clock_monotonic_ms() < end_ms)
        loop_turn(bench->loop, 20);
    CHECK_STR(status(bench, 0), wanted);
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

static void reap_strays(void)
{
    for (int i = 0; i < 100 && waitpid(-1, NULL, WNOHANG) > 0; i++)
        continue;
}

static void teardown(struct bench *bench)
{
    char command[128];

    apps_free(bench->apps);
    loop_free(bench->loop);
    json_decref(bench->result);
    reap_strays();
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1, "a child is left");
    snprintf(command, sizeof command, "rm -rf %s", bench->home);
    CHECK_EQ(system(command), 0);
}

static void read_log(struct bench *bench, const char *name, char *out, size_t bytes)
{
    char path[128];
    FILE *file;
    size_t got;

    snprintf(path, sizeof path, "%s/logs/%s", bench->home, name);
    file = fopen(path, "r");
    CHECK(file != NULL, path);
    got = fread(out, 1, bytes - 1, file);
    out[got] = '\0';
    fclose(file);
}

TEST(starts_and_stops)
{
    struct bench bench;
    unsigned before;

    setup(&bench);
    before = open_fds();
    CHECK(ask(&bench, "{~command~:~start~,~apps~:[{~script~:~sleep 100~,~name~:~s~,~cwd~:~/~}]}"));
    CHECK_STR(status(&bench, 0), "online");
    CHECK(pid_of(&bench, 0) > 0 && getpgid(pid_of(&bench, 0)) == pid_of(&bench, 0));
    CHECK(ask(&bench, "{~command~:~stop~,~target~:~s~}"));
    CHECK_STR(status(&bench, 0), "stopped");
    CHECK_EQ(number(&bench, "restart_time"), 0);
    CHECK(ask(&bench, "{~command~:~restart~,~target~:~0~}"));
    CHECK_STR(status(&bench, 0), "online");
    CHECK(ask(&bench, "{~command~:~delete~,~target~:~all~}"));
    CHECK_STR(status(&bench, 0), "none");
    loop_turn(bench.loop, 10);
    CHECK_EQ(open_fds(), before);
    teardown(&bench);
}

TEST(what_cannot_be_started_says_why)
{
    struct bench bench;

    setup(&bench);
    CHECK(!ask(&bench, "{~command~:~start~,~apps~:[{~script~:~/no/such~,~cwd~:~/~}]}"));
    CHECK(strstr(json_string_value(json_object_get(bench.result, "message")), "No such file") !=
          NULL);
    CHECK_STR(status(&bench, 0), "errored");
    CHECK(!ask(&bench, "{~command~:~start~,~apps~:[{~name~:~b~,~script~:~true~,~cwd~:~/no~}]}"));
    CHECK(!ask(&bench, "{~command~:~stop~,~target~:~nobody~}"));
    teardown(&bench);
}

TEST(crashes_until_it_is_errored)
{
    struct bench bench;

    setup(&bench);
    ask(&bench, "{~command~:~start~,~apps~:[{~script~:~echo broken >&2; exit 3~,~name~:~c~,"
                "~cwd~:~/~,~max_restarts~:5}]}");
    wait_for_status(&bench, "errored");
    CHECK_EQ(number(&bench, "restart_time"), 4);
    CHECK(ask(&bench, "{~command~:~list~,~target~:~c~}"));
    json_t *env = json_object_get(json_array_get(bench.result, 0), "pm2_env");
    CHECK(strstr(json_string_value(json_object_get(env, "reason")), "code 3") != NULL);
    CHECK(strstr(json_string_value(json_object_get(env, "last_error_lines")), "broken") != NULL);
    teardown(&bench);
}

TEST(ignores_the_signal_and_has_children)
{
    struct bench bench;
    pid_t pid;

    setup(&bench);
    CHECK(ask(&bench, "{~command~:~start~,~apps~:[{~script~:~trap '' INT TERM; sleep 300 & setsid"
                      " sleep 301 & while :; do sleep 0.05; done~,~name~:~t~,~cwd~:~/~,"
                      "~kill_timeout~:100}]}"));
    pid = pid_of(&bench, 0);
    for (int i = 0; i < 10; i++) /* let it begin */
        loop_turn(bench.loop, 20);
    CHECK(ask(&bench, "{~command~:~stop~,~target~:~t~}"));
    CHECK_STR(status(&bench, 0), "stopped");
    for (int i = 0; i < 200 && kill(-pid, 0) == 0; i++) {
        reap_strays(); /* what the shell left came to us */
        loop_turn(bench.loop, 10);
    }
    CHECK_EQ(kill(-pid, 0), -1);
    teardown(&bench); /* which sees that no child is left */
}

TEST(stop_exit_codes_and_no_autorestart)
{
    struct bench bench;

    setup(&bench);
    ask(&bench, "{~command~:~start~,~apps~:[{~script~:~sleep 0.05; exit 7~,~name~:~x~,~cwd~:~/~,"
                "~stop_exit_codes~:[7]}]}");
    wait_for_status(&bench, "stopped");
    CHECK_EQ(number(&bench, "restart_time"), 0);
    teardown(&bench);
}

TEST(environment_of_an_instance)
{
    struct bench bench;
    char text[4096];

    setup(&bench);
    setenv("MASTERS_SECRET", "1", 1);
    ask(&bench, "{~command~:~start~,~inherited~:{~PATH~:~/usr/bin:/bin~,~KEPT~:~yes~,"
                "~AWS_KEY~:~no~},~env_name~:~prod~,~apps~:[{~script~:~env~,~name~:~e~,"
                "~cwd~:~/~,~autorestart~:false,~filter_env~:[~AWS~],~increment_var~:~N~,"
                "~env~:{~A~:~a~,~NUM~:5,~N~:7},~env_prod~:{~A~:~b~}}]}");
    wait_for_status(&bench, "stopped");
    read_log(&bench, "e-out.log", text, sizeof text);
    CHECK(strstr(text, "KEPT=yes\n") != NULL, text);
    CHECK(strstr(text, "AWS_KEY") == NULL, text);
    CHECK(strstr(text, "MASTERS_SECRET") == NULL, text);
    CHECK(strstr(text, "A=b\n") != NULL && strstr(text, "NUM=5\n") != NULL, text);
    CHECK(strstr(text, "NODE_APP_INSTANCE=0\n") != NULL && strstr(text, "N=7\n") != NULL, text);
    teardown(&bench);
}

TEST(lines_of_two_instances_are_whole_and_stamped)
{
    struct bench bench;
    char text[65536];
    unsigned lines = 0;

    setup(&bench);
    ask(&bench, "{~command~:~start~,~apps~:[{~script~:~for i in $(seq 200); do echo hello; done~,"
                "~name~:~m~,~cwd~:~/~,~instances~:2,~exec_mode~:~fork~,~merge_logs~:true,"
                "~autorestart~:false,~log_date_format~:~YYYY-MM-DD~}]}");
    wait_for_status(&bench, "stopped");
    while (strcmp(status(&bench, 1), "stopped") != 0)
        loop_turn(bench.loop, 20);
    read_log(&bench, "m-out.log", text, sizeof text);
    for (char *at = text; *at != '\0'; at = strchr(at, '\n') + 1) {
        CHECK(strncmp(at, "20", 2) == 0 && strncmp(at + 10, ": hello\n", 8) == 0, at);
        lines++;
    }
    CHECK_EQ(lines, 400);
    teardown(&bench);
}

/* Goal: neither memory nor descriptors grow with crashes. The default is small; SOAK says more. */
TEST(crash_cycles_leave_nothing)
{
    const char *soak = getenv("SOAK");
    int wanted = soak == NULL ? 150 : (int)strtol(soak, NULL, 10);
    uint64_t end_ms = clock_monotonic_ms() + (soak == NULL ? 60000 : 600000);
    struct bench bench;
    unsigned before = 0;
    size_t held = 0;

    setup(&bench);
    ask(&bench, "{~command~:~start~,~apps~:[{~script~:~/bin/false~,~name~:~f~,~cwd~:~/~,"
                "~max_restarts~:1000000,~crash_window~:0}]}");
    while (number(&bench, "restart_time") < 20)
        loop_turn(bench.loop, 10);
    before = open_fds();
    held = mallinfo2().uordblks;
    while (number(&bench, "restart_time") < wanted && clock_monotonic_ms() < end_ms)
        loop_turn(bench.loop, 10);
    CHECK(number(&bench, "restart_time") >= wanted);
    CHECK(open_fds() <= before + 4);
    if (!WITH_ASAN)
        CHECK(mallinfo2().uordblks < held + 32768, "%zu bytes, then %zu", held,
              mallinfo2().uordblks);
    teardown(&bench);
}
