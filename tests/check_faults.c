/* SPDX-License-Identifier: ISC */
/* WRAP: malloc calloc realloc reallocarray strdup strndup free socket
 * socketpair pipe2 epoll_create1 epoll_ctl eventfd timerfd_create fcntl
 * accept4 bind listen connect open openat mkdir mkfifo linkat renameat fchmod
 * fchown memfd_create mmap fork dup dup2 sendmsg recvmsg send recv read write
 * readv writev pwritev2 preadv2 poll ppoll getsockopt setsockopt getsockname
 * getpeername */
/*
 * Every allocation and system call of the library that can fail, fails once:
 * the n-th one, for n = 1, 2, ... until there is no n-th.  Each time the
 * operation gives an error or succeeds, leaves nothing behind, and works when
 * it is done again.  Each n has a process of its own.
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "support.h"

#define FAULTS_MAX	600	/* calls of one operation that are looked at */
#define TABLE		65536	/* allocations alive, a power of two */

/* What the child found; shared with it. */
struct report {
	char	call[24];	/* that was made to fail */
	char	text[300];	/* what is wrong, or nothing */
	bool	hit;
	long	alive;		/* allocations, afterwards */
};

static struct report *report;
static atomic_long countdown;		/* 0: nothing fails */
static void *_Atomic table[TABLE];	/* what is allocated */
static atomic_long alive;

static bool
fault(const char *call)
{
	if (atomic_load(&countdown) <= 0 ||
	    atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	strlcpy(report->call, call, sizeof report->call);
	report->hit = true;
	return true;
}

/*
 * Allocations, counted
 */

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__real_reallocarray(void *, size_t, size_t);
void __real_free(void *);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);
void *__wrap_reallocarray(void *, size_t, size_t);
char *__wrap_strdup(const char *);
char *__wrap_strndup(const char *, size_t);
void __wrap_free(void *);

static size_t
slot_of(const void *p)
{
	return ((uintptr_t)p >> 4) * 2654435761u % TABLE;
}

static void *
noted(void *p)
{
	void *empty = NULL;

	if (p == NULL)
		return NULL;
	for (size_t i = slot_of(p);; i = (i + 1) % TABLE, empty = NULL)
		if (atomic_compare_exchange_strong(&table[i], &empty, p))
			break;
	atomic_fetch_add(&alive, 1);
	return p;
}

/* What libc allocated by itself was never noted.  Slots are not closed up:
 * the process is short-lived, and a search goes once around. */
static void
forget(void *p)
{
	void *want = p;
	size_t i = slot_of(p);

	for (size_t n = 0; p != NULL && n < 64; n++, want = p)
		if (atomic_compare_exchange_strong(&table[(i + n) % TABLE],
		    &want, NULL)) {
			atomic_fetch_sub(&alive, 1);
			return;
		}
}

void *
__wrap_malloc(size_t size)
{
	return fault("malloc") ? NULL : noted(__real_malloc(size));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fault("calloc") ? NULL : noted(__real_calloc(n, size));
}

void *
__wrap_realloc(void *old, size_t size)
{
	void *p;

	if (fault("realloc"))
		return NULL;
	forget(old);
	p = __real_realloc(old, size);
	if (p == NULL && size > 0)
		noted(old);
	return noted(p);
}

void *
__wrap_reallocarray(void *old, size_t n, size_t size)
{
	void *p;

	if (fault("reallocarray"))
		return NULL;
	forget(old);
	p = __real_reallocarray(old, n, size);
	if (p == NULL && size > 0)
		noted(old);
	return noted(p);
}

