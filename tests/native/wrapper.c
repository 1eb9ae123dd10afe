/*
 * A launcher that is another one but for one thing: CHANGE, compiled in, is what it changes, LAUNCHER the path of the
 * other one. `metalauncher compare` has to find each.
 *
 * Most change what the launcher is exec'd with. A few fork: what a program prints and how it ends can be changed only
 * from outside; then the app's process is another one than the launcher's, which is to be found as well.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *more[100000];

static int is(const char *change)
{
    return strcmp(CHANGE, change) == 0;
}

/* Return where NAME= is in the environment, or NULL. */
static char **find(char **environment, const char *name)
{
    for (; *environment != NULL; environment++)
        if (strncmp(*environment, name, strlen(name)) == 0)
            return environment;
    return NULL;
}

static char **copy(char **from)
{
    int count = 0;
    while (from[count] != NULL && count < 99990) {
        more[count] = from[count];
        count++;
    }
    more[count] = NULL;
    return more;
}

/* Run the launcher, and pass on what it writes to stdout after `edit` has had it; return its wait status. */
static int watch(char **argv, char **environment, void (*edit)(char *, ssize_t *))
{
    static char text[1 << 16];
    int ends[2] = {-1, -1}, status;
    if (edit != NULL && pipe2(ends, O_CLOEXEC) != 0)
        exit(101);
    pid_t child = fork();
    if (child == 0) {
        if (edit != NULL)
            dup2(ends[1], 1);
        execve(LAUNCHER, argv, environment);
        _exit(102);
    }
    if (edit != NULL) {
        ssize_t length = 0, count;
        close(ends[1]);
        while ((count = read(ends[0], text + length, sizeof text / 2 - length)) > 0)
            length += count;
        edit(text, &length);
        if (write(1, text, length) != length)
            exit(103);
    }
    waitpid(child, &status, 0);
    return status;
}

static void change_a_byte(char *text, ssize_t *length)
{
    if (*length > 10)
        text[10] ^= 0x20;
}

static void double_a_line(char *text, ssize_t *length)
{
    char *end = memchr(text, '\n', *length);
    if (end == NULL)
        return;
    ssize_t line = end + 1 - text;
    memmove(text + line, text, *length);
    *length += line;
}

int main(int argc, char **argv, char **environment)
{
    char **found;
    if (is("variable-value") && (found = find(environment, "HOME=")) != NULL)
        *found = "HOME=/home/other";
    if (is("variable-added")) {
        environment = copy(environment);
        for (found = environment; *found != NULL; found++)
            ;
        *found = "ADDED=1";
    }
    if (is("variable-removed") && (found = find(environment, "HOME=")) != NULL)
        for (; *found != NULL; found++)
            found[0] = found[1];
    if (is("environment-order")) {
        int count = 0;
        while (environment[count] != NULL)
            count++;
        for (int first = 0, last = count - 1; first < last; first++, last--) {
            char *kept = environment[first];
            environment[first] = environment[last];
            environment[last] = kept;
        }
    }
    if (is("argument-value") && argc > 1)
        argv[argc - 1] = "changed";
    if (is("argument-added")) {
        argv = copy(argv);
        argv[argc] = "added";
        argv[argc + 1] = NULL;
    }
    if (is("argument-removed") && argc > 1)
        argv[argc - 1] = NULL;
    if (is("argv0") && strrchr(argv[0], '/') != NULL)
        argv[0] = strrchr(argv[0], '/') + 1;
    if (is("descriptor"))
        dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), 7);
    if (is("stdin-closed"))
        close(0);
    if (is("stderr-for-stdout"))
        dup2(2, 1);
    if (is("blocked-signal") || is("ignored-signal")) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        if (is("blocked-signal"))
            sigprocmask(SIG_BLOCK, &set, NULL);
        else
            signal(SIGHUP, SIG_IGN); /* one of the few that a Go program leaves as it is */
    }
    if (is("umask"))
        umask(077);
    if (is("directory") && chdir("/") != 0)
        return 104;
    if (is("limit") || is("hard-limit")) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 333;
        if (is("hard-limit"))
            limit.rlim_max = 333;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (is("priority"))
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + 1);
    if (is("timer-slack"))
        prctl(PR_SET_TIMERSLACK, 1234567, 0, 0, 0);
    if (is("no-new-privileges"))
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (is("personality"))
        personality(ADDR_NO_RANDOMIZE);
    if (is("scheduler")) {
        struct sched_param none = {0};
        sched_setscheduler(0, SCHED_BATCH, &none);
    }
    if (is("exit-status") || is("fork") || is("signal-as-status")) {
        int status = watch(argv, environment, NULL);
        if (WIFEXITED(status))
            return WEXITSTATUS(status) + (is("exit-status") && WEXITSTATUS(status) == 82);
        if (is("signal-as-status"))
            return 128 + WTERMSIG(status);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    if (is("message-byte") || is("line-doubled")) {
        int status = watch(argv, environment, is("message-byte") ? change_a_byte : double_a_line);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    execve(LAUNCHER, argv, environment);
    return 105;
}
