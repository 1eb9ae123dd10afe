/*
 * starter SPEC: puts itself into a chosen state, then execs. SPEC is a file of words, each ended by a NUL: directives
 * with their arguments, obeyed in order (see `directives`); "path" says what to exec in the end, "arg" and "env" append
 * to its arguments and environment as bytes. Exits with 125 and says why where something can't be done.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT 200
#define LIMIT 20000

static char *path, *arguments[LIMIT], *variables[LIMIT];
static size_t argument_count, variable_count;
static char *directive = "SPEC";
static int proc; /* for where there is none any more */
static struct sock_fprog filter; /* installed at the very last */

static _Noreturn void fail(void)
{
    fprintf(stderr, "starter: %s: %s\n", directive, strerror(errno));
    _exit(125);
}

static void must(long result)
{
    if (result < 0)
        fail();
}

static void do_path(char **a) { path = a[0]; }

static void append(char **list, size_t *count, char *word)
{
    if (*count + 1 == LIMIT) {
        errno = E2BIG;
        fail();
    }
    list[(*count)++] = word;
}

static void do_arg(char **a) { append(arguments, &argument_count, a[0]); }
static void do_env(char **a) { append(variables, &variable_count, a[0]); }

static void open_as(int number, int flags, const char *file)
{
    int fd = open(file, flags & ~O_CLOEXEC, 0666);
    must(fd);
    if (fd != number) {
        must(dup2(fd, number));
        close(fd);
    }
    if (flags & O_CLOEXEC)
        must(fcntl(number, F_SETFD, FD_CLOEXEC));
}

static void do_report(char **a) { open_as(REPORT, O_WRONLY | O_CREAT | O_TRUNC, a[0]); }
static void do_open(char **a) { open_as(atoi(a[0]), (int)strtol(a[1], NULL, 0), a[2]); }
static void do_close(char **a) { must(close(atoi(a[0]))); }
static void do_seek(char **a) { must(lseek(atoi(a[0]), atol(a[1]), SEEK_SET)); }
static void do_umask(char **a) { umask((mode_t)strtol(a[0], NULL, 8)); }
static void do_chdir(char **a) { must(chdir(a[0])); }

static void do_lost(char **a) /* a working directory that is no longer there */
{
    must(mkdir(a[0], 0700));
    must(chdir(a[0]));
    must(rmdir(a[0]));
}

static void do_ignore(char **a)
{
    if (signal(atoi(a[0]), SIG_IGN) == SIG_ERR)
        fail();
}

static void do_block(char **a)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, atoi(a[0]));
    must(sigprocmask(SIG_BLOCK, &set, NULL));
}

static void do_raise(char **a) { must(kill(getpid(), atoi(a[0]))); }

static void do_limit(char **a)
{
    struct rlimit limit = {strtoull(a[1], NULL, 0), strtoull(a[2], NULL, 0)};
    must(setrlimit(atoi(a[0]), &limit));
}

static void do_nice(char **a) { must(setpriority(PRIO_PROCESS, 0, atoi(a[0]))); }
static void do_session(char **a) { (void)a; must(setsid()); }
static void do_group(char **a) { (void)a; must(setpgid(0, 0)); }
static void do_slack(char **a) { must(prctl(PR_SET_TIMERSLACK, atol(a[0]))); }
static void do_death(char **a) { must(prctl(PR_SET_PDEATHSIG, atol(a[0]))); }
static void do_subreaper(char **a) { (void)a; must(prctl(PR_SET_CHILD_SUBREAPER, 1)); }
static void do_nonewprivs(char **a) { (void)a; must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }
static void do_nohugepages(char **a) { (void)a; must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)); }
static void do_persona(char **a) { must(personality(strtoul(a[0], NULL, 0))); }

static void do_timer(char **a)
{
    struct itimerval timer = {.it_value.tv_sec = atol(a[0]), .it_interval.tv_sec = atol(a[0])};
    must(setitimer(ITIMER_REAL, &timer, NULL));
}

static void do_cpu(char **a)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(a[0]), &cpus);
    must(sched_setaffinity(0, sizeof cpus, &cpus));
}