char *
__wrap_strndup(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	char *p = fault("strdup") ? NULL : noted(__real_malloc(n + 1));

	if (p == NULL)
		return NULL;
	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
__wrap_strdup(const char *s)
{
	return __wrap_strndup(s, SIZE_MAX);
}

void
__wrap_free(void *p)
{
	forget(p);
	__real_free(p);
}

/*
 * System calls
 */

#define WRAP(type, name, parameters, arguments, error, failed)		\
	type __real_##name parameters;					\
	type __wrap_##name parameters;					\
	type								\
	__wrap_##name parameters					\
	{								\
		if (fault(#name)) {					\
			errno = error;					\
			return failed;					\
		}							\
		return __real_##name arguments;				\
	}

typedef struct sockaddr *sa_t;
typedef const struct sockaddr *csa_t;
typedef const struct iovec *iov_t;

WRAP(int, socket, (int d, int t, int p), (d, t, p), EMFILE, -1)
WRAP(int, socketpair, (int d, int t, int p, int fd[2]), (d, t, p, fd),
    EMFILE, -1)
WRAP(int, pipe2, (int fd[2], int f), (fd, f), EMFILE, -1)
WRAP(int, epoll_create1, (int f), (f), EMFILE, -1)
WRAP(int, eventfd, (unsigned n, int f), (n, f), EMFILE, -1)
WRAP(int, timerfd_create, (int c, int f), (c, f), EMFILE, -1)
WRAP(int, accept4, (int s, sa_t a, socklen_t *n, int f), (s, a, n, f),
    EMFILE, -1)
WRAP(int, bind, (int s, csa_t a, socklen_t n), (s, a, n), EACCES, -1)
WRAP(int, listen, (int s, int n), (s, n), ENOBUFS, -1)
WRAP(int, connect, (int s, csa_t a, socklen_t n), (s, a, n), ENOBUFS, -1)
WRAP(int, mkdir, (const char *p, mode_t m), (p, m), ENOSPC, -1)
WRAP(int, mkfifo, (const char *p, mode_t m), (p, m), ENOSPC, -1)
WRAP(int, linkat, (int a, const char *p, int b, const char *q, int f),
    (a, p, b, q, f), ENOSPC, -1)
WRAP(int, renameat, (int a, const char *p, int b, const char *q),
    (a, p, b, q), ENOSPC, -1)
WRAP(int, fchmod, (int fd, mode_t m), (fd, m), EPERM, -1)
WRAP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g), EPERM, -1)
WRAP(int, memfd_create, (const char *p, unsigned f), (p, f), EMFILE, -1)
WRAP(void *, mmap, (void *a, size_t n, int p, int f, int fd, off_t o),
    (a, n, p, f, fd, o), ENOMEM, MAP_FAILED)
WRAP(pid_t, fork, (void), (), EAGAIN, -1)
WRAP(int, dup, (int fd), (fd), EMFILE, -1)
WRAP(int, dup2, (int a, int b), (a, b), EMFILE, -1)
WRAP(ssize_t, sendmsg, (int s, const struct msghdr *m, int f), (s, m, f),
    ENOBUFS, -1)
WRAP(ssize_t, recvmsg, (int s, struct msghdr *m, int f), (s, m, f), ENOMEM,
    -1)
WRAP(ssize_t, send, (int s, const void *p, size_t n, int f), (s, p, n, f),
    ENOBUFS, -1)
WRAP(ssize_t, recv, (int s, void *p, size_t n, int f), (s, p, n, f), ENOMEM,
    -1)
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n), EIO, -1)
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n), EIO, -1)
WRAP(ssize_t, readv, (int fd, iov_t p, int n), (fd, p, n), EIO, -1)
WRAP(ssize_t, writev, (int fd, iov_t p, int n), (fd, p, n), EIO, -1)
WRAP(ssize_t, preadv2, (int fd, iov_t p, int n, off_t o, int f),
    (fd, p, n, o, f), EIO, -1)
WRAP(ssize_t, pwritev2, (int fd, iov_t p, int n, off_t o, int f),
    (fd, p, n, o, f), EIO, -1)
WRAP(int, poll, (struct pollfd *p, nfds_t n, int t), (p, n, t), ENOMEM, -1)
WRAP(int, ppoll, (struct pollfd *p, nfds_t n, const struct timespec *t,
    const sigset_t *s), (p, n, t, s), ENOMEM, -1)
WRAP(int, getsockopt, (int s, int l, int o, void *v, socklen_t *n),
    (s, l, o, v, n), ENOBUFS, -1)
WRAP(int, setsockopt, (int s, int l, int o, const void *v, socklen_t n),
    (s, l, o, v, n), ENOBUFS, -1)
WRAP(int, getsockname, (int s, sa_t a, socklen_t *n), (s, a, n), ENOBUFS, -1)
WRAP(int, getpeername, (int s, sa_t a, socklen_t *n), (s, a, n), ENOBUFS, -1)

