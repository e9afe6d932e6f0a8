#include "base/buf.h"
#include "event/loop.h"
#include "event/socket.h"

#include "tests/unit/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* One end of a pair of sockets in a loop. */
struct end {
    struct io io;
    unsigned events; /* of the last call */
    int calls;
    struct end *to_close; /* unwatched (and freed, if `frees`) by the callback */
    bool frees;
};

static void on_end(struct io *io, unsigned events)
{
    struct end *end = container_of(io, struct end, io);

    end->events = events;
    end->calls++;
    if (end->to_close != NULL) {
        loop_unwatch(&end->to_close->io);
        if (end->frees)
            free(end->to_close);
        end->to_close = NULL;
    }
}

static struct end *open_end(struct loop *loop, int fd)
{
    struct end *end = calloc(1, sizeof *end);

    CHECK(end != NULL);
    end->io = (struct io){.fd = fd, .on_ready = on_end};
    CHECK(loop_watch(loop, &end->io));
    return end;
}

static void open_pair(int fds[2])
{
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

TEST(events_arrive_once_per_edge)
{
    struct loop *loop = loop_new(3);
    struct end *end;
    int fds[2];

    CHECK(loop != NULL);
    CHECK_EQ(loop_index(loop), 3);
    open_pair(fds);
    end = open_end(loop, fds[0]);
    loop_turn(loop, 0);
    CHECK_EQ(end->events, IO_WRITE);
    CHECK_EQ(end->calls, 1);
    loop_turn(loop, 0);
    CHECK_EQ(end->calls, 1, "edge-triggered: nothing is said twice");

    CHECK_EQ(write(fds[1], "x", 1), 1);
    loop_turn(loop, -1);
    CHECK((end->events & IO_READ) != 0);
    CHECK((end->events & IO_HANGUP) == 0);
    CHECK_EQ(end->io.ready, IO_READ | IO_WRITE);

    shutdown(fds[1], SHUT_WR);
    loop_turn(loop, -1);
    CHECK((end->events & IO_HANGUP) != 0);
    CHECK((end->io.ready & IO_HANGUP) != 0);
    loop_unwatch(&end->io);
    loop_unwatch(&end->io);
    close(fds[0]);
    close(fds[1]);
    free(end);
    CHECK_EQ(loop_stats(loop).events, 3);
    loop_free(loop);
    loop_free(NULL);
}

/* Goal: a callback may free another owner whose event is in the same batch. */
TEST(unwatched_in_the_same_turn_is_not_called)
{
    struct loop *loop = loop_new(0);
    struct end *ends[2];
    int fds[2];
    int calls;

    open_pair(fds);
    ends[0] = open_end(loop, fds[0]);
    ends[1] = open_end(loop, fds[1]);
    for (int i = 0; i < 2; i++) {
        ends[i]->to_close = ends[1 - i];
        ends[i]->frees = false;
    }
    loop_turn(loop, 0);
    calls = ends[0]->calls + ends[1]->calls;
    CHECK_EQ(calls, 1, "whichever came first has unwatched the other");
    for (int i = 0; i < 2; i++) {
        loop_unwatch(&ends[i]->io);
        free(ends[i]);
        close(fds[i]);
    }
    loop_free(loop);
}

TEST(a_callback_may_free_its_own)
{
    struct loop *loop = loop_new(0);
    struct end *end;
    int fds[2];

    open_pair(fds);
    end = open_end(loop, fds[0]);
    end->to_close = end;
    loop_turn(loop, 0);
    CHECK(end->io.loop == NULL);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    loop_turn(loop, 0);
    CHECK_EQ(end->calls, 1);
    free(end);
    close(fds[0]);
    close(fds[1]);
    loop_free(loop);
}

TEST(what_cannot_be_watched_is_refused)
{
    struct loop *loop = loop_new(0);
    struct io io = {.fd = -1, .on_ready = on_end};

    CHECK(!loop_watch(loop, &io));
    CHECK(io.loop == NULL);
    loop_free(loop);
}

TEST(a_shared_listener_is_told_until_it_is_empty)
{
    struct loop *loop = loop_new(0);
    struct listen_options options = {.backlog = -1};
    struct end end = {.calls = 0};
    struct address peer;
    bool done;
    int client;
    int accepted;

    CHECK(address_parse(slice_of("unix:@pelayan-test-loop"), 0, &options.address));
    end.io = (struct io){.fd = socket_listen(&options), .on_ready = on_end};
    CHECK(end.io.fd >= 0);
    CHECK(loop_watch_shared(loop, &end.io));
    client = socket_connect(&options.address, NULL, &done);
    CHECK(client >= 0);
    loop_turn(loop, -1);
    loop_turn(loop, -1);
    CHECK_EQ(end.calls, 2, "level-triggered");
    accepted = socket_accept(end.io.fd, &peer);
    CHECK(accepted >= 0);
    loop_turn(loop, 0);
    CHECK_EQ(end.calls, 2);
    loop_unwatch(&end.io);
    close(accepted);
    close(client);
    close(end.io.fd);
    loop_free(loop);
}

/* ---- deadlines */

struct alarm {
    struct deadline deadline;
    struct loop *loop;
    int rings;
    uint64_t again_ms;    /* arms itself so often */
    struct alarm *victim; /* disarmed and freed when it rings */
};

static void on_ring(struct deadline *deadline)
{
    struct alarm *alarm = container_of(deadline, struct alarm, deadline);

    CHECK(!deadline_armed(deadline));
    alarm->rings++;
    if (alarm->again_ms > 0)
        deadline_arm(alarm->loop, deadline, alarm->again_ms);
    if (alarm->victim != NULL) {
        deadline_disarm(&alarm->victim->deadline);
        free(alarm->victim);
        alarm->victim = NULL;
    }
    if (alarm->rings == 5)
        loop_stop(alarm->loop);
}

TEST(a_deadline_ends_the_wait)
{
    struct loop *loop = loop_new(0);
    struct alarm alarm = {.deadline = {.on_expire = on_ring}, .loop = loop, .again_ms = 2};
    uint64_t before = clock_monotonic_ms();

    deadline_arm(loop, &alarm.deadline, 2);
    CHECK(deadline_armed(&alarm.deadline));
    loop_run(loop);
    CHECK_EQ(alarm.rings, 5);
    CHECK(clock_monotonic_ms() >= before + 9);
    CHECK(clock_monotonic_ms() < before + 2000);
    CHECK_EQ(loop_now_ms(loop), loop_clock(loop)->now_ms);
    deadline_disarm(&alarm.deadline);
    deadline_disarm(&alarm.deadline);
    CHECK(!deadline_armed(&alarm.deadline));
    loop_free(loop);
}

TEST(a_disarmed_deadline_is_silent)
{
    struct loop *loop = loop_new(0);
    struct alarm alarm = {.deadline = {.on_expire = on_ring}, .loop = loop};

    deadline_arm(loop, &alarm.deadline, 1);
    deadline_disarm(&alarm.deadline);
    usleep(3000);
    loop_turn(loop, 0);
    CHECK_EQ(alarm.rings, 0);
    loop_free(loop);
}

/* Goal: a paused deadline is silent and holds no loop up; armed again it rings at the new time. */
TEST(a_paused_deadline_is_silent_until_armed_again)
{
    struct loop *loop = loop_new(0);
    struct alarm alarm = {.deadline = {.on_expire = on_ring}, .loop = loop};

    deadline_arm(loop, &alarm.deadline, 1);
    deadline_pause(&alarm.deadline);
    CHECK(!deadline_armed(&alarm.deadline));
    usleep(3000);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_EQ(alarm.rings, 0);
    deadline_arm(loop, &alarm.deadline, 60000);
    deadline_pause(&alarm.deadline);
    deadline_arm(loop, &alarm.deadline, 1); /* earlier than the wheel would look at it */
    usleep(3000);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_EQ(alarm.rings, 1);
    deadline_arm(loop, &alarm.deadline, 60000);
    deadline_pause(&alarm.deadline);
    deadline_disarm(&alarm.deadline);
    loop_free(loop);
}

/* Goal: of two due at the same time the first may free the second. */
TEST(a_deadline_may_free_its_neighbour)
{
    struct loop *loop = loop_new(0);
    struct alarm first = {.deadline = {.on_expire = on_ring}, .loop = loop};
    struct alarm *second = calloc(1, sizeof *second);

    CHECK(second != NULL);
    second->deadline.on_expire = on_ring;
    second->loop = loop;
    first.victim = second;
    deadline_arm(loop, &first.deadline, 1);
    deadline_arm(loop, &second->deadline, 1);
    usleep(3000);
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    CHECK_EQ(first.rings, 1);
    loop_free(loop);
}

TEST(arming_with_zero_waits_for_the_next_tick)
{
    struct loop *loop = loop_new(0);
    struct alarm alarm = {.deadline = {.on_expire = on_ring}, .loop = loop};

    deadline_arm(loop, &alarm.deadline, 0);
    CHECK(deadline_armed(&alarm.deadline));
    for (int i = 0; i < 10 && alarm.rings == 0; i++)
        loop_turn(loop, -1);
    CHECK_EQ(alarm.rings, 1);
    deadline_arm(loop, &alarm.deadline, UINT64_MAX);
    loop_turn(loop, 0);
    CHECK_EQ(alarm.rings, 1);
    deadline_disarm(&alarm.deadline);
    loop_free(loop);
}

/* ---- tasks */

struct chore {
    struct task task;
    struct loop *loop;
    int runs;
    int again; /* queues itself so often */
};

static void do_chore(struct task *task)
{
    struct chore *chore = container_of(task, struct chore, task);

    chore->runs++;
    if (chore->again-- > 0)
        loop_defer(chore->loop, task);
}

TEST(tasks_run_once_at_the_end_of_the_turn)
{
    struct loop *loop = loop_new(0);
    struct chore chore = {.task = {.run = do_chore}, .loop = loop, .again = 3};

    loop_defer(loop, &chore.task);
    loop_defer(loop, &chore.task);
    CHECK_EQ(chore.runs, 0);
    loop_turn(loop, -1);
    CHECK_EQ(chore.runs, 4, "and what it queued meanwhile ran in the same turn");
    loop_free(loop);
}

TEST(tasks_without_end_do_not_hold_the_loop)
{
    struct loop *loop = loop_new(0);
    struct chore chore = {.task = {.run = do_chore}, .loop = loop, .again = 100};
    int turns = 0;

    loop_defer(loop, &chore.task);
    while (chore.runs < 101) {
        loop_turn(loop, -1);
        turns++;
    }
    CHECK(turns > 1);
    CHECK(!chore.task.queued);
    loop_free(loop);
}

/* ---- mails */

enum { SENDERS = 4, MAILS_EACH = 5000 };

struct letter {
    struct mail mail;
    int sender;
    int number;
};

struct sender {
    pthread_t thread;
    struct loop *loop;
    int sender;
};

static int last_from[SENDERS];
static int mails_read;

static void read_letter(struct loop *loop, struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);

    CHECK_EQ(letter->number, last_from[letter->sender] + 1, "in the order of posting");
    last_from[letter->sender] = letter->number;
    if (++mails_read == SENDERS * MAILS_EACH)
        loop_stop(loop);
    free(letter);
}