static void do_batch(char **a)
{
    (void)a;
    must(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}));
}

static void do_write(char **a) /* a file, a text */
{
    int fd = strncmp(a[0], "/proc/", 6) == 0 ? openat(proc, a[0] + 6, O_WRONLY | O_CLOEXEC)
                                             : open(a[0], O_WRONLY | O_CLOEXEC);
    must(fd);
    must(write(fd, a[1], strlen(a[1])));
    close(fd);
}

/* A new user namespace, in which this user is `uid` and `gid`. */
static void enter_user_namespace(unsigned uid, unsigned gid, int more)
{
    char map[64];
    unsigned outer_uid = geteuid(), outer_gid = getegid();
    must(unshare(CLONE_NEWUSER | more));
    do_write((char *[]){"/proc/self/setgroups", "deny"});
    snprintf(map, sizeof map, "%u %u 1", uid, outer_uid);
    do_write((char *[]){"/proc/self/uid_map", map});
    snprintf(map, sizeof map, "%u %u 1", gid, outer_gid);
    do_write((char *[]){"/proc/self/gid_map", map});
}

static void do_user(char **a) /* uid, gid; no other groups */
{
    unsigned uid = (unsigned)atol(a[0]), gid = (unsigned)atol(a[1]);
    if (geteuid() != 0) {
        enter_user_namespace(uid, gid, 0);
        return;
    }
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        fail();
    if (setresgid(gid, gid, gid) == 0 && setresuid(uid, uid, uid) == 0)
        return;
    if (errno != EINVAL) /* not mapped: already in a user namespace of ours */
        fail();
    enter_user_namespace(uid, gid, 0);
}

static void do_join(char **a) /* a user namespace that is there: its file in /proc */
{
    int fd = open(a[0], O_RDONLY | O_CLOEXEC);
    must(fd);
    must(setns(fd, CLONE_NEWUSER));
    close(fd);
}

static void do_mounts(char **a) /* mounts of one's own; a user namespace where that takes one */
{
    (void)a;
    if (unshare(CLONE_NEWNS) < 0)
        enter_user_namespace(0, 0, CLONE_NEWNS);
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void do_bind(char **a) { must(mount(a[0], a[1], NULL, MS_BIND | MS_REC, NULL)); }

static void do_readonly(char **a)
{
    struct statvfs old; /* in a user namespace the flags there are have to stay */
    must(statvfs(a[0], &old));
    must(mount(a[0], a[0], NULL, MS_BIND | MS_REC, NULL));
    unsigned long keep = old.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME);
    keep |= old.f_flag & ST_RELATIME ? MS_RELATIME : 0;
    must(mount(NULL, a[0], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | keep, NULL));
}

