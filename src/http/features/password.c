/* Password files of auth_basic. Runs in: an offload thread (crypt(3) may take its time). */
#include "http/features/basic_auth.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

enum {
    LINE_BYTES_MAX = 1024,
    APR1_ROUNDS = 1000,
    APR1_SALT_MAX = 8,
    MD5_BYTES = 16,
    SHA1_BYTES = 20
};

static bool same_secret(struct slice a, struct slice b)
{
    return a.len == b.len && CRYPTO_memcmp(a.data, b.data, a.len) == 0;
}

static enum password_result verdict(bool same)
{
    return same ? PASSWORD_OK : PASSWORD_WRONG;
}

/* {SHA} and {SSHA}: base64 of SHA-1(password, salt) and the salt. */
static enum password_result check_sha(struct slice stored, struct slice password, bool salted)
{
    unsigned char decoded[LINE_BYTES_MAX];
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t padding = 0;
    EVP_MD_CTX *md;
    bool done;

    if (stored.len == 0 || stored.len % 4 != 0 || stored.len > sizeof decoded)
        return PASSWORD_BROKEN;
    while (padding < 2 && stored.data[stored.len - 1 - padding] == '=')
        padding++;
    int bytes = EVP_DecodeBlock(decoded, (const unsigned char *)stored.data, (int)stored.len);

    if (bytes < (int)(SHA1_BYTES + padding))
        return PASSWORD_BROKEN;
    size_t salt_bytes = salted ? (size_t)bytes - padding - SHA1_BYTES : 0;

    md = EVP_MD_CTX_new();
    done = md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 &&
           EVP_DigestUpdate(md, password.data, password.len) == 1 &&
           EVP_DigestUpdate(md, decoded + SHA1_BYTES, salt_bytes) == 1 &&
           EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return done ? verdict(CRYPTO_memcmp(digest, decoded, SHA1_BYTES) == 0) : PASSWORD_BROKEN;
}

/* One digest over up to eight pieces. */
static bool md5(unsigned char out[MD5_BYTES], const struct slice *pieces, size_t count)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1;

    for (size_t i = 0; done && i < count; i++)
        done = EVP_DigestUpdate(md, pieces[i].data, pieces[i].len) == 1;
    done = done && EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return done;
}

/* The first digest of Apache's MD5 scheme: password, "$apr1$", salt, then bytes of the second
 * digest for every byte of the password, then for every bit of its length a NUL or its first byte.
 */
static bool apr1_first(unsigned char out[MD5_BYTES], struct slice password, struct slice salt,
                       const unsigned char inner[MD5_BYTES])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = md != NULL && EVP_DigestInit_ex(md, EVP_md5(), NULL) == 1 &&
                EVP_DigestUpdate(md, password.data, password.len) == 1 &&
                EVP_DigestUpdate(md, "$apr1$", 6) == 1 &&
                EVP_DigestUpdate(md, salt.data, salt.len) == 1;

    for (size_t left = password.len; done && left > 0;) {
        size_t n = left < MD5_BYTES ? left : MD5_BYTES;

        done = EVP_DigestUpdate(md, inner, n) == 1;
        left -= n;
    }
    for (size_t bits = password.len; done && bits > 0; bits >>= 1)
        done = EVP_DigestUpdate(md, bits & 1 ? "" : password.data, 1) == 1;
    done = done && EVP_DigestFinal_ex(md, out, NULL) == 1;
    EVP_MD_CTX_free(md);
    return done;
}

static bool apr1_rounds(unsigned char digest[MD5_BYTES], struct slice password, struct slice salt)
{
    for (unsigned round = 0; round < APR1_ROUNDS; round++) {
        struct slice last = slice_make((const char *)digest, MD5_BYTES);
        struct slice none = slice_make("", 0);
        const struct slice pieces[] = {
            round & 1 ? password : last,
            round % 3 != 0 ? salt : none,
            round % 7 != 0 ? password : none,
            round & 1 ? last : password,
        };

        if (!md5(digest, pieces, 4))
            return false;
    }
    return true;
}

static char *base64_crypt(char *out, uint32_t value, unsigned digits)
{
    static const char alphabet[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (; digits > 0; digits--, value >>= 6)
        *out++ = alphabet[value & 63];
    return out;
}

static enum password_result check_apr1(struct slice stored, struct slice password)
{
    struct slice rest = slice_skip(stored, strlen("$apr1$"));
    struct slice salt;
    unsigned char inner[MD5_BYTES];
    unsigned char d[MD5_BYTES];
    char text[22];
    char *at = text;

    if (!slice_split(&rest, '$', &salt) || rest.data == NULL)
        return PASSWORD_BROKEN;
    salt = slice_head(salt, APR1_SALT_MAX);
    const struct slice pieces[] = {password, salt, password};

    if (!md5(inner, pieces, 3) || !apr1_first(d, password, salt, inner) ||
        !apr1_rounds(d, password, salt))
        return PASSWORD_BROKEN;
    for (unsigned i = 0; i < 5; i++) {
        unsigned last = i == 4 ? 5 : 12 + i;

        at = base64_crypt(at, (uint32_t)d[i] << 16 | (uint32_t)d[6 + i] << 8 | d[last], 4);
    }
    base64_crypt(at, d[11], 2);
    return verdict(same_secret(rest, slice_make(text, sizeof text)));
}

/* `stored` is copied: crypt(3) wants a terminated setting. */
static enum password_result check_crypt(struct slice stored, struct slice password)
{
    struct crypt_data data = {0};
    char setting[LINE_BYTES_MAX];
    const char *made;

    if (stored.len == 0 || stored.len >= sizeof setting)
        return PASSWORD_BROKEN;
    memcpy(setting, stored.data, stored.len);
    setting[stored.len] = '\0';
    made = crypt_r(password.data, setting, &data);
    if (made == NULL || made[0] == '*')
        return PASSWORD_BROKEN;
    return verdict(same_secret(slice_of(made), stored));
}

static enum password_result check_stored(struct slice stored, struct slice password)
{
    static const struct slice plain = SLICE("{PLAIN}");
    static const struct slice sha = SLICE("{SHA}");
    static const struct slice ssha = SLICE("{SSHA}");
    static const struct slice apr1 = SLICE("$apr1$");

    if (slice_starts(stored, apr1))
        return check_apr1(stored, password);
    if (slice_starts(stored, plain))
        return verdict(same_secret(slice_skip(stored, plain.len), password));
    if (slice_starts(stored, sha))
        return check_sha(slice_skip(stored, sha.len), password, false);
    if (slice_starts(stored, ssha))
        return check_sha(slice_skip(stored, ssha.len), password, true);
    return check_crypt(stored, password);
}

enum password_result password_check(struct slice file, const struct basic_credentials *credentials)
{
    struct slice line;

    while (slice_split(&file, '\n', &line)) {
        struct slice name;
        struct slice stored;

        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0 || line.len >= LINE_BYTES_MAX || line.data[0] == '#')
            continue;
        if (!slice_split(&line, ':', &name) || !slice_eq(name, credentials->user))
            continue;
        if (slice_split(&line, ':', &stored))
            return check_stored(stored, credentials->password);
    }
    return PASSWORD_UNKNOWN_USER;
}
