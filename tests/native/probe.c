/*
 * A launcher that starts nothing: it writes all that it can observe of the state it was exec'd with to descriptor 200,
 * one "key value" a line, bytes that are not printable as \xNN. First it looks, then it writes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define REPORT 200
#define DESCRIPTORS 1024
#define SIGNALS 64

static char *report;
static size_t length, room;

static void put(const char *bytes, size_t count)
{
    if (length + count > room) {
        room = 2 * (length + count);
        report = realloc(report, room);
        if (report == NULL)
            _exit(98);
    }
    memcpy(report + length, bytes, count);
    length += count;
}

static void put_escaped(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        char escaped[5];
        if (*c >= ' ' && *c < 0x7f && *c != '\\') {
            put((const char *)c, 1);
        } else {
            snprintf(escaped, sizeof escaped, "\\x%02x", *c);
            put(escaped, 4);
        }
    }
}

/* One line. */
static void say(const char *key, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(key, strlen(key));
    put(" ", 1);
    put_escaped(text);
    put("\n", 1);
}

static void say_strings(const char *key, char **strings)
{
    for (; *strings != NULL; strings++) {
        put(key, strlen(key));
        put(" ", 1);
        put_escaped(*strings);
        put("\n", 1);
    }
}

static void say_descriptors(void)
{
    for (int fd = 0; fd < DESCRIPTORS; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        char path[32], target[4096] = "-";
        struct stat status = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(path, target, sizeof target - 1);
        if (size >= 0)
            target[size] = '\0';
        fstat(fd, &status);
        say("descriptor", "%d flags=%x status=%x offset=%ld mode=%o device=%lx %s", fd, flags, fcntl(fd, F_GETFL),
            (long)lseek(fd, 0, SEEK_CUR), status.st_mode, (unsigned long)status.st_rdev, target);
    }
}

/* Straight from the kernel: the C library hides two signals that it uses itself. */
static void say_signals(void)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        unsigned long long mask;
    } action;
    unsigned long long set = 0;
    for (int number = 1; number <= SIGNALS; number++) {
        if (syscall(SYS_rt_sigaction, number, NULL, &action, sizeof set) != 0)
            continue;
        const char *state = action.handler == SIG_DFL ? "default" : action.handler == SIG_IGN ? "ignored" : "caught";
        say("signal", "%d %s", number, state);
    }
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &set, sizeof set);
    say("blocked", "%016llx", set);
    syscall(SYS_rt_sigpending, &set, sizeof set);
    say("pending", "%016llx", set);
    stack_t stack;
    if (sigaltstack(NULL, &stack) == 0)
        say("sigaltstack", "%x", stack.ss_flags);
}

static void say_limits(void)
{
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit;
        if (getrlimit(resource, &limit) == 0)
            say("limit", "%d %llx %llx", resource, (unsigned long long)limit.rlim_cur,
                (unsigned long long)limit.rlim_max);
    }
}

