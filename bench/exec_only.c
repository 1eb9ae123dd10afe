/* The floor: a C program that does nothing but exec the launcher. */
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv)
{
    (void)argc;
    execve(LAUNCHER, argv, environ);
    return 127;
}
