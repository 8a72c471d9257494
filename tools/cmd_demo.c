/* SPDX-License-Identifier: ISC */
/*
 * ipc demo: a real file goes from one process to another and back over every
 * mechanism, in every way to get a channel, and what came of it is printed as
 * a table.
 */
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "demo.h"

#define BUDGET		0.08	/* seconds of moving the file to and fro */
#define REAP_WAIT	2000	/* ms that the other process has to end */

struct result {
	char		carrier[16];	/* what really carried it */
	double		round_trip;	/* seconds */
	double		rate;		/* bytes per second */
	unsigned	lost;
	char		error[200];	/* "": all is well */
};

/* The other side of a link, a process or a thread. */
struct other {
	struct link	*link;
	pid_t		 pid;
	pthread_t	 thread;
	char		*error;		/* shared memory, for a process */
};
#define ERROR_SIZE	160

static volatile sig_atomic_t interrupted;

static void
interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/*
 * The other side
 */

static void
note(char *error, const struct talk *t, const char *what)
{
	if (!*error)
		snprintf(error, ERROR_SIZE, "%s: %s", what,
		    t && t->why ? t->why : ipc_errmsg());
}

static void
serve(struct other *o)
{
	struct ipc_channel *ch;
	struct talk t;

	if (link_far(o->link, &ch) < 0) {
		note(o->error, NULL, "other side");
		return;
	}
	talk_begin(&t, ch);
	if (talk_serve(&t) < 0)
		note(o->error, &t, "other side");
	talk_end(&t);
	ipc_close(ch);
}

static void *
serve_thread(void *arg)
{
	serve(arg);
	return NULL;
}

static int
start_other(struct other *o)
{
	int rc;

	o->error[0] = '\0';
	if (o->link->threads) {
		rc = pthread_create(&o->thread, NULL, serve_thread, o);
		return -rc;
	}
	fflush(stdout);
	o->pid = fork();
	if (o->pid < 0)
		return -errno;
	if (o->pid > 0)
		return 0;
	serve(o);
	_exit(0);
}

/* Waits for it; one that does not end by itself is killed. */
static void
end_other(struct other *o)
{
	static const struct timespec tick = { .tv_nsec = 1000000 };
	double limit = now() + REAP_WAIT / 1e3;
	int how;

	if (o->link->threads) {
		pthread_join(o->thread, NULL);
		return;
	}
	while (waitpid(o->pid, &how, WNOHANG) == 0) {
		if (now() < limit) {
			nanosleep(&tick, NULL);
			continue;
		}
		kill(o->pid, SIGKILL);
		waitpid(o->pid, &how, 0);
		note(o->error, NULL, "other side did not end");
		return;
	}
	if (WIFSIGNALED(how))
		snprintf(o->error, ERROR_SIZE, "other side: %s",
		    strsignal(WTERMSIG(how)));
}

/*
 * One line of the table
 */

static int
measure(struct talk *t, const struct file *f, struct result *r)
{
	double begin, spent;
	unsigned rounds = 0;
	int rc;

	rc = talk_ping(t, &r->round_trip);
	if (rc == 0)
		rc = talk_file(t, f, true);
	begin = now();
	do {
		if (rc == 0)
			rc = talk_file(t, f, false);
		rounds++;
		spent = now() - begin;
	} while (rc == 0 && spent < BUDGET);
	r->rate = 2.0 * rounds * (double)f->size / spent;
	r->lost = t->lost;
	return rc < 0 ? rc : talk_stop(t);
}

static void
converse(struct link *l, const struct file *f, struct result *r)
{
	struct ipc_channel *ch;
	struct talk t;

	if (link_near(l, &ch) < 0) {
		note(r->error, NULL, way_names[l->way]);
		return;
	}
	strlcpy(r->carrier, info_of(ch).scheme, sizeof r->carrier);
	talk_begin(&t, ch);
	if (measure(&t, f, r) < 0)
		note(r->error, &t, "this side");
	talk_end(&t);
	ipc_close(ch);
}

