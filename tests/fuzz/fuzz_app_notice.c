/* Goal: whatever is said of an app is taken whole or refused whole, and what is taken can be
 * walked.
 */
#include "balance/app_notice_internal.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct app_notice notice;
    struct app_line line;
    const char *error = NULL;
    unsigned count = 0;

    if (!app_notice_parse(slice_make((const char *)data, size), &notice, &error)) {
        assert(error != NULL);
        return 0;
    }
    assert(notice.name.len > 0 && notice.name.len <= APP_NAME_MAX);
    assert(notice.reason.len <= APP_REASON_MAX);
    while (app_notice_next(&notice.lines, &line))
        count++;
    assert(count == notice.instance_count);
    return 0;
}
