/* secure_link: links that only we can make, and that may expire.
 * Runs in: load: any; evaluation: worker, loop thread. */
#include "base/arena.h"
#include "config/directive.h"
#include "event/loop.h"
#include "http/feature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

enum { MD5_BYTES = 16, MD5_HEX = 32, MD5_BASE64_MAX = 24 };

struct secure_link_conf {
    struct template *link;   /* "$arg_md5,$arg_expires" */
    struct template *source; /* what the MD5 is of */
    struct slice secret;
};

/* The URL-safe alphabet (RFC 4648, 5) and the plain one; -1: neither. */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-' || c == '+')
        return 62;
    return c == '_' || c == '/' ? 63 : -1;
}

static bool decode_md5(struct slice text, unsigned char out[MD5_BYTES])
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0;

    if (text.len > MD5_BASE64_MAX)
        return false;
    while (text.len > 0 && text.data[text.len - 1] == '=')
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.data[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held < 8)
            continue;
        held -= 8;
        if (count == MD5_BYTES)
            return false;
        out[count++] = (unsigned char)(bits >> held);
    }
    return count == MD5_BYTES;
}

static bool md5_of(struct slice a, struct slice b, unsigned char out[MD5_BYTES])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1 &&
                EVP_DigestUpdate(md, a.data, a.len) == 1 &&
                EVP_DigestUpdate(md, b.data, b.len) == 1 && EVP_DigestFinal_ex(md, out, NULL) == 1;

    EVP_MD_CTX_free(md);
    return done;
}

extern struct feature secure_link_feature;

/* "/prefix/hash/link" of the old form: the link, if the hash is that of link and secret. */
static bool get_by_secret(struct exchange *x, struct slice secret, struct slice *text)
{
    static const char digits[] = "0123456789abcdef";
    struct slice rest = slice_skip(x->request.target, 1);
    struct slice part;
    struct slice hash;
    unsigned char md5[MD5_BYTES];
    char hex[MD5_HEX];

    if (!slice_split(&rest, '/', &part) || !slice_split(&rest, '/', &hash) || rest.len == 0 ||
        hash.len != MD5_HEX || !md5_of(rest, secret, md5))
        return false;
    for (size_t i = 0; i < MD5_BYTES; i++) {
        hex[2 * i] = digits[md5[i] >> 4];
        hex[2 * i + 1] = digits[md5[i] & 15];
    }
    *text = rest;
    return CRYPTO_memcmp(hex, hash.data, MD5_HEX) == 0;
}

/* Cuts "hash,expires". `expires` 0: never. False: malformed. */
static bool split_link(struct slice link, struct slice *hash, uint64_t *expires)
{
    *expires = 0;
    if (!slice_split(&link, ',', hash))
        return false;
    return link.data == NULL || (slice_to_u64(link, expires) && *expires > 0);
}

static bool get_link(struct subject *subject, const struct variable *v, struct slice *text)
{
    struct exchange *x = exchange_of(subject);
    const struct secure_link_conf *conf = exchange_conf(x, secure_link_feature);
    struct slice link;
    struct slice source;
    struct slice hash;
    unsigned char given[MD5_BYTES];
    unsigned char wanted[MD5_BYTES];
    uint64_t expires;

    (void)v;
    if (conf->secret.len > 0)
        return get_by_secret(x, conf->secret, text);
    if (conf->link == NULL || conf->source == NULL || !template_eval(conf->link, subject, &link) ||
        !template_eval(conf->source, subject, &source) || !split_link(link, &hash, &expires))
        return false;
    if (!decode_md5(hash, given) || !md5_of(source, slice_make("", 0), wanted) ||
        CRYPTO_memcmp(given, wanted, MD5_BYTES) != 0)
        return false;
    *text = slice_of(expires > 0 && expires < loop_clock(x->loop)->wall_ms / 1000 ? "0" : "1");
    return true;
}

static bool get_expires(struct subject *subject, const struct variable *v, struct slice *text)
{
    const struct secure_link_conf *conf = exchange_conf(exchange_of(subject), secure_link_feature);
    struct slice link;
    struct slice hash;

    (void)v;
    if (conf->link == NULL || !template_eval(conf->link, subject, &link) ||
        !slice_split(&link, ',', &hash) || link.data == NULL)
        return false;
    *text = link;
    return true;
}

static const struct variable variables[] = {
    {.name = SLICE("secure_link"), .get = get_link, .flags = VARIABLE_VOLATILE},
    {.name = SLICE("secure_link_expires"), .get = get_expires, .flags = VARIABLE_VOLATILE},
};

static const struct directive directives[] = {
    {.name = "secure_link",
     .contexts = CTX_HTTP_ALL,
     .field = TEMPLATE(struct secure_link_conf, link),
     .doc = "What the request shows: base64url of an MD5, and perhaps a comma and the second it "
            "expires. $secure_link is 1 if it is right, 0 if it is too late, else empty.",
     .example = "secure_link $arg_md5,$arg_expires;"},
    {.name = "secure_link_md5",
     .contexts = CTX_HTTP_ALL,
     .field = TEMPLATE(struct secure_link_conf, source),
     .doc = "The text whose MD5 the request must show; it should have a secret in it.",
     .example = "secure_link_md5 \"$secure_link_expires$uri$remote_addr secret\";"},
    {.name = "secure_link_secret",
     .contexts = CTX_LOCATION,
     .field = TEXT(struct secure_link_conf, secret),
     .doc = "For links /prefix/hash/link, where hash is the MD5 of the link and this word in hex: "
            "$secure_link is the link.",
     .example = "secure_link_secret word;"},
};

struct feature secure_link_feature = {
    .conf = {.name = "http_secure_link",
             .conf_bytes = sizeof(struct secure_link_conf),
             .directives = directives,
             .directive_count = COUNT(directives)},
    .variables = variables,
    .variable_count = COUNT(variables),
};
