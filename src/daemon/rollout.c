/* Bringing a config from the disk to the loops: at start, at reload, after an upgrade, all the same
 * way. Runs in: master.
 *
 *   begin -> checking (child) -> open sockets and logs -> handing (worker) -> served
 *                 |                      |                      |
 *                 +----------------------+----------------------+-> failed: nothing has changed */
#include "base/diag.h"
#include "control/server.h"
#include "daemon/manifest.h"
#include "daemon/master_internal.h"
#include "daemon/notify.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char prefix[] = "pelayan: [";

void master_answer_all(struct list *requests, bool ok, struct slice text)
{
    struct list *link;

    while ((link = list_pop_front(requests)) != NULL)
        control_answer(container_of(link, struct control_request, link), ok, text);
}

/* The printed lines "pelayan: [emerg] text" as lines of the log; those with the caret stay out. */
static void log_text(struct master *master, struct slice text)
{
    struct slice line;

    while (slice_split(&text, '\n', &line)) {
        struct slice word;
        enum log_level level = LOG_LEVEL_EMERG;

        if (line.len == 0 || line.data[0] == ' ')
            continue;
        if (slice_starts(line, slice_of(prefix))) {
            line = slice_skip(line, sizeof prefix - 1);
            slice_split(&line, ']', &word);
            log_parse_level(word, &level);
            line = slice_trim(line);
        }
        log_write(&master->log, level, 0, "%.*s", SLICE_ARG(line));
    }
}

static void print_diag(const struct diag *diag, struct slice *text)
{
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);

    *text = slice_make(NULL, 0);
    if (out == NULL)
        return;
    diag_print(diag, out);
    fclose(out);
    *text = slice_make(printed, len);
}

static void start_checking(struct master *master);

static void finish(struct master *master, bool ok, struct slice text)
{
    struct rollout *rollout = &master->rollout;

    deadline_disarm(&rollout->patience);
    rollout->late = false;
    rollout->step = ROLLOUT_NONE;
    rollout->target = NULL;
    rollout->new_worker = false;
    rollout->careful = false;
    if (!ok && master->log.targets != log_process.targets)
        log_text(master, text);
    if (!ok && master->current == NULL) {
        fprintf(stderr, "%.*s", SLICE_ARG(text));
        master->exit_code = 1;
        master_step_down(master, MASTER_STOPPING);
    }
    if (!ok && master->current != NULL)
        app_link_use(master, master->current->manifest);
    if (ok)
        app_link_apply(master, master->current->manifest, &rollout->waiting);
    master_answer_all(&rollout->waiting, ok, text);
    if (master->phase != MASTER_RUNNING)
        return;
    notify("READY=1");
    if (master->reopen_wanted)
        master_reopen(master, NULL);
    if (rollout->again) {
        rollout->again = false;
        list_each(it, keep, &rollout->waiting_next)
        {
            list_remove(it);
            list_push_back(&rollout->waiting, it);
        }
        start_checking(master);
    } else if (master->upgrade_wanted) {
        upgrade_begin(master, NULL);
    }
}

static void fail(struct master *master, const char *format, const char *what)
{
    char text[4400];

    snprintf(text, sizeof text, format, what);
    finish(master, false, slice_of(text));
}

static void stop_checking(struct rollout *rollout)
{
    kill(rollout->validation.pid, SIGKILL);
    loop_unwatch(&rollout->verdict);
    close(rollout->validation.fd);
}

void rollout_cancel(struct master *master, const char *why)
{
    struct rollout *rollout = &master->rollout;

    deadline_disarm(&rollout->patience);
    if (rollout->step == ROLLOUT_CHECKING)
        stop_checking(rollout);
    bundle_free(rollout->bundle);
    rollout->bundle = NULL;
    rollout->step = ROLLOUT_NONE;
    rollout->again = false;
    master_answer_all(&rollout->waiting, false, slice_of(why));
    master_answer_all(&rollout->waiting_next, false, slice_of(why));
}

/* The worker that serves now can take it, unless it was started with other limits, users, loops. */
static bool needs_new_worker(const struct master *master, const struct bundle *bundle)
{
    const struct worker_process *worker = master->worker;

    return master->rollout.new_worker || worker == NULL || worker->state != WORKER_SERVING ||
           worker->manifest == NULL ||
           manifest_needs_new_worker(worker->manifest, bundle->manifest);
}

