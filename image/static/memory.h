/* The allocator of the static executable: see memory.c. */
#ifndef METALAUNCHER_MEMORY_H
#define METALAUNCHER_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define UNIT 16 /* every block is a multiple of this, and its payload aligned to it */

/* Precedes every block's payload. */
struct header {
    uint32_t units; /* size of the whole block, header included */
    uint32_t unused;
};

/* While the snapshot is built: hands out the payload of a block of so many units, zeroed. NULL at start-up. */
extern void *(*memory_build_allocate)(uint32_t units);

/* The snapshot is complete and ends here: from now on allocate behind it, up to `limit`. */
void memory_seal(char *end, char *limit);

/* For PyObject_SetArenaAllocator: the memory of frames. From malloc, not from mmap, which the snapshot would lose. */
void *memory_allocate_arena(void *context, size_t size);
void memory_free_arena(void *context, void *arena, size_t size);

#endif
