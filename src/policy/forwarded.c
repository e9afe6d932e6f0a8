#include "policy/forwarded.h"

bool parse_forwarded_address(struct slice text, struct address *address)
{
    bool may_have_port = slice_find(text, '.') > 0 || slice_starts(text, slice_of("["));

    if (address_parse_ip(text, 0, address))
        return true;
    return may_have_port && address_parse(text, 0, address) &&
           (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6);
}

/* Cuts the last element off. */
static struct slice take_last(struct slice *list)
{
    size_t at = list->len;

    while (at > 0 && list->data[at - 1] != ',')
        at--;
    struct slice last = slice_trim(slice_skip(*list, at));

    *list = slice_head(*list, at > 0 ? at - 1 : 0);
    return last;
}

bool forwarded_client(struct slice list, const struct access_rules *trusted, bool recursive,
                      struct address *client)
{
    bool found = false;

    while (list.len > 0 && access_check(trusted, client) == ACCESS_ALLOWED) {
        struct address before;

        if (!parse_forwarded_address(take_last(&list), &before))
            break;
        *client = before;
        found = true;
        if (!recursive)
            break;
    }
    return found;
}
