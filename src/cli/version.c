/* -v and -V: the first line is for tools that know nginx, the second one is ours. Runs in: the
 * process the user started. */
#include "cli/version.h"

#include "config/directive.h"
#include "daemon/load.h"

#include <openssl/crypto.h>
#include <string.h>

void version_print(FILE *out)
{
    fputs("nginx version: nginx/1.31.5\npelayan version: pelayan/" PELAYAN_VERSION "\n", out);
}

/* nginx's names of what can be left out of its build; each is here if its feature is. */
static const struct {
    const char *feature;
    const char *argument;
} modules[] = {
    {"http_auth_request", "--with-http_auth_request_module"},
    {"http_addition", "--with-http_addition_module"},
    {"http_dav", "--with-http_dav_module"},
    {"http_flv", "--with-http_flv_module"},
    {"http_gunzip", "--with-http_gunzip_module"},
    {"http_gzip_static", "--with-http_gzip_static_module"},
    {"http_mp4", "--with-http_mp4_module"},
    {"http_random_index", "--with-http_random_index_module"},
    {"http_realip", "--with-http_realip_module"},
    {"http_secure_link", "--with-http_secure_link_module"},
    {"http_slice", "--with-http_slice_module"},
    {"http_ssl", "--with-http_ssl_module"},
    {"http_stub_status", "--with-http_stub_status_module"},
    {"http_sub", "--with-http_sub_module"},
    {"http_v2", "--with-http_v2_module"},
    {"http_v3", "--with-http_v3_module"},
    {"stream_core", "--with-stream"},
};

static bool is_here(const char *name)
{
    size_t count;
    const struct conf_feature *const *features = load_features(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(features[i]->name, name) == 0)
            return true;
    }
    return false;
}

void version_print_configure(FILE *out)
{
    version_print(out);
    /* clang's says who it is, gcc's is a bare number */
    fprintf(out, "built by %s%s\n", strstr(__VERSION__, "lang") == NULL ? "gcc " : "", __VERSION__);
    fprintf(out, "built with %s\n", OpenSSL_version(OPENSSL_VERSION));
    fputs("configure arguments: --prefix=" PELAYAN_PREFIX " --conf-path=" PELAYAN_CONF
          " --with-compat --with-threads --with-file-aio",
          out);
    for (size_t i = 0; i < COUNT(modules); i++) {
        if (is_here(modules[i].feature))
            fprintf(out, " %s", modules[i].argument);
    }
    putc('\n', out);
}