static void hand_over(struct master *master)
{
    struct rollout *rollout = &master->rollout;

    app_link_use(master, rollout->bundle->manifest);
    rollout->step = ROLLOUT_HANDING;
    rollout->target = master->worker;
    if (needs_new_worker(master, rollout->bundle))
        rollout->target = worker_spawn(master, rollout->bundle);
    if (rollout->target != NULL && bundle_send(rollout->bundle, rollout->target->channel.fd)) {
        rollout->target->sent = rollout->bundle->generation;
        return;
    }
    if (rollout->target != NULL && rollout->target != master->worker)
        worker_order_stop(rollout->target);
    bundle_free(rollout->bundle);
    rollout->bundle = NULL;
    fail(master, "pelayan: [alert] the configuration cannot be handed to the worker: %s\n",
         strerror(errno));
}

/* Certificates were renewed, and one that was good is not any more: half of a pair has come. */
static bool is_worse(const struct master *master)
{
    const struct rollout *rollout = &master->rollout;

    return rollout->careful && master->current != NULL &&
           rollout->bundle->manifest->broken_count > master->current->manifest->broken_count;
}

static void keep_old(struct master *master)
{
    static const char why[] = "pelayan: [error] new certificate files are not loaded before they "
                              "are good: those loaded before stay in use\n";

    bundle_free(master->rollout.bundle);
    master->rollout.bundle = NULL;
    finish(master, false, slice_of(why));
}

/* False: finished, it failed. Takes the verdict's descriptors. */
bool rollout_take_verdict(struct master *master, struct verdict *verdict)
{
    struct rollout *rollout = &master->rollout;
    struct slice text;
    struct diag diag;

    if (!verdict->valid) {
        finish(master, false, verdict->text);
        return false;
    }
    log_text(master, verdict->text); /* warnings */
    if (master->current != NULL && bundle_logs_moved(master->current))
        master_reopen(master, NULL); /* nginx opens them anew, too: some rotate by a reload */
    diag_init(&diag);
    rollout->bundle = bundle_open(&master->tables, verdict->manifest_fd, verdict->record_fd, &diag);
    verdict->manifest_fd = -1;
    verdict->record_fd = -1;
    if (rollout->bundle == NULL) {
        print_diag(&diag, &text);
        finish(master, false, text);
        free((char *)text.data);
        diag_fini(&diag);
        return false;
    }
    diag_fini(&diag);
    if (is_worse(master)) {
        keep_old(master);
        return false;
    }
    rollout->bundle->generation = ++master->generation;
    if (master->current == NULL)
        master_log_to(master, rollout->bundle);
    hand_over(master);
    return rollout->step == ROLLOUT_HANDING;
}

static void on_verdict(struct io *io, unsigned events)
{
    struct master *master = container_of(io, struct master, rollout.verdict);
    struct verdict verdict;

    (void)events;
    loop_unwatch(io);
    validation_finish(&master->rollout.validation, &verdict);
    rollout_take_verdict(master, &verdict);
    verdict_free(&verdict);
}

static const char late_text[] =
    "pelayan: [emerg] the worker process has not taken the configuration within reload_timeout; it "
    "may hang, and takes it when it goes on\n";

/* Whoever waits is told that it has failed so far. What the worker was handed cannot be taken back:
 * it answers when it goes on. One that has never served is of no use. */
static void on_patience(struct deadline *deadline)
{
    struct master *master = container_of(deadline, struct master, rollout.patience);
    struct rollout *rollout = &master->rollout;
    struct worker_process *target = rollout->target;

    if (rollout->step == ROLLOUT_CHECKING) {
        stop_checking(rollout);
        fail(master,
             "pelayan: [emerg] the process that checks the configuration has not answered "
             "within %s\n",
             "reload_timeout");
        return;
    }
    assert(rollout->step == ROLLOUT_HANDING);
    rollout->late = true;
    log_text(master, slice_of(late_text));
    master_answer_all(&rollout->waiting, false, slice_of(late_text));
    master_answer_all(&rollout->waiting_next, false, slice_of(late_text));
    if (target != master->worker && !target->is_thread)
        kill(target->pid, SIGKILL);
}