int __real_epoll_ctl(int, int, int, struct epoll_event *);
int __wrap_epoll_ctl(int, int, int, struct epoll_event *);
int __real_fcntl(int, int, ...);
int __wrap_fcntl(int, int, ...);
int __real_open(const char *, int, ...);
int __wrap_open(const char *, int, ...);
int __real_openat(int, const char *, int, ...);
int __wrap_openat(int, const char *, int, ...);

/* Taking out needs no memory and does not fail. */
int
__wrap_epoll_ctl(int ep, int op, int fd, struct epoll_event *event)
{
	if (op != EPOLL_CTL_DEL && fault("epoll_ctl")) {
		errno = ENOSPC;
		return -1;
	}
	return __real_epoll_ctl(ep, op, fd, event);
}

/* Asking and setting flags do not fail. */
int
__wrap_fcntl(int fd, int cmd, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (cmd != F_GETFD && cmd != F_SETFD && cmd != F_GETFL &&
	    cmd != F_SETFL && fault("fcntl")) {
		errno = cmd == F_DUPFD_CLOEXEC ? EMFILE : EPERM;
		return -1;
	}
	return __real_fcntl(fd, cmd, arg);
}

static unsigned
mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, unsigned) : 0;
}

int
__wrap_open(const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	if (fault("open")) {
		errno = EMFILE;
		return -1;
	}
	return __real_open(path, flags, mode);
}

int
__wrap_openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	unsigned mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	if (fault("openat")) {
		errno = EMFILE;
		return -1;
	}
	return __real_openat(dir, path, flags, mode);
}

/*
 * Operations: 0, or the error that was met; nothing open afterwards
 */

typedef int operation(void);

static char out[200000], in[200000];

/* A message and back, in steps, so that nobody waits for ever. */
static int
speak(struct ipc_channel *a, struct ipc_channel *b, size_t size)
{
	int rc = -EAGAIN;
	ssize_t n = -EAGAIN;
	double limit = now_ms() + 500;

	while (n == -EAGAIN && now_ms() < limit) {
		if (rc == -EAGAIN)
			rc = ipc_send(a, out, size, 0);
		if (rc < 0 && rc != -EAGAIN)
			return rc;
		n = ipc_recv(b, in, sizeof in, 0);
	}
	return n < 0 ? (int)n : rc;
}

static int
both_ways(struct ipc_channel *ch[2], size_t size)
{
	int rc = speak(ch[0], ch[1], size);

	return rc < 0 ? rc : speak(ch[1], ch[0], size);
}

static int
finish(struct ipc_channel *ch[2], int rc)
{
	ipc_close(ch[0]);
	ipc_close(ch[1]);
	return rc;
}

static int
make_pair(void)
{
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address(""), 0);

	return rc < 0 ? rc : finish(ch, both_ways(ch, 100));
}

static int
send_large(void)
{
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address("capacity=64k"), 0);

	return rc < 0 ? rc : finish(ch, both_ways(ch, sizeof out));
}

static int
wait_on_descriptors(void)
{
	struct ipc_channel *ch[2];
	int rc = ipc_pair(ch, address(""), 0);
	struct ipc_pollitem item = { .fd = -1, .events = POLLIN };

	if (rc < 0)
		return rc;
	if ((rc = ipc_fd(ch[0], IPC_RECV, NULL)) >= 0 &&
	    (rc = ipc_fd(ch[0], IPC_SEND, NULL)) >= 0 &&
	    (rc = ipc_send(ch[1], out, 10, 100)) >= 0) {
		item.channel = ch[0];
		rc = ipc_poll(&item, 1, 100);
		rc = rc < 0 ? rc : (int)ipc_recv(ch[0], in, 10, 100);
	}
	return finish(ch, rc < 0 ? rc : 0);
}

static int
pass_descriptors(void)
{
	struct ipc_channel *ch[2];
	int fds[2] = { STDIN_FILENO, STDOUT_FILENO }, got[2] = { -1, -1 };
	struct iovec iov = { out, 10 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = fds, .fd_count = 2 };
	int rc = ipc_pair(ch, address(""), 0);

	if (rc < 0)
		return rc;
	if ((rc = ipc_sendmsg(ch[0], &msg, 0, 100)) == 0) {
		iov.iov_base = in;
		msg.fds = got;
		rc = (int)ipc_recvmsg(ch[1], &msg, 0, 100);
		for (unsigned i = 0; rc >= 0 && i < msg.fd_count; i++)
			close(got[i]);
	}
	return finish(ch, rc < 0 ? rc : 0);
}

