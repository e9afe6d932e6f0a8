/* pelayan monit: the list and the selected app's last lines, once a second, on the whole screen.
 * Runs in: the process the user started. */
#include "base/list.h"
#include "base/slice.h"
#include "cli/app_args.h"
#include "cli/app_commands.h"
#include "cli/app_list.h"
#include "cli/app_shared.h"
#include "cli/home.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { EVERY_MS = 1000, TAIL_BYTES = 16384, ROWS = 24, COLUMNS = 80, INTERRUPT = 3, ESCAPE = 27 };

struct monit {
    struct winsize size;
    size_t selected;
    bool colour;
    unsigned row; /* the next one to be written */
};

/* One line, cut at the right edge. Sequences of ESC have no width, nor have the later bytes of a
 * character; other control bytes are not let through to the terminal. */
static void put_line(struct monit *monit, struct slice line, bool trusted)
{
    unsigned column = 0;
    bool escape = false;

    if (monit->row >= monit->size.ws_row)
        return;
    monit->row++;
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.data[i];

        escape = escape || (trusted && c == ESCAPE);
        if (!escape && (c < 0x20 || c == 0x7f))
            c = ' ';
        if (!escape && (c & 0xc0) != 0x80 && ++column > monit->size.ws_col)
            break;
        putchar(c);
        if (escape && c == 'm')
            escape = false;
    }
    fputs("\033[0m\033[K\r\n", stdout);
}

static void put_lines(struct monit *monit, struct slice text, bool trusted)
{
    struct slice line;

    while (slice_split(&text, '\n', &line) && text.data != NULL)
        put_line(monit, line, trusted);
}

/* As many of its last lines as there is room for. */
static void put_tail(struct monit *monit, const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unsigned room = monit->size.ws_row > monit->row + 1 ? monit->size.ws_row - monit->row - 1 : 0;
    char bytes[TAIL_BYTES];
    struct stat stat_;
    ssize_t got = 0;
    ssize_t from;

    if (fd < 0)
        return;
    if (fstat(fd, &stat_) == 0 && S_ISREG(stat_.st_mode))
        got = pread(fd, bytes, sizeof bytes,
                    stat_.st_size > TAIL_BYTES ? stat_.st_size - TAIL_BYTES : 0);
    close(fd);
    for (from = got; from > 0 && room > 0; from--) {
        if (from < got && bytes[from - 1] == '\n' && --room == 0)
            break;
    }
    if (got > 0)
        put_lines(monit, slice_make(bytes + from, (size_t)(got - from)), false);
}

static void put_table(struct monit *monit, json_t *list)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    struct list_look look = {
        .colour = monit->colour, .requests = true, .width = monit->size.ws_col};

    if (out == NULL)
        return;
    app_list_print(out, list, &look);
    if (fclose(out) == 0)
        put_lines(monit, slice_make(text, len), true);
    free(text);
}

static void draw(struct monit *monit, json_t *list)
{
    json_t *instance;
    json_t *env;
    char title[200];

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &monit->size) != 0 || monit->size.ws_row == 0 ||
        monit->size.ws_col == 0)
        monit->size = (struct winsize){.ws_row = ROWS, .ws_col = COLUMNS};
    if (monit->selected >= json_array_size(list))
        monit->selected = json_array_size(list) > 0 ? json_array_size(list) - 1 : 0;
    instance = json_array_get(list, monit->selected);
    env = json_object_get(instance, "pm2_env");
    monit->row = 1; /* the last row stays free: nothing scrolls */
    fputs("\033[H", stdout);
    put_table(monit, list);
    snprintf(title, sizeof title, "%s (%d)   up/down: another app   q: quit",
             instance == NULL ? "no apps" : json_string_value(json_object_get(instance, "name")),
             (int)json_integer_value(json_object_get(instance, "pm_id")));
    put_line(monit, slice_of(title), false);
    put_tail(monit, json_string_value(json_object_get(env, "pm_out_log_path")));
    fputs("\033[J", stdout);
    fflush(stdout);
}

/* False: it is to end. Arrows come as ESC [ A and ESC [ B. */
static bool take_keys(struct monit *monit)
{
    char keys[64];
    ssize_t got = read(STDIN_FILENO, keys, sizeof keys);

    for (ssize_t i = 0; i < got; i++) {
        bool arrow = i >= 2 && keys[i - 2] == ESCAPE && keys[i - 1] == '[';

        if (keys[i] == 'q' || keys[i] == INTERRUPT)
            return false;
        if ((arrow && keys[i] == 'A') || keys[i] == 'k')
            monit->selected -= monit->selected > 0;
        if ((arrow && keys[i] == 'B') || keys[i] == 'j')
            monit->selected++;
    }
    return got > 0;
}

static int watch(struct monit *monit)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

    for (;;) {
        json_t *list = NULL;
        int asked = home_ask("list", json_object(), HOME_IF_RUNNING, &list);

        if (asked == 2)
            list = json_array();
        else if (asked != 0)
            return 1;
        draw(monit, list);
        json_decref(list);
        if (poll(&input, 1, EVERY_MS) > 0 && !take_keys(monit))
            return 0;
    }
}

int app_monit(const struct run_options *options, int argc, char **argv)
{
    struct monit monit = {.selected = 0};
    struct termios before;
    struct termios raw;
    struct app_args args;
    int code = 1;

    (void)options;
    if (!app_args_parse(&args, argc, argv, ARGS_PLAIN)) {
        app_args_fini(&args);
        return 1;
    }
    monit.colour = app_colour(&args);
    app_args_fini(&args);
    if (isatty(STDOUT_FILENO) != 1 || tcgetattr(STDIN_FILENO, &before) != 0) {
        fputs("pelayan: monit needs a terminal; \"pelayan ls\" does not\n", stderr);
        return 1;
    }
    raw = before;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\033[?1049h\033[?25l", stdout); /* a screen of its own, without a cursor */
    code = watch(&monit);
    fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return code;
}