/* Not at the start: nobody waits for it but who sees that it goes on. */
static void be_patient(struct master *master)
{
    struct rollout *rollout = &master->rollout;

    if (master->current == NULL)
        return;
    rollout->patience.on_expire = on_patience;
    deadline_arm(master->loop, &rollout->patience, master->current->manifest->reload_timeout_ms);
}

static void start_checking(struct master *master)
{
    struct rollout *rollout = &master->rollout;

    be_patient(master);
    notify("RELOADING=1");
    if (!validation_start(&rollout->validation, master->options)) {
        fail(master,
             "pelayan: [alert] cannot start the process that checks the configuration: %s\n",
             strerror(errno));
        return;
    }
    rollout->step = ROLLOUT_CHECKING;
    rollout->verdict = (struct io){.fd = rollout->validation.fd, .on_ready = on_verdict};
    if (loop_watch(master->loop, &rollout->verdict))
        return;
    close(rollout->validation.fd);
    fail(master, "pelayan: [alert] cannot watch the process that checks the configuration: %s\n",
         strerror(errno));
}

/* `request` NULL: a signal. */
void rollout_begin(struct master *master, struct control_request *request, bool new_worker)
{
    struct rollout *rollout = &master->rollout;

    if (master->phase != MASTER_RUNNING) {
        if (request != NULL)
            control_answer(request, false, slice_of("pelayan: [error] shutting down\n"));
        return;
    }
    rollout->new_worker = rollout->new_worker || new_worker;
    if (rollout->step != ROLLOUT_NONE) {
        rollout->again = true;
        if (request != NULL && rollout->late)
            control_answer(request, false, slice_of(late_text));
        else if (request != NULL)
            list_push_back(&rollout->waiting_next, &request->link);
        return;
    }
    if (request != NULL)
        list_push_back(&rollout->waiting, &request->link);
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "reconfiguring");
    start_checking(master);
}

void rollout_renew(struct file_watch *watch)
{
    struct master *master = container_of(watch, struct master, certificates);

    if (master->phase != MASTER_RUNNING)
        return;
    if (master->rollout.step != ROLLOUT_NONE) {
        file_watch_again(watch);
        return;
    }
    log_write(&master->log, LOG_LEVEL_NOTICE, 0, "certificate files were exchanged: reloading");
    master->rollout.careful = true;
    start_checking(master);
}

static void watch_certificates(struct master *master)
{
    const struct manifest *manifest = master->current->manifest;

    if (!file_watch_use(&master->certificates, &manifest->watched, manifest->watched_look))
        log_write(&master->log, LOG_LEVEL_ERROR, errno,
                  "certificates cannot be watched: reload when they are renewed");
}

void rollout_served(struct master *master, struct worker_process *worker, uint64_t generation)
{
    struct rollout *rollout = &master->rollout;
    struct worker_process *before = master->worker;
    struct bundle *old = master->current;

    if (rollout->step != ROLLOUT_HANDING || rollout->target != worker ||
        generation != rollout->bundle->generation)
        return; /* a replacement serves the config that is current anyway */
    master->current = rollout->bundle;
    rollout->bundle = NULL;
    master->worker = worker;
    master->without_worker = false;
    master_log_to(master, master->current);
    watch_certificates(master);
    if (before != NULL && before != worker)
        worker_order_drain(before);
    bundle_free(old);
    background_report(&master->background, 0);
    log_write(&master->log, LOG_LEVEL_NOTICE, 0,
              "configuration %llu is served by worker process %d", (unsigned long long)generation,
              (int)worker->pid);
    finish(master, true, slice_of(""));
}

void rollout_failed(struct master *master, struct worker_process *worker, uint64_t generation,
                    struct slice why)
{
    struct rollout *rollout = &master->rollout;

    if (rollout->step != ROLLOUT_HANDING || rollout->target != worker ||
        (generation != 0 && generation != rollout->bundle->generation))
        return;
    bundle_free(rollout->bundle);
    rollout->bundle = NULL;
    rollout->target = NULL;
    if (worker != master->worker && worker->state != WORKER_LEAVING)
        worker_order_stop(worker); /* one that drains has connections to finish */
    finish(master, false, why);
}
