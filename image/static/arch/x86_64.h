/* What start-up and the snapshot have to know of x86-64. */

/* Segments begin with a multiple of this, so that no page has two kinds of rights: the largest page there is. */
#define SEGMENT 4096

/* Where blocks lie while the snapshot is built that it does not get: an address that no other data is mistaken for. */
#define SPARE_HEAP 0x25a3c7590000

/* musl's descriptor of the only thread (internal/pthread_impl.h). */
#define THREAD_DESCRIPTOR_WORDS 25
#define THREAD_DESCRIPTOR ((uintptr_t *)__builtin_thread_pointer())

/* musl's own knowledge of the size of a page is a constant. */
#define FORGET_PAGE_SIZE(size) ((void)(size))

/* The whole of first(): the kernel's stack is not ours to change. */
#define ENTER "call touch_in_order\n\tjmp _start"

static inline _Noreturn void call_on_stack(char *end, void (*function)(void))
{
    __asm__ volatile("mov %0, %%rsp\n\txor %%ebp, %%ebp\n\tcall *%1\n\tud2" : : "r"(end), "r"(function) : "memory");
    __builtin_unreachable();
}
