/* Status codes and their phrases. Runs in: any process, any thread. */
#include "http/status.h"

#include <assert.h>

enum {
    STATUS_MIN = 100,
    STATUS_MAX = 511,
};

/* R(code, phrase). The title of a page is the code that is sent, a blank, and the phrase. */
#define STATUSES(R)                                                                                \
    R(100, "Continue")                                                                             \
    R(101, "Switching Protocols")                                                                  \
    R(102, "Processing")                                                                           \
    R(103, "Early Hints")                                                                          \
    R(200, "OK")                                                                                   \
    R(201, "Created")                                                                              \
    R(202, "Accepted")                                                                             \
    R(203, "Non-Authoritative Information")                                                        \
    R(204, "No Content")                                                                           \
    R(205, "Reset Content")                                                                        \
    R(206, "Partial Content")                                                                      \
    R(207, "Multi-Status")                                                                         \
    R(208, "Already Reported")                                                                     \
    R(226, "IM Used")                                                                              \
    R(300, "Multiple Choices")                                                                     \
    R(301, "Moved Permanently")                                                                    \
    R(302, "Moved Temporarily")                                                                    \
    R(303, "See Other")                                                                            \
    R(304, "Not Modified")                                                                         \
    R(305, "Use Proxy")                                                                            \
    R(307, "Temporary Redirect")                                                                   \
    R(308, "Permanent Redirect")                                                                   \
    R(400, "Bad Request")                                                                          \
    R(401, "Unauthorized")                                                                         \
    R(402, "Payment Required")                                                                     \
    R(403, "Forbidden")                                                                            \
    R(404, "Not Found")                                                                            \
    R(405, "Not Allowed")                                                                          \
    R(406, "Not Acceptable")                                                                       \
    R(407, "Proxy Authentication Required")                                                        \
    R(408, "Request Time-out")                                                                     \
    R(409, "Conflict")                                                                             \
    R(410, "Gone")                                                                                 \
    R(411, "Length Required")                                                                      \
    R(412, "Precondition Failed")                                                                  \
    R(413, "Request Entity Too Large")                                                             \
    R(414, "Request-URI Too Large")                                                                \
    R(415, "Unsupported Media Type")                                                               \
    R(416, "Requested Range Not Satisfiable")                                                      \
    R(417, "Expectation Failed")                                                                   \
    R(418, "I'm a teapot")                                                                         \
    R(421, "Misdirected Request")                                                                  \
    R(422, "Unprocessable Content")                                                                \
    R(423, "Locked")                                                                               \
    R(424, "Failed Dependency")                                                                    \
    R(425, "Too Early")                                                                            \
    R(426, "Upgrade Required")                                                                     \
    R(428, "Precondition Required")                                                                \
    R(429, "Too Many Requests")                                                                    \
    R(431, "Request Header Fields Too Large")                                                      \
    R(451, "Unavailable For Legal Reasons")                                                        \
    R(494, "Request Header Or Cookie Too Large")                                                   \
    R(495, "The SSL certificate error")                                                            \
    R(496, "No required SSL certificate was sent")                                                 \
    R(497, "The plain HTTP request was sent to HTTPS port")                                        \
    R(500, "Internal Server Error")                                                                \
    R(501, "Not Implemented")                                                                      \
    R(502, "Bad Gateway")                                                                          \
    R(503, "Service Temporarily Unavailable")                                                      \
    R(504, "Gateway Time-out")                                                                     \
    R(505, "HTTP Version Not Supported")                                                           \
    R(506, "Variant Also Negotiates")                                                              \
    R(507, "Insufficient Storage")                                                                 \
    R(508, "Loop Detected")                                                                        \
    R(510, "Not Extended")                                                                         \
    R(511, "Network Authentication Required")

enum { TITLE_SKIP = 4 }; /* "404 " */

static const struct slice titles[STATUS_MAX + 1 - STATUS_MIN] = {
#define STATUS_TITLE(code, phrase)                                                                 \
    [code - STATUS_MIN] = {.data = code >= 494 && code <= 497 ? "400 " phrase : #code " " phrase,  \
                           .len = sizeof(phrase) - 1 + TITLE_SKIP},
    STATUSES(STATUS_TITLE)
#undef STATUS_TITLE
};

static struct slice title_of(unsigned status)
{
    if (status < STATUS_MIN || status > STATUS_MAX)
        return slice_make("", 0);
    return titles[status - STATUS_MIN];
}

unsigned status_on_wire(unsigned status)
{
    return status >= STATUS_HEADERS_TOO_LARGE && status <= STATUS_HTTP_TO_HTTPS ? 400 : status;
}

struct slice status_reason(unsigned status)
{
    return slice_skip(title_of(status_on_wire(status)), TITLE_SKIP);
}

struct slice status_title(unsigned status)
{
    /* Two pages of nginx say something else than their status line does. */
    static const struct slice found = SLICE("302 Found");
    static const struct slice unauthorized = SLICE("401 Authorization Required");

    if (status == 302)
        return found;
    if (status == 401)
        return unauthorized;
    return status < 300 ? slice_make("", 0) : title_of(status);
}
