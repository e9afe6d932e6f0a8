/* What a client's first message says. Runs in: any. */
#include "tls/hello.h"

#include <stdbool.h>

enum { TYPE_HOST_NAME = 0, HEAD_BYTES = 5 };

static size_t u16_at(struct slice s, size_t at)
{
    return (size_t)(unsigned char)s.data[at] << 8 | (unsigned char)s.data[at + 1];
}

/* Letters of host names, and what is found in private networks; bytes beyond ASCII, as servers may
 * be named in UTF-8. No dot may follow another one. */
static bool is_host_byte(unsigned char c)
{
    return c > ' ' && c != '/' && c != '\\' && c != '"' && c != '\'' && c != '$' && c != 127;
}

static struct slice take_host(struct slice host, char *out)
{
    static const struct slice none = SLICE("");
    size_t len = host.len;

    if (len > 0 && host.data[len - 1] == '.')
        len--;
    if (len == 0 || len > TLS_NAME_BYTES_MAX)
        return none;
    for (size_t i = 0; i < len; i++) {
        bool dots = host.data[i] == '.' && (i == 0 || host.data[i - 1] == '.');

        if (!is_host_byte((unsigned char)host.data[i]) || dots)
            return none;
        out[i] = ascii_lower(host.data[i]);
    }
    out[len] = '\0';
    return slice_make(out, len);
}

/* u16 length of the list, then a type, a u16 length and the name. Nobody sends more than one. */
struct slice parse_server_name(struct slice extension, char out[TLS_NAME_BYTES_MAX + 1])
{
    if (extension.len < HEAD_BYTES || u16_at(extension, 0) != extension.len - 2 ||
        extension.data[2] != TYPE_HOST_NAME || u16_at(extension, 3) > extension.len - HEAD_BYTES)
        return slice_make("", 0);
    return take_host(slice_make(extension.data + HEAD_BYTES, u16_at(extension, 3)), out);
}
