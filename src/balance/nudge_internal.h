/* A reason for a loop to look at something: however often it is given, the loop looks once, later.
 *
 * Unlike a bare mail it may be under way when its owner goes. Runs in: send: any thread; the rest:
 * the loop's thread, or when the loops have ended. */
#pragma once

struct loop;
struct nudge;

/* `fn(data)` runs in the loop's thread after nudge_send(). NULL: no memory. */
struct nudge *nudge_new(struct loop *loop, void (*fn)(void *data), void *data);

/* Whoever may send must have stopped before nudge_free(). */
void nudge_send(struct nudge *nudge);

/* `fn` does not run any more. NULL is fine. */
void nudge_free(struct nudge *nudge);
