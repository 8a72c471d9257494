/* SPDX-License-Identifier: ISC */
/*
 * How much of what the machine has for all is taken already.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define MUCH	80	/* percent */

/* Lines of a file but the first. */
static unsigned long long
count_lines(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long long lines = 0;
	int c;

	while (f != NULL && (c = getc(f)) != EOF)
		lines += c == '\n';
	if (f != NULL)
		fclose(f);
	return lines > 0 ? lines - 1 : 0;
}

/* Sum of a column of /proc/sysvipc, from 0. */
static unsigned long long
sum_column(const char *path, int column)
{
	FILE *f = fopen(path, "re");
	unsigned long long sum = 0, value;
	char line[1024], *at, *field;

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		at = line;
		for (int i = 0; i <= column && at != NULL;)
			if (*(field = strsep(&at, " \t")) != '\0' &&
			    i++ == column && sscanf(field, "%llu",
			    &value) == 1)
				sum += value;
	}
	if (f != NULL)
		fclose(f);
	return sum;
}

static void
compare(struct doctor *d, const char *name, const char *path, int field,
    unsigned long long used, const char *what)
{
	enum level level = FINE;
	unsigned long long most;

	if (!read_number(path, field, &most))
		return;
	if (used >= most)
		level = PROBLEM;
	else if (used >= most / 100 * MUCH && most >= 100)
		level = NOTE;
	finding(d, level, name, "ipc list -o shows what nobody holds, ipc gc "
	    "removes what is the library's; or raise it with sysctl",
	    "%llu of %llu %s are taken", used, most, what);
}

void
doctor_use(struct doctor *d)
{
	unsigned long long pages, files;

	compare(d, "kernel.msgmni", "/proc/sys/kernel/msgmni", 0,
	    count_lines("/proc/sysvipc/msg"), "System V queues");
	compare(d, "kernel.shmmni", "/proc/sys/kernel/shmmni", 0,
	    count_lines("/proc/sysvipc/shm"), "System V segments");
	pages = sum_column("/proc/sysvipc/shm", 3) /
	    (unsigned long long)sysconf(_SC_PAGESIZE);
	compare(d, "kernel.shmall", "/proc/sys/kernel/shmall", 0, pages,
	    "pages of System V segments");
	compare(d, "kernel.sem (SEMMNI)", "/proc/sys/kernel/sem", 3,
	    count_lines("/proc/sysvipc/sem"), "System V semaphore sets");
	compare(d, "kernel.sem (SEMMNS)", "/proc/sys/kernel/sem", 1,
	    sum_column("/proc/sysvipc/sem", 3), "System V semaphores");
	if (read_number("/proc/sys/fs/file-nr", 0, &files))
		compare(d, "fs.file-max", "/proc/sys/fs/file-nr", 2, files,
		    "open files of this machine");
}
