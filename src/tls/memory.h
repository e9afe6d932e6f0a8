/* Memory of the library's record buffers.
 *
 * A connection gives its two buffers of 17k back after each record, so that it holds none while it
 * waits; asking the C library for them each time costs more than the cipher. Each thread keeps a
 * few. Everything else the library allocates is the C library's as before. Runs in: any thread. */
#pragma once

/* Before anything else of the library is used; later it has no effect. */
void tls_memory_begin(void);

/* The calling thread serves connections: it keeps buffers from now on, until it ends. */
void tls_memory_keep(void);
