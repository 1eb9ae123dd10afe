/* A launcher for tests that run on FROM scratch: it finds the process in metadata.toml, and becomes it.
 *
 * What a real one does and this one does, too: the process is named by argv[0], any other name runs the arguments as a
 * command; the five CNB_ variables and the two directories of PATH are taken away; the app's directory is the working
 * directory. What it does not: layers' environments, profile scripts, checks of APIs. NAME, compiled in, tells which
 * launcher of an image was started. It reads the TOML that lifecycle's encoder writes, not all there is. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 64, SIZE = 1 << 20 };

static char text[SIZE], *words[WORDS + 1], *process;
static int count;

static void fail(const char *what)
{
    printf("ERROR: failed to launch: %s\n", what);
    exit(82);
}

/* Add the strings of a TOML value, one or an array, to the words. */
static void add(char *at)
{
    while ((at = strchr(at, '"')) != NULL) {
        char *word = ++at, *to = word;
        for (; *at != '"' && *at != 0; at++) {
            if (*at == '\\' && at[1] != 0)
                at++;
            *to++ = *at;
        }
        if (*at == 0)
            fail("metadata.toml is not what this launcher reads");
        at++;
        *to = 0;
        if (count == WORDS)
            fail("too many words");
        words[count++] = word;
    }
}

static int is_process(const char *wanted)
{
    int inside = 0, found = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        line += strspn(line, " ");
        char *value = strstr(line, " = ");
        if (*line == '[') {
            if (found)
                return 1;
            inside = strcmp(line, "[[processes]]") == 0;
        } else if (inside && value && strncmp(line, "type = ", 7) == 0) {
            char name[256] = "";
            sscanf(value + 3, "\"%255[^\"]\"", name);
            found = strcmp(name, wanted) == 0;
        } else if (found && (strncmp(line, "command = ", 10) == 0 || strncmp(line, "args = ", 7) == 0)) {
            add(value + 3);
        }
    }
    return found;
}

static void clean_path(void)
{
    const char *old = getenv("PATH");
    char *new = calloc(1, strlen(old ? old : "") + 2), *copy = strdup(old ? old : ""), *part;
    while ((part = strsep(&copy, ":")) != NULL) {
        if (strcmp(part, "/cnb/process") == 0 || strcmp(part, "/cnb/lifecycle") == 0)
            continue;
        if (*new)
            strcat(new, ":");
        strcat(new, part);
    }
    if (old)
        setenv("PATH", new, 1);
}

int main(int argc, char **argv)
{
    static const char *const own[] = {"CNB_LAYERS_DIR", "CNB_APP_DIR", "CNB_PROCESS_TYPE", "CNB_PLATFORM_API",
                                      "CNB_DEPRECATION_MODE"};
    const char *layers = getenv("CNB_LAYERS_DIR"), *app = getenv("CNB_APP_DIR");
    char path[4096], *slash = argc ? strrchr(argv[0], '/') : NULL;
    snprintf(path, sizeof path, "%s/config/metadata.toml", layers ? layers : "/layers");
    FILE *file = fopen(path, "r");
    if (!file || (text[fread(text, 1, SIZE - 1, file)] = 0, ferror(file)))
        fail(path);
    process = slash ? slash + 1 : argc ? argv[0] : "";
    int from = 1;
    if (is_process(process)) {
        printf("launcher %s starts the process %s\n", NAME, process);
    } else {
        count = 0;
        from += argc > 1 && strcmp(argv[1], "--") == 0;
        if (from >= argc)
            fail("when there is no default process a command is required");
        printf("launcher %s starts the command %s\n", NAME, argv[from]);
    }
    while (from < argc && count < WORDS)
        words[count++] = argv[from++];
    fflush(stdout);
    if (chdir(app ? app : "/workspace") != 0)
        fail("no app directory");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        unsetenv(own[i]);
    clean_path();
    execvp(words[0], words);
    fail(words[0]);
}
