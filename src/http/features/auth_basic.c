#include "http/features/auth_basic.h"

#include "base/arena.h"
#include "config/loader.h"
#include "event/offload.h"
#include "http/features/basic_auth.h"
#include "http/http_loop.h"
#include "http/response.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 64 << 20 };

struct auth_basic_conf {
    struct template *realm; /* NULL: off */
    struct template *user_file;
};

/* One check, in an offload thread: reading the file may block, and a good hash takes its time by
 * design. Heap, for it may outlive its exchange. */
struct check {
    struct job job;                       /* first */
    struct exchange *x;                   /* NULL: it is gone */
    struct basic_credentials credentials; /* in `text` */
    const char *path;
    enum password_result result;
    int error; /* errno of the file; 0: it was read */
    bool done;
    char text[]; /* path, user and password, each terminated */
};

struct auth_state {
    struct check *check;
};

static char *read_all(int fd, size_t bytes, size_t *got)
{
    char *text = malloc(bytes + 1);

    *got = 0;
    while (text != NULL && *got < bytes) {
        ssize_t n = read(fd, text + *got, bytes - *got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        *got += (size_t)n;
    }
    return text;
}

/* Offload thread. */
static void work(struct job *job)
{
    struct check *check = (struct check *)(void *)job;
    int fd = open(check->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    size_t bytes;
    char *text = NULL;

    if (fd < 0 || fstat(fd, &st) != 0)
        check->error = errno;
    else if (!S_ISREG(st.st_mode) || st.st_size > FILE_BYTES_MAX)
        check->error = EINVAL;
    else if ((text = read_all(fd, (size_t)st.st_size, &bytes)) == NULL)
        check->error = ENOMEM;
    else
        check->result = password_check(slice_make(text, bytes), &check->credentials);
    free(text);
    if (fd >= 0)
        close(fd);
}

static void check_free(struct check *check)
{
    if (check != NULL)
        explicit_bzero((void *)(uintptr_t)check->credentials.password.data,
                       check->credentials.password.len);
    free(check);
}

static void done(struct job *job)
{
    struct check *check = (struct check *)(void *)job;

    check->done = true;
    if (check->x == NULL)
        check_free(check);
    else
        exchange_resume(check->x);
}

/* The exchange ends: a check that still runs frees itself. */
static void on_exchange_drop(void *data)
{
    struct auth_state *state = data;

    if (state->check == NULL)
        return;
    state->check->x = NULL;
    if (state->check->done)
        check_free(state->check);
}

static char *put(char *at, struct slice text)
{
    if (text.len > 0)
        memcpy(at, text.data, text.len);
    at[text.len] = '\0';
    return at + text.len + 1;
}

static struct check *check_new(struct exchange *x, struct slice path,
                               const struct basic_credentials *credentials)
{
    size_t bytes = path.len + credentials->user.len + credentials->password.len + 3;
    struct check *check = calloc(1, sizeof *check + bytes);
    char *user;
    char *password;

    if (check == NULL)
        return NULL;
    user = put(check->text, path);
    password = put(user, credentials->user);
    put(password, credentials->password);
    check->path = check->text;
    check->credentials.user = slice_make(user, credentials->user.len);
    check->credentials.password = slice_make(password, credentials->password.len);
    check->job.work = work;
    check->job.done = done;
    check->x = x;
    return check;
}

static enum phase_verdict ask_again(struct exchange *x, struct slice realm)
{
    struct slice value = arena_printf(x->subject.arena, "Basic realm=\"%.*s\"", SLICE_ARG(realm));

    header_list_remove_id(&x->response.headers, HEADER_WWW_AUTHENTICATE);
    if (value.data == NULL ||
        header_list_add_id(&x->response.headers, HEADER_WWW_AUTHENTICATE, value) == NULL)
        return exchange_fail(x, 500);
    return exchange_deny(x, 401);
}

static enum phase_verdict judge(struct exchange *x, struct check *check, struct slice realm)
{
    struct slice user = check->credentials.user;

    if (check->error != 0) {
        log_about(&x->log, LOG_LEVEL_ERROR, check->error, "open() \"%s\" failed", check->path);
        return exchange_fail(x, check->error == ENOENT ? 403 : 500);
    }
    switch (check->result) {
    case PASSWORD_OK:
        return PHASE_ALLOW;
    case PASSWORD_WRONG:
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "user \"%.*s\": password mismatch", SLICE_ARG(user));
        return ask_again(x, realm);
    case PASSWORD_UNKNOWN_USER:
        log_about(&x->log, LOG_LEVEL_ERROR, 0, "user \"%.*s\" was not found in \"%s\"",
                  SLICE_ARG(user), check->path);
        return ask_again(x, realm);
    default:
        log_about(&x->log, LOG_LEVEL_ERROR, 0,
                  "user \"%.*s\": the password's form in \"%s\" is none we know", SLICE_ARG(user),
                  check->path);
        return ask_again(x, realm);
    }
}

static bool user_file(struct exchange *x, const struct auth_basic_conf *conf, struct slice *path)
{
    if (conf->user_file == NULL || !template_eval(conf->user_file, &x->subject, path))
        return false;
    return memchr(path->data, '\0', path->len) == NULL;
}

static enum phase_verdict begin(struct exchange *x, const struct auth_basic_conf *conf,
                                struct auth_state *state, struct slice realm)
{
    struct basic_credentials credentials;
    struct slice path;

    if (!exchange_credentials(x, &credentials)) {
        log_about(&x->log, LOG_LEVEL_INFO, 0,
                  "no user/password was provided for basic authentication");
        return ask_again(x, realm);
    }
    if (!user_file(x, conf, &path))
        return exchange_fail(x, 403);
    if (!arena_on_drop(x->subject.arena, on_exchange_drop, state))
        return exchange_fail(x, 500);
    state->check = check_new(x, path, &credentials);
    if (state->check == NULL)
        return exchange_fail(x, 500);
    if (!offload_submit(x->http->shared->offload, x->loop, &state->check->job)) {
        log_about(&x->log, LOG_LEVEL_ALERT, 0, "too many passwords wait to be checked");
        state->check->done = true;
        return exchange_fail(x, 503);
    }
    return PHASE_WAIT;
}

static enum phase_verdict run(struct exchange *x)
{
    const struct auth_basic_conf *conf = exchange_conf(x, auth_basic_feature);
    struct auth_state *state;
    struct slice realm;

    if (conf->realm == NULL)
        return PHASE_PASS;
    if (!template_eval(conf->realm, &x->subject, &realm))
        return exchange_fail(x, 500);
    if (slice_eq(realm, slice_of("off")))
        return PHASE_PASS;
    state = exchange_slot(x, &auth_basic_feature, sizeof *state);
    if (state == NULL)
        return exchange_fail(x, 500);
    if (state->check == NULL)
        return begin(x, conf, state, realm);
    if (!state->check->done)
        return PHASE_WAIT;
    enum phase_verdict verdict = judge(x, state->check, realm);

    check_free(state->check); /* an internal redirect may ask again, with another file */
    state->check = NULL;
    return verdict;
}

/* The user name in the client's header, as it says it is. */
bool exchange_credentials(struct exchange *x, struct basic_credentials *credentials)
{
    struct slice value = exchange_header(x, HEADER_AUTHORIZATION);
    char *out;

    if (value.len == 0)
        return false;
    out = arena_bytes(x->subject.arena, value.len + 1);
    return out != NULL && parse_basic_auth(value, out, credentials);
}

/* A realm stands between quotation marks in a header. */
static bool check_realm(struct conf_call *call)
{
    if (slice_find(conf_arg(call, 1), '"') >= 0 || slice_find(conf_arg(call, 1), '\n') >= 0)
        return conf_error(call, 1, "a realm cannot have quotation marks or line ends");
    return true;
}

static bool set_user_file(struct conf_call *call)
{
    struct auth_basic_conf *conf = call->conf;
    struct slice path = conf_arg(call, 1);
    const char *error;

    if (slice_find(path, '$') != 0)
        path = loader_conf_path(call->loader, path);
    if (path.data == NULL)
        return conf_error(call, 0, "no memory");
    conf->user_file = template_compile(call->loader->variables, call->loader->arena, path, &error);
    return conf->user_file != NULL || conf_error(call, 1, "%s", error);
}

static const struct directive directives[] = {
    {.name = "auth_basic",
     .contexts = CTX_HTTP_ALL | CTX_LIMIT_EXCEPT,
     .field = TEMPLATE(struct auth_basic_conf, realm),
     .def = "off",
     .check = check_realm,
     .doc = "Asks for a user and a password, with this realm; off: does not.",
     .example = "auth_basic \"the back office\";"},
    {.name = "auth_basic_user_file",
     .contexts = CTX_HTTP_ALL | CTX_LIMIT_EXCEPT,
     .field = CUSTOM,
     .args_min = 1,
     .args_max = 1,
     .set = set_user_file,
     .doc =
         "The file with users and passwords, in htpasswd's form: crypt(3) ($1$, $5$, $6$, $2y$), "
         "$apr1$, {SHA}, {SSHA} or {PLAIN}. Relative paths start at the config's folder.",
     .example = "auth_basic_user_file htpasswd;"},
};

struct feature auth_basic_feature = {
    .conf = {.name = "http_auth_basic",
             .conf_bytes = sizeof(struct auth_basic_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .idle_without = &auth_basic_feature,
    .phase = STEP_ACCESS,
    .run = run,
};
