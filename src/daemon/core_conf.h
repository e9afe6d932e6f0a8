/* Settings of the main level and of events { }: what the master and the worker's life depend on.
 * Runs in: loaded in the validating child and in the worker; read there. */
#pragma once

#include "config/directive.h"

#include <sched.h>

struct core_list { /* words in the order they stand in the file; arena */
    struct core_list *next;
    struct slice text;
};

struct core_mask {
    struct core_mask *next;
    cpu_set_t cpus;
};

struct core_conf {
    bool daemon;
    bool master_process;
    bool pcre_jit;
    int worker_processes; /* 0: auto */
    struct slice user;    /* empty: the default */
    struct slice group;   /* empty: the user's */
    struct slice pid;     /* empty: the default */
    int rlimit_nofile;    /* 0: as it is */
    size_t rlimit_core;
    bool rlimit_core_given;
    int priority;
    int seccomp;                  /* enum sandbox_mode */
    uint64_t shutdown_timeout_ms; /* 0: none */
    uint64_t reload_timeout_ms;
    bool affinity_auto;
    cpu_set_t affinity_allowed; /* auto MASK: out of these */
    struct core_mask *affinity;
    struct core_list *env; /* "NAME" or "NAME=value" */
    struct slice working_directory;
    int pool_threads;
    int pool_queue;
    int worker_connections;
};

extern const struct conf_feature core_feature;

/* Position of the feature in this process's list, set once by who makes the list. */
extern size_t core_index;
