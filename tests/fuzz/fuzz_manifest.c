/* Goal: no bytes crash the reader of manifests, and one it takes is written and read back the same.
 */
#include "daemon/manifest.h"
#include "daemon/pack.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packer packer = {.data = NULL};
    struct manifest *manifest = manifest_unpack(slice_make((const char *)data, size));

    if (manifest == NULL)
        return 0;
    manifest_pack(manifest, &packer);
    assert(slice_eq(slice_make(packer.data, packer.len), slice_make((const char *)data, size)));
    pack_free(&packer);
    manifest_free(manifest);
    return 0;
}
