/* SPDX-License-Identifier: ISC */
/*
 * What there is around this process, as a text of one thing a line, so that
 * two of them can be compared: what a test leaves behind, or changes of what
 * belongs to its caller, shows as a line.
 *
 * Where it is allowed, the program gets queues, segments and a /dev/shm of its
 * own, so that other programs of this machine neither disturb nor are
 * disturbed.  Elsewhere only what bears this program's mark is looked at.
 */
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <dirent.h>
#include <sched.h>
#include <signal.h>

#include "support.h"

static bool private_objects;
static char top[64], queues[80];

bool
left_private(void)
{
	return private_objects;
}

/* The queues are shown by a file system that wants to be mounted; it lies
 * beside the directory whose files are listed. */
void
left_begin(const char *dir)
{
	snprintf(top, sizeof top, "%s", dir);
	snprintf(queues, sizeof queues, "/dev/mqueue");
	if (unshare(CLONE_NEWIPC | CLONE_NEWNS) == -1)
		return;
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == -1 ||
	    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV,
	    "mode=1777") == -1)
		return;
	private_objects = mkdir(queues, 0755) == 0 || errno == EEXIST;
	if (mount("mqueue", queues, "mqueue", 0, NULL) == -1)
		queues[0] = '\0';
}

static void
list_fds(FILE *out)
{
	char link[64], target[512];
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	ssize_t n;

	while (d != NULL && (e = readdir(d)) != NULL) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || fd == dirfd(d))
			continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof target);
		fprintf(out, "descriptor %d: %.*s\n", fd, n > 0 ? (int)n : 0,
		    target);
	}
	if (d != NULL)
		closedir(d);
}

/* Everything below a directory; `mark': only names that contain it. */
static void
list_files(FILE *out, const char *dir, const char *mark)
{
	char path[4096];
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		if (mark == NULL || strstr(e->d_name, mark) != NULL)
			fprintf(out, "file %s\n", path);
		if (e->d_type == DT_DIR)
			list_files(out, path, mark);
	}
	if (d != NULL)
		closedir(d);
}

/* Key and id of each System V object; what changes with use comes later in
 * the line. */
static void
list_sysv(FILE *out, const char *what)
{
	char path[64], line[512];
	long key, id;
	FILE *f;

	snprintf(path, sizeof path, "/proc/sysvipc/%s", what);
	if ((f = fopen(path, "re")) == NULL)
		return;
	while (fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%ld %ld", &key, &id) == 2)
			fprintf(out, "System V %s: key %ld id %ld\n", what,
			    key, id);
	fclose(f);
}

static void
list_objects(FILE *out)
{
	const char *mark = private_objects ? NULL : "ipc-check";

	list_files(out, "/dev/shm", mark);
	if (queues[0] != '\0')
		list_files(out, queues, mark);
	if (!private_objects)
		return;
	list_sysv(out, "msg");
	list_sysv(out, "shm");
	list_sysv(out, "sem");
}

static void
list_processes(FILE *out)
{
	siginfo_t si = { .si_pid = 0 };
	DIR *d = opendir("/proc/self/task");
	int threads = -2;

	while (d != NULL && readdir(d) != NULL)
		threads++;
	if (d != NULL)
		closedir(d);
#ifndef __SANITIZE_THREAD__	/* it has one of its own, once there are two */
	fprintf(out, "%d threads\n", threads);
#endif
	if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0)
		fprintf(out, "a child process\n");
}

/* Dispositions, the mask and limits: the caller's, and not to be touched. */
static void
list_settings(FILE *out)
{
	struct sigaction sa;
	struct rlimit r;
	char cwd[1024];
	sigset_t set;
	mode_t mask = umask(0);

	umask(mask);
	fprintf(out, "umask %o\n", (unsigned)mask);
	fprintf(out, "in %s\n", getcwd(cwd, sizeof cwd) ? cwd : "?");
	for (int i = 1; i < NSIG; i++)
		if (sigaction(i, NULL, &sa) == 0)
			/* Flags mean nothing without a handler. */
			fprintf(out, "signal %d: %p flags %x\n", i,
			    (void *)(uintptr_t)sa.sa_handler,
			    sa.sa_handler == SIG_DFL ||
			    sa.sa_handler == SIG_IGN ? 0 :
			    (unsigned)sa.sa_flags);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&set, i) == 1)
			fprintf(out, "signal %d is blocked\n", i);
	sigpending(&set);
	for (int i = 1; i < NSIG; i++)
		if (sigismember(&set, i) == 1)
			fprintf(out, "signal %d is pending\n", i);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit((__rlimit_resource_t)i, &r) == 0)
			fprintf(out, "limit %d: %llu of %llu\n", i,
			    (unsigned long long)r.rlim_cur,
			    (unsigned long long)r.rlim_max);
}

static char *
list(bool settings)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		abort();
	list_fds(out);
	list_files(out, top, NULL);
	list_objects(out);
	list_processes(out);
	if (settings)
		list_settings(out);
	fclose(out);
	return text;
}

char *
left_list(void)
{
	return list(true);
}

char *
left_things(void)
{
	return list(false);
}

/* The first line of a that b does not have. */
static const char *
line_missing(const char *a, const char *b)
{
	static char line[4608], want[4612];
	size_t n;

	for (; *a != '\0'; a += n + 1) {
		n = strcspn(a, "\n");
		snprintf(line, sizeof line, "%.*s", (int)n, a);
		snprintf(want, sizeof want, "%s\n", line);
		if (strstr(b, want) == NULL)
			return line;
	}
	return NULL;
}

const char *
left_difference(const char *before, const char *after)
{
	const char *line = line_missing(after, before);

	return line != NULL ? line : line_missing(before, after);
}
