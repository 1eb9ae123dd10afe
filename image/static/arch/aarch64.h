/* What start-up and the snapshot have to know of aarch64. */

/*
 * Segments begin with a multiple of this, so that no page has two kinds of rights: the largest page that a kernel can have,
 * of 4, 16 and 64 KB.
 */
#define SEGMENT 65536

/*
 * Where blocks lie while the snapshot is built that it does not get: an address that no other data is mistaken for. A kernel
 * with pages of 4 KB may give a process 39 bits of addresses.
 */
#define SPARE_HEAP 0x25a3590000

/* musl's descriptor of the only thread (internal/pthread_impl.h), which lies below the thread pointer. */
#define THREAD_DESCRIPTOR_WORDS 25
#define THREAD_DESCRIPTOR ((uintptr_t *)__builtin_thread_pointer() - THREAD_DESCRIPTOR_WORDS)

/* The kernel that runs the build has pages of another size than the one that starts the result; musl asks again. */
#define FORGET_PAGE_SIZE(size) ((size) = 0)

/* The whole of first(): the link register means nothing at a process's entry. */
#define ENTER "bl touch_in_order\n\tb _start"

static inline _Noreturn void call_on_stack(char *end, void (*function)(void))
{
    __asm__ volatile("mov sp, %0\n\tmov x29, xzr\n\tmov x30, xzr\n\tblr %1\n\tbrk #1" : : "r"(end), "r"(function) : "memory");
    __builtin_unreachable();
}
