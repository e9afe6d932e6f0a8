/* Cores. Runs in: any. */
#include "daemon/cpu.h"

#include <stdio.h>

/* The cgroup's "cpu.max": how many cores' worth of time it may use; 0: unlimited or unknown. Only
 * the mount's own group is asked: in a container that is the container's. */
static unsigned cgroup_quota(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    long quota = 0;
    long period = 0;
    bool limited;

    if (file == NULL)
        return 0;
    limited = fscanf(file, "%ld %ld", &quota, &period) == 2; /* "max 100000" does not match */
    fclose(file);
    if (!limited || quota <= 0 || period <= 0)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

unsigned cpu_count_usable(void)
{
    cpu_set_t allowed;
    unsigned count = 1;
    unsigned quota = cgroup_quota();

    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        count = (unsigned)CPU_COUNT(&allowed);
    if (quota > 0 && quota < count)
        count = quota;
    return count > 0 ? count : 1;
}

bool cpu_parse_mask(struct slice text, cpu_set_t *mask)
{
    CPU_ZERO(mask);
    if (text.len == 0 || text.len > CPU_MASK_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '0' && text.data[i] != '1')
            return false;
        if (text.data[i] == '1')
            CPU_SET(text.len - 1 - i, mask);
    }
    return true;
}

void cpu_mask_auto(const cpu_set_t *allowed, unsigned index, cpu_set_t *mask)
{
    unsigned usable = (unsigned)CPU_COUNT(allowed);
    unsigned wanted = usable > 0 ? index % usable : 0;

    CPU_ZERO(mask);
    for (unsigned cpu = 0; cpu < CPU_MASK_MAX; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        if (wanted-- == 0) {
            CPU_SET(cpu, mask);
            return;
        }
    }
}
