/* Ecosystem files. Runs in: cli. */
#include "apps/ecosystem.h"

#include "base/diag.h"
#include "base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RESULT_FD = 3, RESULT_BYTES_MAX = 16 << 20 };

/* What node runs: prints to a descriptor of its own, for the file may print too. Functions that
 * make the configuration are called; patterns become their text. */
static const char evaluate[] =
    "const {pathToFileURL}=require('url');const fs=require('fs');"
    "const p=require('path').resolve(process.argv[1]);(async()=>{let m;"
    "if(/\\.json5?$/.test(p))m=(0,eval)('('+fs.readFileSync(p,'utf8')+')');"
    "else if(p.endsWith('.mjs'))m=await import(pathToFileURL(p));"
    "else try{m=require(p)}catch(e){if(e.code!=='ERR_REQUIRE_ESM')throw e;"
    "m=await import(pathToFileURL(p))}"
    "if(m&&m.default)m=m.default;if(typeof m==='function')m=await m();"
    "fs.writeSync(3,JSON.stringify(m,(k,v)=>v instanceof RegExp?v.source:v)||'null');"
    "process.exit(0)})().catch(e=>{console.error(e&&e.stack||e);process.exit(1)})";

static bool ends(const char *path, const char *suffix)
{
    size_t len = strlen(path);
    size_t suffix_len = strlen(suffix);

    return len >= suffix_len && strcmp(path + len - suffix_len, suffix) == 0;
}

bool ecosystem_is_file(const char *path)
{
    static const char *const suffixes[] = {".json",      ".json5",      ".yaml",      ".yml",
                                           ".config.js", ".config.cjs", ".config.mjs"};

    for (size_t i = 0; i < COUNT(suffixes); i++) {
        if (ends(path, suffixes[i]))
            return true;
    }
    return strcmp(path, "-") == 0;
}

static pid_t run_node(const char *path, int result_fd)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    /* dup2 onto itself would keep the close-on-exec flag */
    if (result_fd == RESULT_FD ? fcntl(RESULT_FD, F_SETFD, 0) == 0
                               : dup2(result_fd, RESULT_FD) == RESULT_FD)
        execlp("node", "node", "-e", evaluate, path, (char *)NULL);
    _exit(127);
}

static char *read_all(int fd, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    char bytes[16384];
    ssize_t got;
    size_t total = 0;

    while (out != NULL && total < RESULT_BYTES_MAX && (got = read(fd, bytes, sizeof bytes)) > 0) {
        fwrite(bytes, 1, (size_t)got, out);
        total += (size_t)got;
    }
    if (out != NULL)
        fclose(out);
    return text;
}

static json_t *parse(const char *path, const char *text, size_t len, struct diag *diag)
{
    json_error_t error;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

    if (value == NULL)
        diag_add(diag, DIAG_ERROR, NULL, "%s:%d:%d: %s", path, error.line, error.column,
                 error.text);
    return value;
}

static json_t *load_script(const char *path, struct diag *diag)
{
    json_t *value = NULL;
    char *text;
    size_t len = 0;
    int pair[2];
    int status = -1;
    pid_t pid;

    if (pipe2(pair, O_CLOEXEC) != 0) {
        diag_errno(diag, "evaluate", path);
        return NULL;
    }
    pid = run_node(path, pair[1]);
    close(pair[1]);
    text = read_all(pair[0], &len);
    close(pair[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (status == 0 && text != NULL)
        value = parse(path, text, len, diag);
    else
        diag_add(diag, DIAG_ERROR, NULL,
                 WIFEXITED(status) && WEXITSTATUS(status) == 127
                     ? "\"%s\" is JavaScript, and there is no node in PATH to evaluate it"
                     : "node could not evaluate \"%s\"",
                 path);
    free(text);
    return value;
}

static json_t *load_json(const char *path, struct diag *diag)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    json_t *value = NULL;
    size_t len = 0;
    char *text;

    if (fd < 0) {
        diag_errno(diag, "read", path);
        return NULL;
    }
    text = read_all(fd, &len);
    if (fd != STDIN_FILENO)
        close(fd);
    if (text != NULL)
        value = parse(path, text, len, diag);
    free(text);
    return value;
}

/* A bare list, one app, {"apps": app}, {"pm2": [...]}: all become {"apps": [...]}. */
static json_t *normalised(json_t *value, const char *path, struct diag *diag)
{
    json_t *apps = json_object_get(value, "apps");
    json_t *result = NULL;

    if (apps == NULL)
        apps = json_object_get(value, "pm2");
    if (apps == NULL && (json_is_array(value) || json_object_get(value, "script") != NULL))
        apps = value;
    if (json_is_object(apps))
        result = json_pack("{s:[O]}", "apps", apps);
    else if (json_is_array(apps))
        result = json_pack("{s:O}", "apps", apps);
    else if (json_object_get(value, "deploy") != NULL)
        result = json_pack("{s:[]}", "apps");
    else
        diag_add(diag, DIAG_ERROR, NULL, "\"%s\" has no \"apps\"", path);
    if (result != NULL && json_is_object(value) && json_object_get(value, "deploy") != NULL)
        json_object_set(result, "deploy", json_object_get(value, "deploy"));
    json_decref(value);
    return result;
}

json_t *ecosystem_load(const char *path, struct diag *diag)
{
    json_t *value;

    if (strcmp(path, "-") != 0 && access(path, R_OK) != 0) {
        diag_errno(diag, "read", path);
        return NULL;
    }
    if (ends(path, ".yaml") || ends(path, ".yml"))
        value = yaml_load(path, diag);
    else if (ends(path, ".json") || strcmp(path, "-") == 0)
        value = load_json(path, diag);
    else
        value = load_script(path, diag);
    return value == NULL ? NULL : normalised(value, path, diag);
}