static void
try_link(struct link *l, const struct file *f, char *shared, struct result *r)
{
	struct other o = { .link = l, .error = shared };
	size_t used;
	int rc;

	memset(r, 0, sizeof *r);
	if (link_prepare(l) < 0)
		note(r->error, NULL, way_names[l->way]);
	else if ((rc = start_other(&o)) < 0)
		snprintf(r->error, sizeof r->error, "fork: %s", strerror(-rc));
	else {
		converse(l, f, r);
		end_other(&o);
		used = strlen(r->error);
		if (*shared)
			snprintf(r->error + used, sizeof r->error - used,
			    "%s%s", used ? "; " : "", shared);
	}
	link_clean(l);
}

/*
 * The table
 */

static void
print_head(const char *name, const struct file *f)
{
	printf("%s: %zu bytes, SHA-256 ", name, f->size);
	for (size_t i = 0; i < 8; i++)
		printf("%02x", f->digest[i]);
	printf("...\n\n%-11s %-16s %-8s %11s %12s  %s\n", "MECHANISM",
	    "NATIVE FORM", "WAY", "ROUND TRIP", "THROUGHPUT", "VERDICT");
}

static void
print_result(const struct link *l, const struct result *r)
{
	if (*r->error) {
		printf(" %11s %12s  FAILED: %s\n", "-", "-", r->error);
		return;
	}
	printf(" %8.1f us %7.0f MB/s  ok", r->round_trip * 1e6, r->rate / 1e6);
	if (strcmp(r->carrier, l->mechanism->scheme))
		printf(", by %s", r->carrier);
	if (r->lost)
		printf(", lost and sent again %u times", r->lost);
	putchar('\n');
}

static void
print_json(const struct link *l, const struct result *r, bool first)
{
	printf("%s\n  {\"mechanism\": \"%s\", \"native\": \"%s\", "
	    "\"way\": \"%s\", \"ok\": %s", first ? "" : ",",
	    l->mechanism->scheme, native_form(l->mechanism->scheme),
	    way_names[l->way], *r->error ? "false" : "true");
	if (*r->error) {
		printf(", \"error\": ");
		print_json_string(stdout, r->error);
	} else
		printf(",\n   \"carrier\": \"%s\", \"round_trip_us\": %.2f, "
		    "\"bytes_per_second\": %.0f, \"lost\": %u", r->carrier,
		    r->round_trip * 1e6, r->rate, r->lost);
	putchar('}');
}

/* An opened udp: wants a port that is known to be free, which is nothing that
 * a demonstration can promise. */
static bool
worth_showing(const struct ipc_mechanism *m, int way)
{
	if (way == IPC_WAY_ADOPT || !(m->ways & 1u << way))
		return false;
	return way != IPC_WAY_OPEN || !(m->caps[way] & IPC_CAP_NETWORK);
}

/* Before it is tried: the line begins, or a terminal sees where it is. */
static void
announce(const struct link *l, bool json)
{
	const char *scheme = l->mechanism->scheme;

	if (!json)
		printf("%-11s %-16s %-8s", scheme, native_form(scheme),
		    way_names[l->way]);
	else if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%-11s %-8s\r", scheme, way_names[l->way]);
	fflush(stdout);
}

/* All of them; returns how many failed. */
static unsigned
show_all(const struct file *f, const char *directory, char *shared, bool json)
{
	const struct ipc_mechanism *const *list;
	size_t count = ipc_mechanisms(&list);
	unsigned shown = 0, bad = 0;

	for (size_t i = 0; i < count; i++)
		for (int way = 0; way < IPC_WAYS && !interrupted; way++) {
			struct link l = { .mechanism = list[i],
			    .way = (enum ipc_way)way, .directory = directory,
			    .threads = !strcmp(list[i]->scheme, "inproc") };
			struct result r;

			if (!worth_showing(list[i], way))
				continue;
			announce(&l, json);
			try_link(&l, f, shared, &r);
			if (json)
				print_json(&l, &r, shown == 0);
			else
				print_result(&l, &r);
			shown++;
			bad += *r.error != '\0';
		}
	if (!json)
		printf("\n%u ways, %u failed\n", shown, bad);
	return bad + (shown == 0);
}

