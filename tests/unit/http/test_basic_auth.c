/* Goal: Basic credentials are decoded strictly, and every stored form of a password that nginx and
 * htpasswd know is checked right.
 * Method: forms made with openssl-passwd(1) and sha1sum(1). */
#include "tests/unit/check.h"

#include "base/list.h"
#include "http/features/basic_auth.h"

static const char file[] =
    "# people\n"
    "plain:{PLAIN}secret:a comment\n"
    "sha:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\r\n"
    "ssha:{SSHA}8bX4JQDfZqtTfvnQ4ssDmWb17/FTQUxU\n"
    "apr1:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n"
    "long:$apr1$xy$IAoav9jLpxZmHK9X26CJR1\n"
    "one:$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1\n"
    "five:$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.\n"
    "broken:{SSHA}xx\n"
    "odd:!\n"
    "nobody\n"
    "six:$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPr"
    "VACtLtip/cZ/1GM/O6IND4WQhG.";

static const struct {
    const char *user;
    const char *password;
    enum password_result want;
} logins[] = {
    {"plain", "secret", PASSWORD_OK},
    {"plain", "secret:a comment", PASSWORD_WRONG},
    {"sha", "secret", PASSWORD_OK},
    {"sha", "Secret", PASSWORD_WRONG},
    {"ssha", "secret", PASSWORD_OK},
    {"ssha", "", PASSWORD_WRONG},
    {"apr1", "secret", PASSWORD_OK},
    {"apr1", "secre", PASSWORD_WRONG},
    {"long", "a much longer password than sixteen", PASSWORD_OK},
    {"one", "secret", PASSWORD_OK},
    {"five", "secret", PASSWORD_OK},
    {"six", "secret", PASSWORD_OK},
    {"six", "secreT", PASSWORD_WRONG},
    {"broken", "secret", PASSWORD_BROKEN},
    {"odd", "secret", PASSWORD_BROKEN},
    {"nobody", "", PASSWORD_UNKNOWN_USER},
    {"", "", PASSWORD_UNKNOWN_USER},
    {"# people", "", PASSWORD_UNKNOWN_USER},
};

TEST(password_forms)
{
    for (size_t i = 0; i < COUNT(logins); i++) {
        struct basic_credentials credentials = {slice_of(logins[i].user),
                                                slice_of(logins[i].password)};

        CHECK_EQ(password_check(slice_of(file), &credentials), logins[i].want, "%s %s",
                 logins[i].user, logins[i].password);
    }
}

static const struct {
    const char *value;
    const char *user; /* NULL: refused */
    const char *password;
} headers[] = {
    {"Basic dXNlcjpwYXNz", "user", "pass"},
    {"basic  dXNlcjpwYXNz ", "user", "pass"},
    {"Basic dTo=", "u", ""},
    {"Basic dTo", "u", ""},
    {"Basic OnA=", "", "p"},
    {"Basic dTphOmI=", "u", "a:b"},
    {"Basic dXNlcg==", NULL, NULL},
    {"Basic ", NULL, NULL},
    {"Basic =", NULL, NULL},
    {"Basic dTo!", NULL, NULL},
    {"Bearer dXNlcjpwYXNz", NULL, NULL},
    {"Basic dQA6", NULL, NULL},
    {"Basic A", NULL, NULL},
    {"", NULL, NULL},
};

TEST(basic_headers)
{
    char out[64];

    for (size_t i = 0; i < COUNT(headers); i++) {
        struct basic_credentials got;
        bool parsed = parse_basic_auth(slice_of(headers[i].value), out, &got);

        CHECK_EQ(parsed, headers[i].user != NULL, headers[i].value);
        if (!parsed)
            continue;
        CHECK_SLICE(got.user, headers[i].user, headers[i].value);
        CHECK_SLICE(got.password, headers[i].password, headers[i].value);
    }
}