static int
show_and_reserve(void)
{
	struct ipc_channel *ch[2];
	const void *shown;
	void *data;
	int rc = ipc_pair(ch, address(""), 0);

	if (rc < 0)
		return rc;
	if ((rc = ipc_reserve(ch[0], &data, 1000, 100)) == 0 &&
	    (rc = ipc_commit(ch[0], 1000)) == 0 &&
	    (rc = (int)ipc_peek(ch[1], &shown, 100)) >= 0)
		rc = ipc_release(ch[1]);
	return finish(ch, rc);
}

static int
connect_and_accept(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	struct ipc_listener *l;
	char text[4096];
	int rc = ipc_listen(&l, address(""), 0), a = -EAGAIN;
	double limit = now_ms() + 1000;

	if (rc < 0)
		return rc;
	if ((rc = ipc_listener_address(l, text, sizeof text)) == 0)
		rc = ipc_connect(&ch[0], text, IPC_ASYNC, 500);
	if (rc < 0)
		ch[0] = NULL;
	while (rc == 0 && a < 0 && now_ms() < limit) {
		if ((a = ipc_accept(&ch[1], l, 5)) == 0)
			break;
		ch[1] = NULL;
		rc = (int)ipc_recv(ch[0], in, sizeof in, 0);
		rc = rc == -EAGAIN ? 0 : rc;
	}
	rc = rc < 0 ? rc : a < 0 ? a : both_ways(ch, 100);
	ipc_listener_close(l);
	return finish(ch, rc);
}

static int
open_object(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	char text[4096];
	int rc;

	strlcpy(text, address(""), sizeof text);
	rc = ipc_open(&ch[1], text, IPC_RECV | IPC_CREATE);
	if (rc < 0)
		return rc;
	if ((rc = ipc_open(&ch[0], text, IPC_SEND)) == 0)
		rc = speak(ch[0], ch[1], 100);
	else
		ch[0] = NULL;
	finish(ch, 0);
	while (ipc_unlink(text) < 0 && access(strchr(text, ':') + 1,
	    F_OK) == 0)
		continue;
	return rc;
}

static int
spawn_child(void)
{
	char *argv[] = { (char *)"true", NULL };
	struct ipc_channel *ch;
	pid_t pid;
	int rc = ipc_spawn(&ch, &pid, address(""), argv, 0), status;

	if (rc < 0)
		return rc;
	ipc_close(ch);
	waitpid(pid, &status, 0);
	return 0;
}

static int
adopt_pipe(void)
{
	struct ipc_channel *ch[2] = { NULL, NULL };
	int fd[2], rc;

	expect_sys(pipe(fd));
	if ((rc = ipc_adopt(&ch[1], "pipe:?boundary=message", fd[0], -1,
	    0)) < 0)
		close(fd[0]);
	if (rc < 0 || (rc = ipc_adopt(&ch[0], "pipe:?boundary=message", -1,
	    fd[1], 0)) < 0)
		close(fd[1]);
	return finish(ch, rc < 0 ? rc : speak(ch[0], ch[1], 100));
}

static int
join_two(void)
{
	struct ipc_channel *a[2], *b[2], *ch;
	int rc = ipc_pair(a, address(""), IPC_RECV);

	if (rc < 0)
		return rc;
	if ((rc = ipc_pair(b, address(""), IPC_RECV)) < 0)
		return finish(a, rc);
	if ((rc = ipc_join(&ch, a[0], b[1])) < 0) {
		finish(a, 0);
		return finish(b, rc);
	}
	rc = speak(a[1], ch, 100);
	rc = rc < 0 ? rc : speak(ch, b[0], 100);
	ipc_close(ch);
	return finish((struct ipc_channel *[]){ a[1], b[0] }, rc);
}

/*
 * Trying
 */

