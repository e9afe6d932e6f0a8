/* `empty_gif`: the smallest picture, one transparent pixel. Runs in: load: any; worker, loop
 * thread.
 */
#include "base/list.h"
#include "http/conf.h"
#include "http/feature.h"
#include "http/response.h"

extern struct feature empty_gif_feature;

/* GIF89a, 1 by 1, two colours, the first of them transparent, LZW data for one pixel. */
static const unsigned char gif[] = {
    'G',  'I',  'F',  '8', '9', 'a', 1, 0, 1, 0, 0x80, 0, 0, /* screen, table of two colours */
    0xff, 0xff, 0xff, 0,   0,   0,                           /* white, black */
    0x21, 0xf9, 4,    1,   0,   0,   0, 0,                   /* colour 0 is transparent */
    0x2c, 0,    0,    0,   0,   1,   0, 1, 0, 0, 2,    2, 0x44, 1, 0, 0x3b, /* the pixel, the end */
};

enum { MADE_ON = 43200 }; /* the same for ever: half a day into 1970 */

static void start(struct exchange *x, void *data)
{
    (void)data;
    if (x->request.method != METHOD_GET && x->request.method != METHOD_HEAD) {
        if (exchange_fail(x, 405) == PHASE_MOVED) /* else it is answered, and perhaps gone */
            exchange_continue(x);
        return;
    }
    x->response.last_modified = MADE_ON;
    response_send(x, 200, slice_of("image/gif"), slice_make((const char *)gif, sizeof gif));
}

static bool set_empty_gif(struct conf_call *call)
{
    struct http_location *location = conf_location(call);

    location->content = (struct content_handler){.name = "empty_gif", .start = start};
    return true;
}

static const struct directive directives[] = {
    {"empty_gif", CTX_LOCATION, CUSTOM, .set = set_empty_gif,
     .doc = "Answers with a picture of one transparent pixel.",
     .example = "location = /_.gif { empty_gif; }"},
};

struct feature empty_gif_feature = {
    .conf = {.name = "http_empty_gif",
             .directives = directives,
             .directive_count = COUNT(directives)},
};
