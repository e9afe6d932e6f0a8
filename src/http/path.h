/* Where in the file system a request points: its URI mapped by `root` or `alias`.
 *
 * One mapping for everybody who touches files: static, index, try_files, autoindex, dav, variables.
 * Runs in: worker, loop thread. */
#pragma once

#include "base/slice.h"

struct exchange;

struct path {
    struct slice full; /* arena; a NUL that is not counted follows, and there is none inside */
    size_t root_bytes; /* how much of it is the root's; the rest came from the URI */
};

/* The path for `uri`, which is x->request.uri or one like it (index appends a name). False: no
 * memory, a NUL in the path, or an alias in a location whose name is no prefix of `uri` any more
 * because a rewrite changed it; it has been logged, answer 500. */
bool path_for_uri(struct exchange *x, struct slice uri, struct path *path)
    __attribute__((warn_unused_result));

/* The path for a name that stands behind the root: what try_files tests. With an alias the name is
 * taken as a URI if it begins with the location's name. */
bool path_for_name(struct exchange *x, struct slice name, struct path *path)
    __attribute__((warn_unused_result));

/* $document_root: the value of root or alias. False: no memory. */
bool path_document_root(struct exchange *x, struct slice *root) __attribute__((warn_unused_result));

/* In an alias of a regex location the URI is not appended, except after try_files has found a
 * file: that one is appended until the location changes. False: no memory. */
bool path_append_uri(struct exchange *x) __attribute__((warn_unused_result));
