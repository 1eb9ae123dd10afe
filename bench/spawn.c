/* spawn ROUNDS EVICT CANDIDATE...: start every candidate once a round, in turn; print one line for each start:
 * "CANDIDATE-NUMBER NANOSECONDS MINOR-FAULTS MAJOR-FAULTS". EVICT 1 first drops the candidate's file from the page cache.
 * A candidate is words joined by "|": the file to exec, then its arguments. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { WORDS = 16, CANDIDATES = 16 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void evict(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fsync(fd) != 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        fail(path);
    close(fd);
}

int main(int argc, char **argv)
{
    static char *words[CANDIDATES][WORDS];
    int rounds = atoi(argv[1]), cold = atoi(argv[2]), count = argc - 3;
    if (count > CANDIDATES)
        return 2;
    for (int c = 0; c < count; c++) {
        int n = 0;
        for (char *word = strtok(argv[3 + c], "|"); word && n < WORDS - 1; word = strtok(NULL, "|"))
            words[c][n++] = word;
    }
    for (int round = -2; round < rounds; round++) { /* two rounds to warm up */
        for (int c = 0; c < count; c++) {
            struct timespec from, to;
            struct rusage usage;
            pid_t child;
            int status;
            if (cold)
                evict(words[c][0]);
            clock_gettime(CLOCK_MONOTONIC, &from);
            if (posix_spawn(&child, words[c][0], NULL, NULL, words[c], environ) != 0)
                fail(words[c][0]);
            if (wait4(child, &status, 0, &usage) != child)
                fail("wait4");
            clock_gettime(CLOCK_MONOTONIC, &to);
            if (status != 0) {
                fprintf(stderr, "%s ended with status %d\n", words[c][0], status);
                return 1;
            }
            if (round >= 0)
                printf("%d %ld %ld %ld\n", c, (to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec,
                       usage.ru_minflt, usage.ru_majflt);
        }
    }
    return 0;
}
