/* What an Authorization header of the Basic scheme holds (RFC 7617), and how passwords are kept in
 * a password file. Pure parts of auth_basic. Runs in: any; one thread per value. */
#pragma once

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct exchange;

struct basic_credentials {
    struct slice user;
    struct slice password;
};

/* Decodes "Basic base64(user:password)". `out` has room for value.len bytes; the credentials point
 * into it. False: another scheme, not base64, or no colon. */
bool parse_basic_auth(struct slice value, char *out, struct basic_credentials *credentials);

/* The client's credentials, decoded in the exchange's arena. False: none were sent. */
bool exchange_credentials(struct exchange *x, struct basic_credentials *credentials);

enum password_result {
    PASSWORD_OK,
    PASSWORD_WRONG,
    PASSWORD_UNKNOWN_USER,
    PASSWORD_BROKEN, /* the stored form is none we know, or libcrypt failed */
};

/* Looks `user` up in the text of a password file ("user:stored[:comment]" lines, '#' comments) and
 * checks the password against the stored form: {PLAIN}, {SHA}, {SSHA}, $apr1$, or crypt(3). May
 * take milliseconds: not for a loop's thread. The password must be followed by a NUL byte. */
enum password_result password_check(struct slice file, const struct basic_credentials *credentials);
