/* Status codes: their phrases, and nginx's private ones.
 *
 * The phrases are nginx's where nginx has one ("Not Allowed", "Service Temporarily Unavailable"):
 * error pages show them and people's monitoring greps for them. Runs in: any process, any thread.
 */
#pragma once

#include "base/slice.h"

#include <stdbool.h>

/* Codes that are never sent as such, but chosen by error_page and written to the access log. */
enum status_private {
    STATUS_NO_RESPONSE = 444,       /* close the connection, say nothing */
    STATUS_HEADERS_TOO_LARGE = 494, /* sent as 400 */
    STATUS_CERT_ERROR = 495,        /* sent as 400 */
    STATUS_NO_CERT = 496,           /* sent as 400 */
    STATUS_HTTP_TO_HTTPS = 497,     /* sent as 400 */
    STATUS_CLIENT_CLOSED = 499,     /* only in logs */
};

/* The code that goes over the wire: 494 to 497 are sent as 400. */
unsigned status_on_wire(unsigned status);

/* The phrase of the status line, e.g. "Not Found"; empty for an unknown code. */
struct slice status_reason(unsigned status);

/* Title of the built-in error page, e.g. "404 Not Found" or "400 Request Header Or Cookie Too
 * Large"; empty for what has no page (below 300, unknown). */
struct slice status_title(unsigned status);

/* RFC 9110, 6.4.1: 1xx, 204 and 304 have no content, whatever their headers say. */
static inline bool status_has_no_body(unsigned status)
{
    return status < 200 || status == 204 || status == 304;
}
