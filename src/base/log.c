/* The error log: one line made on the stack, one write(2) per target. Runs in: any thread. */
#include "base/log.h"

#include "base/clock.h"
#include "base/list.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 4096, HEAD_BYTES_MAX = 512 };

static struct log_target stderr_target = {.fd = STDERR_FILENO, .level = LOG_LEVEL_NOTICE};

struct log log_process = {.targets = &stderr_target, .level = LOG_LEVEL_NOTICE};

static const char *const level_names[] = {
    [LOG_STDERR_LEVEL] = "stderr", [LOG_LEVEL_EMERG] = "emerg", [LOG_LEVEL_ALERT] = "alert",
    [LOG_LEVEL_CRIT] = "crit",     [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_NOTICE] = "notice", [LOG_LEVEL_INFO] = "info",   [LOG_LEVEL_DEBUG] = "debug",
};

/* What a thread needs for each line and would otherwise ask the kernel for. */
static _Thread_local struct {
    pid_t pid; /* 0: not asked yet, or the process has forked since */
    pid_t tid;
    struct clock clock;
} self;

static pthread_once_t watch_forks_once = PTHREAD_ONCE_INIT;

static void forget_self(void)
{
    self.pid = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_self);
}

static void refresh_self(void)
{
    if (self.pid == 0) {
        pthread_once(&watch_forks_once, watch_forks);
        self.pid = getpid();
        self.tid = gettid();
    }
    clock_update(&self.clock);
}

/* A line under construction; what does not fit is cut. */
struct line {
    char text[LINE_BYTES_MAX];
    size_t len;
};

static void put_escaped(struct line *line, const char *bytes, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t max = sizeof line->text - 1; /* the line feed always fits */

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool escape = c < 0x20 || c == 0x7f;

        if (line->len + (escape ? 4 : 1) > max)
            return;
        if (!escape) {
            line->text[line->len++] = (char)c;
            continue;
        }
        line->text[line->len++] = '\\';
        line->text[line->len++] = 'x';
        line->text[line->len++] = hex[c >> 4];
        line->text[line->len++] = hex[c & 15];
    }
}

static void __attribute__((format(printf, 2, 0)))
put_formatted(struct line *line, const char *format, va_list args)
{
    char raw[LINE_BYTES_MAX];
    int len = vsnprintf(raw, sizeof raw, format, args);

    if (len < 0)
        return;
    put_escaped(line, raw, (size_t)len < sizeof raw ? (size_t)len : sizeof raw - 1);
}

static void __attribute__((format(printf, 2, 3))) put(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    put_formatted(line, format, args);
    va_end(args);
}

static void put_os_error(struct line *line, int os_error)
{
    char text[128];

    put(line, " (%d: %s)", os_error, strerror_r(os_error, text, sizeof text));
}

static void put_description(struct line *line, const struct log_subject *subject)
{
    char raw[LINE_BYTES_MAX];
    size_t len = subject->describe(subject, raw, sizeof raw);

    put_escaped(line, raw, len < sizeof raw ? len : sizeof raw);
}

/* A full disk or a vanished reader must not stop the program: a line that cannot be written is
 * lost. */
static void write_line(int fd, const struct line *line)
{
    ssize_t written;

    do {
        written = write(fd, line->text, line->len);
    } while (written < 0 && errno == EINTR);
}

/* One datagram: "<priority>Jan 31 12:00:00 host tag: text" (RFC 3164, 4.1), without the line feed.
 */
static void send_syslog(const struct log_target *target, enum log_level level,
                        const struct line *line)
{
    char head[HEAD_BYTES_MAX];
    int severity = level == LOG_STDERR_LEVEL ? 0 : (int)level - 1;
    const char *local = self.clock.log_local; /* 31/Jan/2026:12:00:00 +0700 */
    int head_len;
    struct iovec parts[2];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT(parts)};

    head_len = snprintf(head, sizeof head, "<%d>%.3s %2d %.8s %s",
                        target->syslog_facility * 8 + severity, local + 3,
                        (local[0] - '0') * 10 + local[1] - '0', local + 12, target->syslog_prefix);
    if (head_len < 0)
        return;
    if ((size_t)head_len >= sizeof head)
        head_len = sizeof head - 1;
    parts[0] = (struct iovec){.iov_base = head, .iov_len = (size_t)head_len};
    parts[1] = (struct iovec){.iov_base = (void *)line->text, .iov_len = line->len - 1};
    sendmsg(target->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_to_targets(const struct log *log, enum log_level level, const struct line *line)
{
    for (const struct log_target *target = log->targets; target != NULL; target = target->next) {
        if (target->level < level || target->fd < 0)
            continue;
        if (target->syslog_prefix != NULL)
            send_syslog(target, level, line);
        else
            write_line(target->fd, line);
    }
}

/* Everything in front of the message. */
static void begin_line(struct line *line, enum log_level level, uint64_t connection_id)
{
    refresh_self();
    line->len = 0;
    put(line, "%s [%s] %d#%d: ", self.clock.log_error, log_level_name(level), (int)self.pid,
        (int)self.tid);
    if (connection_id != 0)
        put(line, "*%llu ", (unsigned long long)connection_id);
}

static void end_line(struct line *line)
{
    assert(line->len < sizeof line->text);
    line->text[line->len++] = '\n';
}

void log_write(const struct log *log, enum log_level level, int os_error, const char *format, ...)
{
    int saved_errno = errno;
    struct line line;
    va_list args;

    if (!log_wants(log, level))
        return;
    begin_line(&line, level, 0);
    va_start(args, format);
    put_formatted(&line, format, args);
    va_end(args);
    if (os_error != 0)
        put_os_error(&line, os_error);
    end_line(&line);
    send_to_targets(log, level, &line);
    errno = saved_errno;
}

void log_about(const struct log_subject *subject, enum log_level level, int os_error,
               const char *format, ...)
{
    int saved_errno = errno;
    struct line line;
    va_list args;

    if (!log_wants(subject->log, level))
        return;
    begin_line(&line, level, subject->connection_id);
    va_start(args, format);
    put_formatted(&line, format, args);
    va_end(args);
    if (os_error != 0)
        put_os_error(&line, os_error);
    if (subject->describe != NULL)
        put_description(&line, subject);
    end_line(&line);
    send_to_targets(subject->log, level, &line);
    errno = saved_errno;
}

bool log_parse_level(struct slice word, enum log_level *level)
{
    for (int i = LOG_LEVEL_EMERG; i <= LOG_LEVEL_DEBUG; i++) {
        if (slice_eq(word, slice_of(level_names[i]))) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    assert((size_t)level < COUNT(level_names));
    return level_names[level];
}
