/* Telling the service manager how we are. Runs in: master. */
#include "daemon/notify.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { STATE_BYTES_MAX = 256 };

/* "/path" or "@abstract". */
static bool socket_name(const char *name, struct sockaddr_un *address, socklen_t *len)
{
    size_t bytes = name == NULL ? 0 : strlen(name);

    if (bytes < 2 || bytes >= sizeof address->sun_path || (name[0] != '/' && name[0] != '@'))
        return false;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, bytes);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return true;
}

void notify(const char *state)
{
    struct sockaddr_un address;
    socklen_t len;
    char text[STATE_BYTES_MAX];
    int used;
    int fd;

    if (!socket_name(getenv("NOTIFY_SOCKET"), &address, &len))
        return;
    used = snprintf(text, sizeof text, "%s\nMONOTONIC_USEC=%llu\nMAINPID=%d\n", state,
                    (unsigned long long)clock_monotonic_us(), (int)getpid());
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (used > 0 && used < (int)sizeof text)
        sendto(fd, text, (size_t)used, MSG_NOSIGNAL, (struct sockaddr *)&address, len);
    close(fd);
}
