/* The processor's side of a system call that a filter has trapped.
 * Runs in: a handler of SIGSYS. */
#pragma once

#include <ucontext.h>

/* `context` is the handler's third argument: the call returns `result` (-EPERM: it failed so). */
static inline void sigsys_return(void *context, int result)
{
    ucontext_t *where = context;

#if defined(__x86_64__)
    where->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
    where->uc_mcontext.regs[0] = (unsigned long long)result;
#else
#error "where does this processor return the result of a system call?"
#endif
}