/*
 * The file, and where names go
 */

static ssize_t
read_all(int fd, char *data, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size && (n = read(fd, data + have, size - have)) != 0) {
		if (n < 0)
			return -1;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static int
load(struct file *f, const char *name)
{
	char *data = NULL;
	struct stat st;
	ssize_t n = -1;
	int fd;

	/* Of what has no size nothing would go, and be found right. */
	fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0) {
		if (S_ISREG(st.st_mode))
			data = malloc((size_t)st.st_size + 1);
		else
			errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
	}
	if (data)
		n = read_all(fd, data, (size_t)st.st_size);
	if (n < 0)
		warn("%s", name);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(data);
		return -1;
	}
	digest_of(data, (size_t)n, f->digest);
	f->data = data;
	f->size = (size_t)n;
	return 0;
}

static int
make_directory(char *path, size_t size)
{
	const char *where = getenv("TMPDIR");

	snprintf(path, size, "%s/ipc-demo.XXXXXX", where && *where ? where :
	    "/tmp");
	if (mkdtemp(path))
		return 0;
	warn("%s", path);
	return -1;
}

/* Everything that was made there must be gone again. */
static int
remove_directory(const char *path)
{
	if (rmdir(path) == 0)
		return EXIT_OK;
	warn("something was left behind in %s", path);
	return EXIT_FAILED;
}

static int
demonstrate(const struct file *f, const char *name, bool json)
{
	struct sigaction act = { .sa_handler = interrupt };
	char directory[128], *shared;
	int status = EXIT_OK;

	shared = mmap(NULL, ERROR_SIZE, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		warn("mmap");
		return EXIT_FAILED;
	}
	if (make_directory(directory, sizeof directory) < 0)
		return EXIT_FAILED;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	if (json)
		putchar('[');
	else
		print_head(name, f);
	if (show_all(f, directory, shared, json) > 0 || interrupted)
		status = EXIT_FAILED;
	if (json)
		printf("\n]\n");
	return remove_directory(directory) | status;
}

/* The command may have been replaced since it was started, or /proc not be
 * there. */
static void
own_name(char *self, size_t size)
{
	static const char link[] = "/proc/self/exe";

	if (realpath(link, self) == NULL)
		strlcpy(self, access(link, R_OK) == 0 ? link :
		    (const char *)getauxval(AT_EXECFN), size);
}

static int
run(const struct command *cmd, int argc, char *argv[])
{
	char self[PATH_MAX];
	const char *name = self;
	struct file f;
	bool json = false;
	int c, status;

	while ((c = next_option(cmd, argc, argv, "j")) != -1)
		switch (c) {
		case 'j':
			json = true;
			break;
		default:
			return usage(cmd);
		}
	if (argc - optind > 1)
		return usage(cmd);
	if (argc - optind == 1)
		name = argv[optind];
	else
		own_name(self, sizeof self);
	if (load(&f, name) < 0)
		return EXIT_FAILED;
	status = demonstrate(&f, name, json);
	free(f.data);
	return status;
}

const struct command cmd_demo = {
	.name = "demo",
	.arguments = "[-j] [file]",
	.summary = "Moves a file to another process and back over everything",
	.help =
	    "It goes over every mechanism, in every way to get a channel of\n"
	    "it; the checksums are compared.  Without a file it moves the\n"
	    "command itself.  Any failure is a failure of the command.\n\n"
	    "  -j, --json  the table as JSON\n",
	.run = run
};
