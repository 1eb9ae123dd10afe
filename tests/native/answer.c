/* A launcher that makes one system call: it exits with 42. No C library, so that a seccomp filter need allow no more. */
void _start(void);

void _start(void)
{
#if defined __x86_64__
    __asm__ volatile("syscall" : : "a"(231L), "D"(42L) : "rcx", "r11", "memory");
#elif defined __aarch64__
    register long number __asm__("x8") = 94, code __asm__("x0") = 42;
    __asm__ volatile("svc 0" : : "r"(number), "r"(code) : "memory");
#else
#error "write this for your machine"
#endif
    __builtin_unreachable();
}
