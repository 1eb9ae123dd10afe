/*
 * faults WORD... -- PROGRAM ARGV0 ARGUMENT...: execs PROGRAM with system calls that fail. No library is preloaded: a
 * seccomp filter, installed before the exec, works in a static program as in any other.
 *   always CALL ERRNO             each such call fails (SECCOMP_RET_ERRNO)
 *   where CALL ERRNO INDEX VALUE  each such call whose argument INDEX has the value (of 32 bits) fails
 *   number N ERRNO                the Nth watched call fails; this process decides it (SECCOMP_RET_USER_NOTIF)
 *   path CALL TEXT ERRNO          each watched such call on a path that holds TEXT fails
 *   trace FILE                    write for each watched call its number, its name, the errno it got or 0, its path, and a NUL
 * Calls are counted from 1, the exec of PROGRAM itself left out. Exits as PROGRAM does, 128 + N for signal N; with 125
 * where it can't do what it was told.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind { OTHER, PATH, AT_PATH, DESCRIPTOR };

static const struct call {
    const char *name;
    int number;
    enum kind kind; /* what its first argument, or with AT_PATH its second, is */
} calls[] = {
#define CALL(name, kind) {#name, SYS_##name, kind}
    CALL(openat, AT_PATH), CALL(newfstatat, AT_PATH), CALL(readlinkat, AT_PATH), CALL(faccessat, AT_PATH),
    CALL(statx, AT_PATH), CALL(execve, PATH), CALL(read, DESCRIPTOR), CALL(pread64, DESCRIPTOR),
    CALL(write, DESCRIPTOR), CALL(close, DESCRIPTOR), CALL(fstat, DESCRIPTOR), CALL(getdents64, DESCRIPTOR),
    CALL(lseek, DESCRIPTOR), CALL(ioctl, DESCRIPTOR), CALL(fcntl, DESCRIPTOR), CALL(mmap, OTHER),
    CALL(mremap, OTHER), CALL(brk, OTHER), CALL(getrandom, OTHER), CALL(uname, OTHER), CALL(rt_sigaction, OTHER),
    CALL(clock_gettime, OTHER),
#ifdef __x86_64__
    CALL(open, PATH), CALL(stat, PATH), CALL(lstat, PATH), CALL(readlink, PATH), CALL(access, PATH),
#endif
};
enum { CALLS = sizeof calls / sizeof *calls, RULES = 64 };

static struct { int number, error; } nth[RULES];
static struct { const struct call *call; const char *text; int error; } by_path[RULES];
static int nths, by_paths;
static FILE *trace;
static struct sock_filter code[8 * RULES];
static unsigned short length;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "faults: %s: %s\n", what, strerror(errno));
    _exit(125);
}

static const struct call *call_of(const char *name)
{
    for (int i = 0; i < CALLS; i++)
        if (strcmp(calls[i].name, name) == 0)
            return &calls[i];
    errno = ENOSYS;
    fail(name);
}

static void emit(struct sock_filter one)
{
    if (length == sizeof code / sizeof *code)
        fail("too many rules");
    code[length++] = one;
}

static void add_rule(int number, int error, int index, unsigned value)
{
    emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, index < 0 ? 1 : 3));
    if (index >= 0) {
        unsigned offset = (unsigned)offsetof(struct seccomp_data, args) + 8 * (unsigned)index;
        emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)); /* little-endian: the low half */
        emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    }
    emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error));
}

static int install(unsigned flags)
{
    emit((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    if (flags != 0)
        for (int i = 0; i < CALLS; i++) {
            emit((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i].number, 0, 1));
            emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF));
        }
    emit((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog program = {length, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail("no_new_privs");
    long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0)
        fail("seccomp");
    return (int)listener;
}

/* The listener travels over a socket: sendmsg is not watched, and nobody else knows its number. */
static void pass(int channel, int *descriptor, int sending)
{
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (sending) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), descriptor, sizeof(int));
        if (sendmsg(channel, &message, 0) != 1)
            fail("sendmsg");
    } else {
        if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL)
            fail("recvmsg");
        memcpy(descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
    }
}

