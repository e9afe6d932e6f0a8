/* Between file.c and its settings. Runs in: worker, loop thread. */
#pragma once

/* Closes what a loop's tables hold; the slot itself is the caller's. */
void file_loop_end(void *slot);
