/* Doubly linked list, links inside the members. Runs in: any; one thread per list. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#define container_of(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct list {
    struct list *next; /* itself when the list is empty, NULL when the link is in no list */
    struct list *prev;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}

/* Is this link in a list? Links must start zeroed. */
static inline bool list_linked(const struct list *link)
{
    return link->next != NULL;
}

static inline void list_insert(struct list *after, struct list *link)
{
    assert(link->next == NULL);
    link->next = after->next;
    link->prev = after;
    after->next->prev = link;
    after->next = link;
}

static inline void list_push_front(struct list *list, struct list *link)
{
    list_insert(list, link);
}

static inline void list_push_back(struct list *list, struct list *link)
{
    list_insert(list->prev, link);
}

static inline void list_remove(struct list *link)
{
    assert(link->next != NULL);
    link->next->prev = link->prev;
    link->prev->next = link->next;
    link->next = NULL;
    link->prev = NULL;
}

static inline struct list *list_pop_front(struct list *list)
{
    struct list *first = list->next;

    if (first == list)
        return NULL;
    list_remove(first);
    return first;
}

/* `it` may be removed inside the loop, `keep` may not. */
#define list_each(it, keep, head)                                                                  \
    for (struct list *it = (head)->next, *keep = it->next; it != (head);                           \
         it = keep, keep = keep->next)
