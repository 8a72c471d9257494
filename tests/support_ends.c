/* SPDX-License-Identifier: ISC */
/*
 * Addresses for every mechanism, connected ends, and peers in threads and in
 * other processes.
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>

#include "support.h"

#define STRINGS		8	/* that live at a time */
#define STRING_SIZE	8192

static atomic_uint serial;

static char *
string_new(void)
{
	static __thread char strings[STRINGS][STRING_SIZE];
	static __thread unsigned next;

	return strings[next++ % STRINGS];
}

/*
 * Addresses
 */

static bool
one_of(const char *scheme, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, scheme) == 0)
			return true;
	return false;
}

bool
scheme_has_paths(const char *scheme)
{
	static const char *const with_paths[] = { "fifo", "unix",
	    "unixpacket", "unixgram", "mmap", "file", NULL };

	return one_of(scheme, with_paths);
}

const char *
path_new(void)
{
	char *s = string_new();

	snprintf(s, STRING_SIZE, "%s/%d-%u", temporary_dir(), (int)getpid(),
	    atomic_fetch_add(&serial, 1));
	return s;
}

/* A port that nobody has now: an opened datagram socket cannot tell which one
 * it got. */
static int
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t size = sizeof in;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_sys(fd);
	expect_sys(bind(fd, (struct sockaddr *)&in, sizeof in));
	expect_sys(getsockname(fd, (struct sockaddr *)&in, &size));
	close(fd);
	return ntohs(in.sin_port);
}

static void
name_of(char *s, size_t size, const char *scheme, enum ipc_way way)
{
	static const char *const network[] = { "tcp", "udp", NULL };
	static const char *const slash[] = { "posixmq", "posixshm", NULL };
	unsigned n = atomic_fetch_add(&serial, 1);

	if (scheme_has_paths(scheme))
		snprintf(s, size, "%s", path_new());
	else if (one_of(scheme, network))
		snprintf(s, size, "//127.0.0.1:%d",
		    way == IPC_WAY_OPEN ? free_port() : 0);
	else
		snprintf(s, size, "%sipc-check-%d-%u",
		    one_of(scheme, slash) ? "/" : "", (int)getpid(), n);
}

const char *
address_of(const char *scheme, enum ipc_way way, const char *options)
{
	char name[STRING_SIZE / 2] = "", *s = string_new();
	bool any = options != NULL && *options != '\0';

	if (way == IPC_WAY_OPEN || way == IPC_WAY_SESSION)
		name_of(name, sizeof name, scheme, way);
	snprintf(s, STRING_SIZE, "%s:%s%s%s", scheme, name, any ? "?" : "",
	    any ? options : "");
	return s;
}

const char *
address(const char *options)
{
	return address_of(here.scheme, here.way, options);
}

/*
 * Jobs
 */

static void *
job_main(void *arg)
{
	struct job *j = arg;

	if (j->delay > 0)
		pause_ms(j->delay);
	j->rc = j->run(j);
	j->ended = now_ms();
	return NULL;
}

void
job_start(struct job *j, long (*run)(struct job *))
{
	j->run = run;
	if ((errno = pthread_create(&j->thread, NULL, job_main, j)) != 0)
		ck_abort_msg("pthread_create: %s", strerror(errno));
}

long
job_end(struct job *j)
{
	pthread_join(j->thread, NULL);
	return j->rc;
}

long
job_send(struct job *j)
{
	return ipc_send(j->ch, j->data, j->size, j->timeout);
}

long
job_recv(struct job *j)
{
	return ipc_recv(j->ch, j->buffer, j->size, j->timeout);
}

/*
 * Ends
 */

struct connecting {
	struct job	 job;
	const char	*address;
	int		 flags;
};

static long
job_connect(struct job *j)
{
	struct connecting *c = (struct connecting *)j;
	int rc = ipc_connect(&j->ch, c->address, c->flags, SOON);

	if (rc < 0)
		snprintf(j->buffer, j->size, "%s", ipc_errmsg());
	return rc;
}

/* What the listening side must ask for, so that the connecting one has this. */
static int
other_way(int flags)
{
	int dir = flags & IPC_DUPLEX;

	if (dir == IPC_RECV || dir == IPC_SEND)
		dir ^= IPC_DUPLEX;
	return (flags & ~IPC_DUPLEX) | dir;
}

void
pair_of(struct ipc_channel *ch[2], const char *options, int flags)
{
	expect(0, ipc_pair(ch, address(options), flags));
}

void
listen_here(struct ipc_listener **l, char *text, size_t size,
    const char *options, int flags)
{
	expect(0, ipc_listen(l, address(options), other_way(flags)));
	expect(0, ipc_listener_address(*l, text, size));
}

void
meet_at(struct ipc_channel *ch[2], struct ipc_listener *l, const char *text,
    int flags)
{
	char error[512] = "";
	struct connecting c = { .flags = flags, .address = text };
	int rc;

	c.job.buffer = error;
	c.job.size = sizeof error;
	job_start(&c.job, job_connect);
	rc = ipc_accept(&ch[1], l, SOON);
	if (job_end(&c.job) < 0)
		ck_abort_msg("%s: connecting: %s (%s)", where(), error,
		    ipc_strerror((int)c.job.rc));
	expect(0, rc);
	ch[0] = c.job.ch;
}