static void path_of(const struct seccomp_notif *request, const struct call *call, char *path, size_t size)
{
    *path = '\0';
    if (call->kind == PATH || call->kind == AT_PATH) {
        uint64_t address = request->data.args[call->kind == AT_PATH];
        for (size_t at = 0; at + 1 < size; at++) { /* byte by byte: what follows may not be mapped */
            struct iovec here = {path + at, 1}, there = {(void *)(uintptr_t)(address + at), 1};
            if (process_vm_readv((pid_t)request->pid, &here, 1, &there, 1, 0) != 1 || path[at] == '\0') {
                path[at] = '\0';
                break;
            }
            path[at + 1] = '\0';
        }
    }
    if (*path == '\0' && (call->kind == DESCRIPTOR || call->kind == AT_PATH)) { /* "": AT_EMPTY_PATH */
        char name[64];
        snprintf(name, sizeof name, "/proc/%d/fd/%d", (int)request->pid, (int)request->data.args[0]);
        ssize_t got = readlink(name, path, size - 1);
        path[got < 0 ? 0 : got] = '\0';
    }
}

static void decide(int listener, struct seccomp_notif *request, int number)
{
    const struct call *call = calls;
    while (call->number != request->data.nr)
        call++;
    char path[4096];
    path_of(request, call, path, sizeof path);
    struct seccomp_notif_resp answer = {.id = request->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    int error = 0;
    for (int i = 0; i < nths; i++)
        if (nth[i].number == number)
            error = nth[i].error;
    for (int i = 0; i < by_paths && number > 0; i++)
        if (by_path[i].call == call && strstr(path, by_path[i].text) != NULL)
            error = by_path[i].error;
    if (error != 0) {
        answer.flags = 0;
        answer.error = -error;
    }
    if (trace != NULL && number > 0)
        fprintf(trace, "%d %s %d %s%c", number, call->name, error, path, 0); /* a path may hold a newline */
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
        fail("answer");
}

static int watch(pid_t child, int listener)
{
    struct pollfd ready = {listener, POLLIN, 0};
    for (int number = 0;; ) {
        if (poll(&ready, 1, -1) < 0)
            fail("poll");
        if (ready.revents & POLLIN) {
            struct seccomp_notif request = {0};
            if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) == 0)
                decide(listener, &request, number++);
        } else {
            break; /* nobody is left that has the filter */
        }
    }
    int status;
    if (waitpid(child, &status, 0) < 0)
        fail("waitpid");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    int at = 1, watched = 0;
#define WORD (at < argc ? argv[at++] : (errno = EINVAL, fail("usage"), NULL))
    while (at < argc && strcmp(argv[at], "--") != 0) {
        const char *word = WORD;
        if (nths == RULES || by_paths == RULES)
            fail("too many rules");
        if (strcmp(word, "always") == 0) {
            const struct call *call = call_of(WORD);
            add_rule(call->number, atoi(WORD), -1, 0);
        } else if (strcmp(word, "where") == 0) {
            const struct call *call = call_of(WORD);
            int error = atoi(WORD), index = atoi(WORD);
            add_rule(call->number, error, index, (unsigned)strtoul(WORD, NULL, 0));
        } else if (strcmp(word, "number") == 0) {
            nth[nths].number = atoi(WORD);
            nth[nths++].error = atoi(WORD);
            watched = 1;
        } else if (strcmp(word, "path") == 0) {
            by_path[by_paths].call = call_of(WORD);
            by_path[by_paths].text = WORD;
            by_path[by_paths++].error = atoi(WORD);
            watched = 1;
        } else if (strcmp(word, "trace") == 0) {
            if ((trace = fopen(WORD, "we")) == NULL)
                fail("trace");
            watched = 1;
        } else {
            errno = EINVAL;
            fail(word);
        }
    }
    at++;
    if (at >= argc)
        fail("usage");
    if (!watched) {
        install(0);
        execv(argv[at], argv + at + 1);
        fail(argv[at]);
    }
    int channel[2], listener;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
        fail("socketpair");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, 9);
        listener = install(SECCOMP_FILTER_FLAG_NEW_LISTENER);
        pass(channel[1], &listener, 1);
        execv(argv[at], argv + at + 1);
        fail(argv[at]);
    }
    close(channel[1]);
    pass(channel[0], &listener, 0);
    return watch(child, listener);
}
