/*
 * malloc for one short-lived, single-threaded process that resumes from a snapshot.
 *
 * Blocks that lie in the snapshot are never given back: freeing them would only dirty their pages. New blocks come
 * from the zeroed pages that the kernel maps behind the snapshot (no system call), after that from mmap.
 * Small sizes have a free list each, larger ones are rounded up to powers of two, huge ones are mappings of their own.
 *
 * There is no failed allocation to recover from: when the kernel refuses memory, the process ends with one line.
 * (CPython survives a NULL, but code compiled by mypyc aborts.) Only absurd sizes return NULL, for a MemoryError.
 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "start.h"

#define SMALL_UNITS 256          /* up to 4 KB: a free list for each size */
#define CHUNK ((size_t)1 << 20)  /* what is asked of the kernel at a time */
#define HUGE_SIZE ((size_t)1 << 18)
#define ABSURD ((size_t)1 << 35) /* `units` could not hold it */

void *(*memory_build_allocate)(uint32_t units);

extern char heap_start[]; /* layout.ld */

static char *snapshot_end; /* blocks below are the snapshot's */
static char *next_free, *limit;
static void *small[SMALL_UNITS];
static void *large[40]; /* by log2 of the size */

static struct header *header_of(void *payload)
{
    return (struct header *)payload - 1;
}

static size_t size_of(void *payload)
{
    return (size_t)header_of(payload)->units * UNIT;
}

void memory_seal(char *end, char *new_limit)
{
    memory_build_allocate = NULL;
    snapshot_end = end;
    next_free = end + UNIT - sizeof(struct header);
    limit = new_limit;
}

static char *map(size_t size)
{
    char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        internal_error("out of memory", NULL);
    return area;
}

/* A block as a mapping of its own. */
static void *allocate_huge(size_t size)
{
    size = (size + UNIT + 4095) & ~(size_t)4095;
    char *payload = map(size) + UNIT;
    header_of(payload)->units = (uint32_t)(size / UNIT);
    return payload;
}

static void *allocate_new(size_t size)
{
    if ((size_t)(limit - next_free) < size) {
        char *area = map(CHUNK);
        next_free = area + UNIT - sizeof(struct header);
        limit = area + CHUNK;
    }
    struct header *block = (struct header *)next_free;
    next_free += size;
    block->units = (uint32_t)(size / UNIT);
    return block + 1;
}

static int log2_ceil(size_t size)
{
    return 64 - __builtin_clzl(size - 1);
}

void *malloc(size_t wanted)
{
    if (wanted > ABSURD) {
        errno = ENOMEM;
        return NULL;
    }
    size_t size = (wanted + sizeof(struct header) + UNIT - 1) & ~(size_t)(UNIT - 1);
    if (size < 2 * UNIT)
        size = 2 * UNIT;
    if (__builtin_expect(memory_build_allocate != NULL, 0))
        return memory_build_allocate((uint32_t)(size / UNIT));

    void **list;
    if (size < SMALL_UNITS * UNIT) {
        list = &small[size / UNIT];
    } else if (size <= HUGE_SIZE) {
        int log2 = log2_ceil(size);
        size = (size_t)1 << log2;
        list = &large[log2];
    } else {
        return allocate_huge(size);
    }
    void *payload = *list;
    if (payload == NULL)
        return allocate_new(size);
    *list = *(void **)payload;
    return payload;
}

void free(void *payload)
{
    if (payload == NULL)
        return;
    if (memory_build_allocate != NULL) { /* not to be used again; nor is anything of it to stay in the snapshot */
        memset(payload, 0, size_of(payload) - sizeof(struct header));
        return;
    }
    if ((char *)payload >= heap_start && (char *)payload < snapshot_end)
        return;
    size_t size = size_of(payload);
    if (size > HUGE_SIZE) {
        munmap((char *)payload - UNIT, size);
        return;
    }
    void **list = size < SMALL_UNITS * UNIT ? &small[size / UNIT] : &large[log2_ceil(size)];
    *(void **)payload = *list;
    *list = payload;
}

void *calloc(size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) {
        errno = ENOMEM;
        return NULL;
    }
    void *payload = malloc(size);
    return payload == NULL ? NULL : memset(payload, 0, size);
}

void *realloc(void *payload, size_t wanted)
{
    if (payload == NULL)
        return malloc(wanted);
    size_t old = size_of(payload) - sizeof(struct header);
    if (size_of(payload) > HUGE_SIZE)
        old -= UNIT - sizeof(struct header);
    if (wanted <= old && (wanted >= old / 4 || old < 256))
        return payload;
    void *copy = malloc(wanted);
    if (copy == NULL)
        return NULL;
    memcpy(copy, payload, wanted < old ? wanted : old);
    free(payload);
    return copy;
}

/* Nothing here asks for more than malloc's own alignment; a library that did would see a failure, not a wrong block. */
void *aligned_alloc(size_t alignment, size_t size)
{
    if (alignment <= UNIT)
        return malloc(size);
    errno = ENOMEM;
    return NULL;
}

int posix_memalign(void **result, size_t alignment, size_t size)
{
    *result = aligned_alloc(alignment, size);
    return *result == NULL ? ENOMEM : 0;
}

void *memalign(size_t alignment, size_t size)
{
    return aligned_alloc(alignment, size);
}

void *memory_allocate_arena(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

void memory_free_arena(void *context, void *arena, size_t size)
{
    (void)context;
    (void)size;
    free(arena);
}
