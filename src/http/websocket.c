#include "http/websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

enum { RANDOM_BYTES = 16, SHA1_BYTES = 20, SENT_KEY_BYTES_MAX = 200 };

bool websocket_key(char out[WEBSOCKET_KEY_BYTES + 1])
{
    unsigned char bytes[RANDOM_BYTES];

    return RAND_bytes(bytes, sizeof bytes) == 1 &&
           EVP_EncodeBlock((unsigned char *)out, bytes, sizeof bytes) == WEBSOCKET_KEY_BYTES;
}

bool websocket_accept(struct slice key, char out[WEBSOCKET_ACCEPT_BYTES + 1])
{
    static const struct slice guid = SLICE("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    char text[SENT_KEY_BYTES_MAX + 40];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (key.len == 0 || key.len > SENT_KEY_BYTES_MAX)
        return false;
    memcpy(text, key.data, key.len);
    memcpy(text + key.len, guid.data, guid.len);
    return EVP_Digest(text, key.len + guid.len, digest, &len, EVP_sha1(), NULL) == 1 &&
           len == SHA1_BYTES &&
           EVP_EncodeBlock((unsigned char *)out, digest, SHA1_BYTES) == WEBSOCKET_ACCEPT_BYTES;
}