static void *send_letters(void *data)
{
    struct sender *sender = data;

    for (int i = 0; i < MAILS_EACH; i++) {
        struct letter *letter = malloc(sizeof *letter);

        if (letter == NULL)
            abort();
        *letter = (struct letter){{.run = read_letter}, sender->sender, i};
        loop_post(sender->loop, &letter->mail);
    }
    return NULL;
}

/* Goal: no mail is lost, doubled or overtaken by a later one of the same sender, and no wake-up is
 * missed: the loop waits without a limit. */
TEST(mails_of_many_threads_all_arrive)
{
    struct loop *loop = loop_new(0);
    struct sender senders[SENDERS];

    mails_read = 0;
    for (int i = 0; i < SENDERS; i++) {
        last_from[i] = -1;
        senders[i] = (struct sender){.loop = loop, .sender = i};
        CHECK_EQ(pthread_create(&senders[i].thread, NULL, send_letters, &senders[i]), 0);
    }
    loop_run(loop);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    CHECK_EQ(mails_read, SENDERS * MAILS_EACH);
    loop_free(loop);
}

TEST(mails_left_over_are_read_at_the_end)
{
    struct loop *loop = loop_new(0);
    struct letter *letter = malloc(sizeof *letter);

    CHECK(letter != NULL);
    last_from[0] = -1;
    mails_read = 0;
    *letter = (struct letter){{.run = read_letter}, 0, 0};
    loop_post(loop, &letter->mail);
    loop_free(loop);
    CHECK_EQ(mails_read, 1);
}

TEST(a_loop_has_buffers_and_a_context)
{
    struct loop *loop = loop_new(0);
    struct buf *buf = buf_get(loop_bufs(loop));
    int context = 1;

    CHECK(buf != NULL);
    buf_unref(buf);
    CHECK_EQ(bufpool_lent(loop_bufs(loop)), 0);
    CHECK(loop_context(loop) == NULL);
    loop_set_context(loop, &context);
    CHECK(loop_context(loop) == &context);
    loop_turn(loop, 0);
    CHECK_EQ(loop_stats(loop).turns, 1);
    loop_free(loop);
}
