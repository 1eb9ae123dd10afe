/* An app for FROM scratch: it says what it sees of the container it runs in, or waits to be told to end.
 *
 * app [ARGUMENT...]: report, and exit with 0. app serve: say "ready", and at SIGTERM "SIGTERM", and exit with 7. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    char cwd[4096] = "?";
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        sigset_t wanted;
        int got;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGTERM);
        sigprocmask(SIG_BLOCK, &wanted, NULL);
        puts("ready");
        fflush(stdout);
        sigwait(&wanted, &got);
        puts("SIGTERM");
        return 7;
    }
    for (int i = 1; i < argc; i++)
        printf("argument %s\n", argv[i]);
    printf("uid %d\ngid %d\npid %d\ncwd %s\n", getuid(), getgid(), getpid(), getcwd(cwd, sizeof cwd));
    printf("root %s\n", open("/written", O_WRONLY | O_CREAT, 0600) < 0 ? strerror(errno) : "was written to");
    struct if_nameindex *interfaces = if_nameindex();
    for (struct if_nameindex *each = interfaces; each && each->if_index; each++)
        printf("interface %s\n", each->if_name);
    for (char **entry = environ; *entry; entry++)
        printf("env %s\n", *entry);
    return 0;
}