static void do_proc(char **a) { must(mount("proc", a[0], "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)); }

/*
 * A root of one's own: the old one is let go, for a process in a chroot may have no further user namespace. Where it
 * can't be (it is the kernel's first), a chroot is.
 */
static void do_root(char **a)
{
    must(mount(a[0], a[0], NULL, MS_BIND | MS_REC, NULL));
    must(chdir(a[0]));
    if (syscall(SYS_pivot_root, ".", ".") == 0)
        must(umount2(".", MNT_DETACH));
    else
        must(chroot("."));
    must(chdir("/"));
}

static void do_pids(char **a) /* from here on in a child that is PID 1 of its own namespace */
{
    (void)a;
    int status;
    must(unshare(CLONE_NEWPID));
    pid_t child = fork();
    must(child);
    if (child == 0)
        return;
    must(waitpid(child, &status, 0));
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void do_terminal(char **a) /* descriptor 100 is the master; the slave is controlling, and 0, 1 and 2 */
{
    (void)a;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    must(master);
    must(grantpt(master));
    must(unlockpt(master));
    must(setsid());
    int slave = open(ptsname(master), O_RDWR);
    must(slave);
    for (int fd = 0; fd <= 2; fd++)
        must(dup2(slave, fd));
    must(dup2(master, 100));
    close(slave);
    close(master);
}

static int number_of(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } calls[] = {
#define CALL(name) {#name, SYS_##name}
        CALL(brk), CALL(close), CALL(execve), CALL(exit_group), CALL(fcntl), CALL(fstat), CALL(getdents64),
        CALL(getegid), CALL(geteuid), CALL(getgid), CALL(getuid), CALL(lseek), CALL(mmap), CALL(mprotect), CALL(munmap),
        CALL(newfstatat), CALL(openat), CALL(prlimit64), CALL(read), CALL(rt_sigaction), CALL(rt_sigprocmask),
        CALL(readlinkat), CALL(set_tid_address),
#ifdef __x86_64__
        CALL(access), CALL(arch_prctl), CALL(open), CALL(readlink), CALL(stat),
#endif
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    errno = ENOSYS;
    fail();
}

static void do_seccomp(char **a) /* the system calls to allow, separated by spaces; -NAME gives EPERM; others kill */
{
    struct sock_filter *code = calloc(2 * strlen(a[0]) + 4, sizeof *code);
    unsigned short at = 0;
    code[at++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (char *name = strtok(a[0], " "); name != NULL; name = strtok(NULL, " ")) {
        int refused = *name == '-';
        code[at++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number_of(name + refused), 0, 1);
        code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, refused ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
    }
    code[at++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter = (struct sock_fprog){at, code};
}

static const struct {
    const char *name;
    int words;
    void (*obey)(char **words);
} directives[] = {
    {"path", 1, do_path},         {"arg", 1, do_arg},           {"env", 1, do_env},
    {"report", 1, do_report},     {"open", 3, do_open},         {"close", 1, do_close},
    {"seek", 2, do_seek},         {"umask", 1, do_umask},       {"chdir", 1, do_chdir},
    {"lost", 1, do_lost},         {"ignore", 1, do_ignore},     {"block", 1, do_block},
    {"raise", 1, do_raise},       {"limit", 3, do_limit},       {"nice", 1, do_nice},
    {"session", 0, do_session},   {"group", 0, do_group},       {"slack", 1, do_slack},
    {"death", 1, do_death},       {"subreaper", 0, do_subreaper}, {"nonewprivs", 0, do_nonewprivs},
    {"persona", 1, do_persona},   {"timer", 1, do_timer},       {"cpu", 1, do_cpu},
    {"batch", 0, do_batch},       {"write", 2, do_write},       {"user", 2, do_user},
    {"mounts", 0, do_mounts},     {"bind", 2, do_bind},         {"readonly", 1, do_readonly},
    {"proc", 1, do_proc},         {"root", 1, do_root},     {"pids", 0, do_pids},
    {"terminal", 0, do_terminal}, {"seccomp", 1, do_seccomp},   {"nohugepages", 0, do_nohugepages},
    {"join", 1, do_join},
};

static void obey(char *spec, char *end)
{
    char *words[3];
    while (spec < end) {
        directive = spec;
        size_t i = 0;
        while (i < sizeof directives / sizeof *directives && strcmp(directives[i].name, directive) != 0)
            i++;
        if (i == sizeof directives / sizeof *directives) {
            errno = EINVAL;
            fail();
        }
        spec += strlen(spec) + 1;
        for (int word = 0; word < directives[i].words; word++) {
            words[word] = spec;
            spec += strlen(spec) + 1;
        }
        directives[i].obey(words);
    }
}

int main(int argc, char **argv)
{
    struct stat status;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    must(fd);
    must(fstat(fd, &status));
    size_t size = (size_t)status.st_size;
    char *spec = malloc(size + 1);
    must(read(fd, spec, size) == status.st_size ? 0 : -1);
    close(fd);
    fd = open("/proc", O_PATH | O_CLOEXEC);
    proc = fcntl(fd, F_DUPFD_CLOEXEC, REPORT + 1);
    must(proc);
    close(fd);
    obey(spec, spec + size);
    directive = "exec";
    if (filter.len != 0) {
        must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter));
    }
    execve(path, arguments, variables);
    fail();
}
