/* Which system calls a worker makes, and why. Runs in: worker, before it has threads.
 *
 * clone, ioctl, kill-like calls, prctl, prlimit64 and socket are not here: they are allowed for
 * certain arguments only, in sandbox.c. */
#include "daemon/sandbox_internal.h"

#include "base/list.h"

/* Those that are made most come first: the kernel and libseccomp look in this order. */
const struct sandbox_call sandbox_calls[] = {
    {"epoll_wait epoll_pwait epoll_pwait2", "a loop waits"},
    {"recvfrom recvmsg recvmmsg read readv", "bytes of clients, peers, the master's letters"},
    {"sendto sendmsg sendmmsg write writev", "bytes to them, log lines, wake-ups"},
    {"accept4 accept", "new clients"},
    {"close close_range", "descriptors are given back"},
    {"epoll_ctl epoll_create1", "descriptors come to and leave a loop"},
    {"futex sched_yield set_robust_list get_robust_list rseq membarrier", "threads, locks"},
    {"gettid getpid getppid getcpu", "who writes a log line"},
    {"clock_gettime clock_getres gettimeofday time", "where the vDSO does not do it"},
    {"nanosleep clock_nanosleep", "libraries that pause"},
    {"sendfile splice tee pipe2 copy_file_range", "bodies that do not pass through memory"},
    {"setsockopt getsockopt getsockname getpeername shutdown", "settings of connections"},
    {"connect bind socketpair", "to peers, DNS servers, syslog; proxy_bind chooses the address"},
    {"eventfd2 timerfd_create timerfd_settime signalfd4", "what a loop waits for besides sockets"},
    {"poll ppoll select pselect6", "libraries that wait for a descriptor of their own"},
    {"open openat openat2 creat", "files to send, temporary files, certificates, /etc/hosts"},
    {"stat fstat lstat newfstatat statx", "is it there, how long, how old"},
    {"access faccessat faccessat2 readlink readlinkat getcwd", "paths; disable_symlinks"},
    {"statfs fstatfs", "how much a disk has left"},
    {"pread64 preadv preadv2 lseek fadvise64 readahead", "files are read"},
    {"pwrite64 pwritev pwritev2 ftruncate fallocate fsync fdatasync sync_file_range",
     "temporary files, proxy_store, WebDAV"},
    {"getdents64", "autoindex, random_index, folders that WebDAV copies"},
    {"mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat",
     "temporary files, proxy_store, WebDAV"},
    {"chmod fchmod fchmodat utimensat futimesat utime utimes umask",
     "rights and times of stored files"},
    {"fcntl dup dup2 dup3 flock", "flags, logs that are replaced, sealed records"},
    {"memfd_create", "records of configurations"},
    {"mmap munmap mremap brk madvise mincore mlock munlock", "memory of all kinds"},
    {"mprotect", "memory; compiled regular expressions become executable"},
    {"exit exit_group", "threads and the worker end"},
    {"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack rt_sigpending restart_syscall",
     "signals, and abort() after a failed assertion"},
    {"set_tid_address sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler",
     "threads begin: their name, their cores"},
    {"getuid geteuid getgid getegid getresuid getresgid getgroups capget",
     "libraries ask who they are"},
    {"uname sysinfo getrandom getrlimit getrusage times getpriority",
     "libraries ask where they are; random numbers"},
};
const size_t sandbox_call_count = COUNT(sandbox_calls);

const bool sandbox_is_wide = PELAYAN_SANITIZED;

const struct sandbox_call sandbox_sanitizer_calls[] = {
    {"clone clone3 vfork fork wait4 waitid", "the leak checker runs in a process of its own"},
    {"ptrace process_vm_readv", "it stops and reads the others"},
    {"prctl arch_prctl personality prlimit64 setrlimit", "shadow memory, core files off"},
    {"kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo", "reports end the process"},
    {"ioctl", "is a report read on a terminal"},
    {"getdents set_thread_area get_thread_area msync setitimer", "shadow memory, listing threads"},
    {"rt_sigsuspend rt_sigtimedwait", "threads that are held"},
    {"execve pipe", "the symbolizer"},
};
const size_t sandbox_sanitizer_call_count = COUNT(sandbox_sanitizer_calls);

const struct sandbox_call sandbox_deadly_calls[] = {
    {"execve execveat", "another program"},
    {"ptrace process_vm_readv process_vm_writev process_madvise", "another process's memory"},
    {"mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount", "the file tree"},
    {"unshare setns", "namespaces are a way to capabilities"},
    {"bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register",
     "large parts of the kernel that a worker has no use for"},
    {"init_module finit_module delete_module kexec_load kexec_file_load", "the kernel itself"},
    {"keyctl add_key request_key", "keys of others"},
    {"setuid setgid setreuid setregid setresuid setresgid setgroups capset", "other rights"},
};
const size_t sandbox_deadly_call_count = COUNT(sandbox_deadly_calls);