void
meet(struct ipc_channel *ch[2], struct ipc_listener *l, int flags)
{
	char text[STRING_SIZE];

	expect(0, ipc_listener_address(l, text, sizeof text));
	meet_at(ch, l, text, flags);
}

/* The options are those of both sides; the listener's address tells none. */
static void
with_options(char *text, size_t size, const char *options)
{
	if (options == NULL || *options == '\0')
		return;
	strlcat(text, strchr(text, '?') != NULL ? "&" : "?", size);
	strlcat(text, options, size);
}

void
session_of(struct ipc_channel *ch[2], const char *options, int flags)
{
	struct ipc_listener *l;
	char text[STRING_SIZE];

	listen_here(&l, text, sizeof text, options, flags);
	with_options(text, sizeof text, options);
	meet_at(ch, l, text, flags);
	expect(0, ipc_listener_close(l));
}

void
ends_of(int i, struct ipc_channel *ch[2], const char *options, int flags)
{
	begin(i);
	if (here.way == IPC_WAY_PAIR)
		pair_of(ch, options, flags);
	else
		session_of(ch, options, flags);
}

void
close_ends(struct ipc_channel *ch[2])
{
	expect(0, ipc_close(ch[0]));
	expect(0, ipc_close(ch[1]));
}

/*
 * Peers
 */

static _Noreturn void
peer_run(struct ipc_channel *ch, peer_fn *peer, void *arg)
{
	peer(ch, arg);
	_exit(0);
}

static pid_t
fork_or_fail(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

static struct ipc_channel *
pair_with_peer(const char *options, int flags, peer_fn *peer, void *arg,
    pid_t *pid)
{
	struct ipc_channel *ch[2];

	pair_of(ch, options, flags);
	if ((*pid = fork_or_fail()) == 0) {
		ipc_close(ch[0]);
		peer_run(ch[1], peer, arg);
	}
	expect(0, ipc_close(ch[1]));
	return ch[0];
}

/* The child accepts on its copy of the listener, which is then our own to
 * close: so is a server that forks before it accepts. */
static struct ipc_channel *
session_with_peer(const char *options, int flags, peer_fn *peer, void *arg,
    pid_t *pid)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	struct gate g;
	char text[STRING_SIZE];

	listen_here(&l, text, sizeof text, options, flags);
	gate_make(&g);
	if ((*pid = fork_or_fail()) == 0) {
		expect(0, ipc_accept(&ch, l, SOON));
		ipc_listener_close(l);
		gate_open(&g);
		gate_free(&g);
		peer_run(ch, peer, arg);
	}
	with_options(text, sizeof text, options);
	expect(0, ipc_connect(&ch, text, flags, SOON));
	gate_wait(&g);
	gate_free(&g);
	expect(0, ipc_listener_close(l));
	return ch;
}

struct ipc_channel *
with_peer(int i, const char *options, int flags, peer_fn *peer, void *arg,
    pid_t *pid)
{
	begin(i);
	if (here.way == IPC_WAY_PAIR)
		return pair_with_peer(options, flags, peer, arg, pid);
	return session_with_peer(options, flags, peer, arg, pid);
}

static int
reap(pid_t pid)
{
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, 0)) == -1 && errno == EINTR)
		continue;
	expect_sys(got);
	return status;
}

void
peer_done(pid_t pid)
{
	int status = reap(pid);

	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		ck_abort_msg("%s: the peer ended with status 0x%x", where(),
		    (unsigned)status);
}

void
peer_kill(pid_t pid)
{
	expect_sys(kill(pid, SIGKILL));
	reap(pid);
	somebody_died();
}

/* Sends back what comes, up to 1 MiB, until the end. */
void
echo_peer(struct ipc_channel *ch, void *unused)
{
	static char buffer[MIB];
	ssize_t n;

	(void)unused;
	while ((n = ipc_recv(ch, buffer, sizeof buffer, -1)) >= 0)
		expect(0, ipc_send(ch, buffer, (size_t)n, -1));
	expect(-EPIPE, n);
	expect(0, ipc_close(ch));
}

struct ipc_info
info_of(const struct ipc_channel *ch)
{
	struct ipc_info info = { .struct_size = sizeof info };

	expect(0, ipc_info(ch, &info));
	return info;
}

/* What the kernel moves from one buffer to the next behind our back makes new
 * room: it is full when it has been so for a while. */
int
fill_up(struct ipc_channel *ch, size_t size)
{
	char *data = need(size);
	int rc, n = 0;

	pattern_fill(data, size, 1);
	for (int full = 0; full < 5; full++) {
		while ((rc = ipc_send(ch, data, size, 0)) == 0) {
			full = 0;
			if (++n == 10000000)
				ck_abort_msg("%s: takes everything", where());
		}
		expect(-EAGAIN, rc);
		pause_ms(here.caps & IPC_CAP_NETWORK ? 5 : 0);
	}
	free(data);
	return n;
}

void
carry(struct ipc_channel *from, struct ipc_channel *to, size_t size)
{
	unsigned seed = (unsigned)size + 1;
	struct job j = { .ch = from, .size = size, .timeout = 4 * SOON };
	void *out = need(size), *in = need(size);

	pattern_fill(out, size, seed);
	j.data = out;
	job_start(&j, job_send);
	expect(size, ipc_recv(to, in, size, 4 * SOON));
	expect_true(pattern_is(in, size, seed));
	expect(0, job_end(&j));
	free(out);
	free(in);
}
