/* The compiler's counters: see profile.c. */
#ifndef METALAUNCHER_PROFILE_H
#define METALAUNCHER_PROFILE_H

/* Sets all to zero. */
void profile_reset(void);

/* Writes them to a file, for llvm-profdata. */
void profile_write(const char *path);

#endif