static void say_credentials(void)
{
    unsigned real, effective, saved;
    getresuid(&real, &effective, &saved);
    say("uid", "%u %u %u", real, effective, saved);
    getresgid(&real, &effective, &saved);
    say("gid", "%u %u %u", real, effective, saved);
    gid_t groups[64];
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        say("group", "%u", groups[i]);
    say("secure", "%lu", getauxval(AT_SECURE));
    say("securebits", "%x", prctl(PR_GET_SECUREBITS));
    say("keepcaps", "%d", prctl(PR_GET_KEEPCAPS));
    say("no-new-privs", "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("seccomp", "%d", prctl(PR_GET_SECCOMP));
}

static void say_process(void)
{
    char text[4096];
    say("pid", "%d", getpid());
    say("ppid", "%d", getppid());
    say("pgid", "%d", getpgid(0));
    say("sid", "%d", getsid(0));
    siginfo_t child;
    int none = waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
    say("children", "%s", none ? "none" : "some");
    errno = 0;
    say("nice", "%d", getpriority(PRIO_PROCESS, 0));
    say("scheduler", "%d", sched_getscheduler(0));
    say("io-priority", "%ld", syscall(SYS_ioprio_get, 1, 0));
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    sched_getaffinity(0, sizeof cpus, &cpus);
    say("cpus", "%d %d", CPU_COUNT(&cpus), CPU_ISSET(0, &cpus));
    say("personality", "%x", personality(0xffffffff));
    say("dumpable", "%d", prctl(PR_GET_DUMPABLE));
    say("timer-slack", "%d", prctl(PR_GET_TIMERSLACK));
    int number = 0;
    prctl(PR_GET_PDEATHSIG, &number);
    say("parent-death-signal", "%d", number);
    number = 0;
    prctl(PR_GET_CHILD_SUBREAPER, &number);
    say("subreaper", "%d", number);
    say("huge-pages", "%d", prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    memset(text, 0, sizeof text);
    prctl(PR_GET_NAME, text);
    say("name", "%s", text);
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        getitimer(which, &timer);
        say("timer", "%d %s %ld", which, timer.it_value.tv_sec || timer.it_value.tv_usec ? "armed" : "off",
            (long)timer.it_interval.tv_sec);
    }
    struct termios terminal;
    for (int fd = 0; fd <= 2; fd++)
        if (tcgetattr(fd, &terminal) == 0)
            say("terminal", "%d %x %x %x %x foreground=%s", fd, terminal.c_iflag, terminal.c_oflag, terminal.c_cflag,
                terminal.c_lflag, tcgetpgrp(fd) == getpgid(0) ? "self" : "other");
}

static void say_place(void)
{
    char path[8192];
    struct stat status;
    say("cwd", "%s", syscall(SYS_getcwd, path, sizeof path) < 0 ? strerror(errno) : path);
    say("cwd-links", "%s", stat(".", &status) == 0 ? status.st_nlink ? "linked" : "deleted" : "none");
    mode_t mask = umask(0);
    umask(mask);
    say("umask", "%04o", mask);
    say("execfn", "%s", (const char *)getauxval(AT_EXECFN));
}

/* What /proc says, where there is one: of its files those lines that are not about memory and time. */
static void say_proc(void)
{
    static const char *const lines[] = {
        "Umask:", "Uid:", "Gid:", "Groups:", "FDSize:", "Threads:", "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:",
        "SigCgt:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp", "Speculation", "Cpus_allowed:", "Mems_allowed:", "THP_enabled:", "TracerPid:", "CoreDumping:",
    };
    static const char *const files[] = {"oom_score_adj", "coredump_filter", "timerslack_ns", "loginuid", "cgroup"};
    static const char *const links[] = {"exe", "root", "ns/mnt", "ns/pid", "ns/user", "ns/net", "ns/uts", "ns/ipc"};
    char line[16384], path[64];
    FILE *file = fopen("/proc/self/status", "re");
    say("proc", "%s", file == NULL ? "none" : "there");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
            if (strncmp(line, lines[i], strlen(lines[i])) == 0)
                say("status", "%.*s", (int)strcspn(line, "\n"), line);
    if (file != NULL)
        fclose(file);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", files[i]);
        file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            say(files[i], "%.*s", (int)strcspn(line, "\n"), line);
        if (file != NULL)
            fclose(file);
    }
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", links[i]);
        ssize_t size = readlink(path, line, sizeof line - 1);
        line[size < 0 ? 0 : size] = '\0';
        say(links[i], "%s", line);
    }
    file = fopen("/proc/self/stat", "re");
    int terminal = 0;
    if (file != NULL && fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %d", &terminal) == 1)
        say("controlling-terminal", "%s", terminal ? "some" : "none");
    if (file != NULL)
        fclose(file);
    DIR *processes = getpid() == 1 ? opendir("/proc") : NULL;
    for (struct dirent *entry; processes != NULL && (entry = readdir(processes)) != NULL;)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            say("process", "%s", entry->d_name);
}

int main(int argc, char **argv, char **environment)
{
    say("argc", "%d", argc);
    say_strings("argument", argv);
    say_strings("variable", environment);
    say_descriptors(); /* before anything here opens one */
    say_signals();
    say_limits();
    say_credentials();
    say_process();
    say_place();
    say_proc();
    for (size_t written = 0; written < length;) {
        ssize_t count = write(REPORT, report + written, length - written);
        if (count < 0)
            return 99;
        written += (size_t)count;
    }
    return 0;
}