static void
note_left(const char *before, const char *when)
{
	char *after = NULL;
	const char *line;
	double limit = now_ms() + 1000;

	do {
		__real_free(after);
		after = left_list();
		line = left_difference(before, after);
	} while (line != NULL && now_ms() < limit && usleep(2000) == 0);
	if (line != NULL && report->text[0] == '\0')
		snprintf(report->text, sizeof report->text, "left %s: %s",
		    when, line);
}

/* The n-th call fails; afterwards all is well again. */
static _Noreturn void
try(operation *op, long n)
{
	char *before = left_list();
	int rc;

	alarm(15);
	atomic_store(&alive, 0);
	atomic_store(&countdown, n);
	(void)op();
	atomic_store(&countdown, 0);
	report->alive = atomic_load(&alive);
	alarm(0);
	note_left(before, "behind");
	alarm(15);
	if ((rc = op()) != 0 && report->text[0] == '\0')
		snprintf(report->text, sizeof report->text,
		    "done again: %s: %s", ipc_strerror(rc), ipc_errmsg());
	alarm(0);
	note_left(before, "by doing it again");
	_exit(0);
}

static void
in_a_child(operation *op, long n)
{
	int status;
	pid_t pid;

	memset(report, 0, sizeof *report);
	pid = __real_fork();
	expect_sys(pid);
	if (pid == 0)
		try(op, n);
	expect_sys(waitpid(pid, &status, 0));
	if (status != 0)
		snprintf(report->text, sizeof report->text,
		    "ended with status 0x%x", (unsigned)status);
	if (report->text[0] != '\0')
		ck_abort_msg("%s: with %s, call %ld, failing: %s", where(),
		    report->call, n, report->text);
}

/* What is allocated once and kept shows without a fault as well. */
static void
all_faults(int i, operation *op)
{
	long kept, n = 1;

	begin(i);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect_true(report != MAP_FAILED);
	in_a_child(op, 0);
	kept = report->alive;
	do {
		in_a_child(op, n);
		if (report->alive > kept)
			ck_abort_msg("%s: with %s, call %ld, failing: %ld "
			    "allocations left", where(), report->call, n,
			    report->alive - kept);
	} while (report->hit && n++ < FAULTS_MAX);
	expect_true(n > 1);
	munmap(report, sizeof *report);
}

#define FAULT_TEST(name, op)						\
	START_TEST(name)						\
	{								\
		all_faults(_i, op);					\
	}								\
	END_TEST

FAULT_TEST(a_pair_survives_each_fault, make_pair)
FAULT_TEST(a_large_message_survives_each_fault, send_large)
FAULT_TEST(waiting_survives_each_fault, wait_on_descriptors)
FAULT_TEST(passing_descriptors_survives_each_fault, pass_descriptors)
FAULT_TEST(working_in_place_survives_each_fault, show_and_reserve)
FAULT_TEST(a_session_survives_each_fault, connect_and_accept)
FAULT_TEST(an_opened_object_survives_each_fault, open_object)
FAULT_TEST(spawning_survives_each_fault, spawn_child)
FAULT_TEST(adopting_survives_each_fault, adopt_pipe)
FAULT_TEST(joining_survives_each_fault, join_two)

int
main(void)
{
	const unsigned sure = IPC_CAP_RELIABLE;
	TCase *tc;

	suite_open("faults");
	tc = tcase_open("faults", 60);
	for_each_case(tc, a_pair_survives_each_fault, PAIR, sure);
	for_each_case(tc, a_large_message_survives_each_fault, PAIR,
	    sure | IPC_CAP_LARGE);
	for_each_case(tc, waiting_survives_each_fault, PAIR,
	    sure | IPC_CAP_FD);
	for_each_case(tc, passing_descriptors_survives_each_fault, PAIR,
	    sure | IPC_CAP_FDS);
	for_each_case(tc, working_in_place_survives_each_fault, PAIR, sure);
	for_each_case(tc, a_session_survives_each_fault, SESSION, sure);
	for_each_case(tc, an_opened_object_survives_each_fault, OPEN, sure);
	for_each_case(tc, spawning_survives_each_fault, PAIR, sure | FORKS);
	for_each_case(tc, adopting_survives_each_fault, ADOPT, sure);
	for_each_case(tc, joining_survives_each_fault, PAIR, sure);
	return suite_close();
}
