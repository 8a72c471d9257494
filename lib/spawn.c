/* SPDX-License-Identifier: ISC */
/*
 * A child process at the other end.  The child's end travels like the halves
 * of a session, as an offer with tickets, only that the descriptors are
 * inherited and the bytes stand in the environment, in hexadecimal, behind the
 * pid that they are for:
 *
 *	IPC_CHANNEL=PID:LIFE:FD,FD,...:GREETING AND TICKETS
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends.h"
#include "greet.h"

#define VARIABLE	"IPC_CHANNEL"
#define PID_DIGITS	10
#define TEXT_SIZE	(sizeof VARIABLE + PID_DIGITS + 12 * (IPC__TICKETS + \
			    1) + 2 * IPC__OFFER_MAX + 8)

struct child {
	struct ipc_channel *end;
	char *const	   *argv;
	char		  **envp;	/* NULL with IPC_STDIO */
	char		   *pid_text;	/* to be filled in by the child */
	int		    stdio[2];	/* with it: its 0 and 1, or -1 */
	int		    fds[IPC__TICKETS + 1];
	unsigned	    fd_count;
	int		    report;	/* errno of a failed exec */
};

extern char **environ;

/*
 * In the child, between fork and exec: only what may be called there
 */

static void
give_up(const struct child *c, int err)
{
	if (write(c->report, &err, sizeof err) != sizeof err)
		_exit(126);
	_exit(127);
}

static void
keep_fds(const struct child *c)
{
	unsigned i;

	for (i = 0; i < c->fd_count; i++)
		if (fcntl(c->fds[i], F_SETFD, 0) == -1)
			give_up(c, errno);
}

/* Out of the way of 0 and 1 first, then to their places; a program that knows
 * nothing of us expects them to block. */
static void
place_stdio(struct child *c)
{
	int i, fl;

	for (i = 0; i < 2; i++)
		if (c->stdio[i] != -1 && (c->stdio[i] = fcntl(c->stdio[i],
		    F_DUPFD_CLOEXEC, 3)) == -1)
			give_up(c, errno);
	if (c->report < 2 && (c->report = fcntl(c->report, F_DUPFD_CLOEXEC,
	    3)) == -1)
		_exit(126);
	for (i = 0; i < 2; i++) {
		if (c->stdio[i] == -1)
			continue;
		if ((fl = fcntl(c->stdio[i], F_GETFL)) == -1 ||
		    fcntl(c->stdio[i], F_SETFL, fl & ~O_NONBLOCK) == -1 ||
		    dup2(c->stdio[i], i) == -1)
			give_up(c, errno);
	}
}

static void
put_pid(char *text)
{
	pid_t pid = getpid();
	int i;

	for (i = PID_DIGITS - 1; i >= 0; i--, pid /= 10)
		text[i] = (char)('0' + pid % 10);
}

static void
become(struct child *c)
{
	if (c->envp != NULL) {
		put_pid(c->pid_text);
		keep_fds(c);
		execvpe(c->argv[0], c->argv, c->envp);
	} else {
		place_stdio(c);
		execvp(c->argv[0], c->argv);
	}
	give_up(c, errno);
}

/*
 * In the parent
 */

static char *
put_hex(char *to, const unsigned char *p, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < size; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	*to = 0;
	return to;
}

static void
describe(const struct ipc_channel *ch, struct ipc__greeting *g)
{
	memset(g, 0, sizeof *g);
	g->kind = IPC__OFFER;
	g->boundary = ch->boundary;
	g->dir = ch->dir;
	g->half = ch->half_duplex;
	g->max_message = (uint32_t)ch->address.opt.max_message;
	g->capacity = ch->address.opt.capacity;
	strncpy(g->scheme, ch->be->mechanism.scheme, sizeof g->scheme - 1);
}

/* The offer, and the descriptors that it speaks of. */
static int
make_offer(struct child *c, unsigned char *p, size_t *size, int *life)
{
	struct ipc_channel *end = c->end;
	struct ipc__link l = { .rx = { NULL, end->in.half },
	    .tx = { NULL, end->out.half } };
	struct ipc__life *line = end->in.half ? end->in.life : end->out.life;
	struct ipc__greeting g;
	int rc;

	describe(end, &g);
	*size = IPC__GREETING;
	if ((rc = ipc__tickets_give(&l, p, size, c->fds, &c->fd_count,
	    &g)) < 0)
		return rc;
	ipc__greeting_put(p, &g);
	*life = -1;
	if (line != NULL)
		*life = c->fds[c->fd_count++] = line->fd;
	return 0;
}

static int
make_text(struct child *c, char *text)
{
	unsigned char p[IPC__OFFER_MAX];
	unsigned i, n;
	size_t size;
	int life, rc;
	char *to;

	if ((rc = make_offer(c, p, &size, &life)) < 0)
		return rc;
	n = c->fd_count - (life != -1);
	to = text + sprintf(text, VARIABLE "=%0*d:%d:", PID_DIGITS, 0, life);
	for (i = 0; i < n; i++)
		to += sprintf(to, i ? ",%d" : "%d", c->fds[i]);
	*to++ = ':';
	put_hex(to, p, size);
	c->pid_text = text + sizeof VARIABLE;
	return 0;
}

/* The environment with our variable in the place of an older one. */
static int
make_environment(struct child *c)
{
	size_t i, n = 0, used = 0;
	char *text;
	int rc;

	while (environ != NULL && environ[n] != NULL)
		n++;
	c->envp = malloc((n + 2) * sizeof *c->envp + TEXT_SIZE);
	if (c->envp == NULL)
		return ipc__fail(ENOMEM, "no memory for an environment");
	text = (char *)(c->envp + n + 2);
	if ((rc = make_text(c, text)) < 0)
		return rc;
	for (i = 0; i < n; i++)
		if (strncmp(environ[i], VARIABLE "=", sizeof VARIABLE) != 0)
			c->envp[used++] = environ[i];
	c->envp[used++] = text;
	c->envp[used] = NULL;
	return 0;
}

static int
wants_bytes(const struct ipc_channel *ch)
{
	if (ch->be->traits & IPC__BYTES)
		return 0;
	return ipc__fail(EINVAL, "IPC_STDIO: %s is no byte stream that a "
	    "program could have as its 0 and 1", ch->be->mechanism.scheme);
}

static int
prepare(struct child *c, int flags)
{
	struct ipc_channel *end = c->end;
	int rc;

	if (end->be->traits & IPC__INPROC)
		return ipc__fail(EOPNOTSUPP, "%s: does not reach into another "
		    "process", end->be->mechanism.scheme);
	if (!(flags & IPC_STDIO))
		return make_environment(c);
	if ((rc = wants_bytes(end)) < 0)
		return rc;
	c->stdio[0] = end->dir & IPC_RECV ? end->in.half->fd : -1;
	c->stdio[1] = end->dir & IPC_SEND ? end->out.half->fd : -1;
	return 0;
}

/* Waits until the child has become the program, or says why it could not. */
static int
hear(int report, const char *program)
{
	ssize_t n;
	int err;

	do
		n = read(report, &err, sizeof err);
	while (n == -1 && errno == EINTR);
	return n == sizeof err ? ipc__fail(err, "exec %s: %s", program,
	    ipc_strerror(-err)) : 0;
}

static int
start(struct child *c, pid_t *pid)
{
	int fds[2], rc, status;

	if (pipe2(fds, O_CLOEXEC) == -1)
		return ipc__fail_sys("pipe2");
	c->report = fds[1];
	ipc__fork_own(true);
	*pid = fork();
	if (*pid == 0)
		become(c);
	rc = *pid == -1 ? ipc__fail_sys("fork") : 0;
	ipc__fork_own(false);
	close(fds[1]);
	if (rc == 0 && (rc = hear(fds[0], c->argv[0])) < 0)
		while (waitpid(*pid, &status, 0) == -1 && errno == EINTR)
			;
	close(fds[0]);
	return rc;
}

/* boundary=stream is what a program's 0 and 1 are. */
static char *
stdio_address(const char *address)
{
	char *text = malloc(strlen(address) + 32);

	if (text == NULL)
		return NULL;
	strcpy(text, address);
	if (strstr(address, "boundary=") == NULL)
		strcat(strcat(text, strchr(text, '?') ? "&" : "?"),
		    "boundary=stream");
	return text;
}

/* Parent's end first. */
static int
make_ends(struct ipc_channel *ends[2], const char *address, int flags)
{
	char *text = flags & IPC_STDIO ? stdio_address(address) : NULL;
	struct ipc_channel *swap;
	int rc;

	if (flags & IPC_STDIO && text == NULL)
		return ipc__fail(ENOMEM, "no memory for an address");
	rc = ipc__pair(ends, text ? text : address,
	    flags & (IPC_DUPLEX | IPC_HALF_DUPLEX), true);
	free(text);
	if (rc == 0 && (flags & IPC_DUPLEX) == IPC_SEND) {
		swap = ends[0];
		ends[0] = ends[1];
		ends[1] = swap;
	}
	return rc;
}

/* There is no child that could take its end. */
static void
drop_ends(struct ipc_channel *ends[2])
{
	if (ends[0]->in.half != NULL)
		ends[0]->in.half->refused = true;
	if (ends[0]->out.half != NULL)
		ends[0]->out.half->refused = true;
	ipc__channel_free(ends[1], true);
	ipc__channel_free(ends[0], true);
}

int
ipc_spawn(struct ipc_channel **ch, pid_t *child, const char *address,
    char *const argv[], int flags)
{
	struct child c = { .argv = argv, .stdio = { -1, -1 } };
	struct ipc_channel *ends[2];
	pid_t pid = -1;
	int rc;

	if (ch == NULL || child == NULL || address == NULL || argv == NULL ||
	    argv[0] == NULL || flags & ~(IPC_DUPLEX | IPC_HALF_DUPLEX |
	    IPC_STDIO))
		return ipc__fail(EINVAL, "ipc_spawn: an address, a program, "
		    "and flags out of directions, IPC_HALF_DUPLEX, IPC_STDIO");
	if ((rc = make_ends(ends, address, flags)) < 0)
		return rc;
	c.end = ends[1];
	if ((rc = prepare(&c, flags)) == 0)
		rc = start(&c, &pid);
	free(c.envp);
	if (rc < 0) {
		rc = ipc__fail_at(address, rc);
		drop_ends(ends);
		return rc;
	}
	ipc__be_passed(ends[0]->in.half, pid);
	ipc__be_passed(ends[0]->out.half, pid);
	if (ends[1]->in.half != NULL)
		ipc__be_given(ends[1]->in.half);
	if (ends[1]->out.half != NULL && ends[1]->out.half !=
	    ends[1]->in.half)
		ipc__be_given(ends[1]->out.half);
	ipc__channel_free(ends[1], false);
	/* By fork's word, whatever the mechanism knows. */
	ends[0]->peer = (struct ipc_peer){ sizeof ends[0]->peer, pid,
	    geteuid(), getegid() };
	*child = pid;
	*ch = ends[0];
	return 0;
}

/*
 * In the program that the child has become
 */

struct inherited {
	long	pid;
	int	life;
	struct ipc__greeter g;
};

static int
hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
get_hex(struct ipc__greeter *g, const char *p)
{
	for (; p[0] != 0; p += 2) {
		if (hex(p[0]) < 0 || hex(p[1]) < 0 || g->got == sizeof g->buf)
			return false;
		g->buf[g->got++] = (unsigned char)(hex(p[0]) << 4 | hex(p[1]));
	}
	return g->got >= IPC__GREETING;
}

static bool
get_number(const char **p, long min, char end, long *n)
{
	char *rest;

	errno = 0;
	*n = strtol(*p, &rest, 10);
	if (rest == *p || errno != 0 || *n < min || *n > INT_MAX ||
	    (*rest != end && !(end == ',' && *rest == ':')))
		return false;
	*p = rest + 1;
	return true;
}

static bool
get_text(struct inherited *in, const char *p)
{
	long n;

	if (!get_number(&p, 1, ':', &in->pid) ||
	    !get_number(&p, -1, ':', &n))
		return false;
	in->life = (int)n;
	do {
		if (in->g.fd_count == IPC__TICKETS ||
		    !get_number(&p, 0, ',', &n))
			return false;
		in->g.fds[in->g.fd_count++] = (int)n;
	} while (p[-1] == ',');
	return get_hex(&in->g, p);
}

/* They are there, and nobody after us inherits them. */
static int
check_fds(struct inherited *in)
{
	unsigned i;

	for (i = 0; i < in->g.fd_count; i++)
		if (fcntl(in->g.fds[i], F_SETFD, FD_CLOEXEC) == -1)
			return ipc__fail(errno, VARIABLE ": descriptor %d: %s",
			    in->g.fds[i], ipc_strerror(-errno));
	if (in->life != -1 && fcntl(in->life, F_SETFD, FD_CLOEXEC) == -1)
		return ipc__fail(errno, VARIABLE ": descriptor %d: %s",
		    in->life, ipc_strerror(-errno));
	return 0;
}

static int
new_channel(struct ipc_channel **ch, const struct ipc__greeting *g)
{
	struct ipc__address a;
	char text[32];
	int rc;

	snprintf(text, sizeof text, "%s:", g->scheme);
	if ((rc = ipc__address_parse(&a, text, IPC_WAY_PAIR)) < 0)
		return rc;
	a.opt.max_message = g->max_message;
	a.opt.capacity = g->capacity;
	if ((rc = ipc__channel_new(ch, &a, IPC_WAY_PAIR, g->dir |
	    (g->half ? IPC_HALF_DUPLEX : 0), g->boundary)) < 0)
		ipc__address_free(&a);
	return rc;
}

static void
parent_peer(struct ipc_channel *ch, int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred cred;

	if (fd != -1 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred,
	    &len) == 0)
		ch->peer = (struct ipc_peer){ sizeof ch->peer, cred.pid,
		    cred.uid, cred.gid };
}

static int
build(struct ipc_channel **out, struct inherited *in,
    const struct ipc__greeting *g)
{
	struct ipc_channel *ch;
	struct ipc__link l;
	int rc;

	if ((rc = new_channel(&ch, g)) < 0)
		return rc;
	parent_peer(ch, in->life);
	rc = ipc__tickets_take(&l, ch->be, ch->dir, &in->g, g);
	if (rc == 0 && in->life != -1 &&
	    (rc = ipc__life_new(&l.life[1], in->life)) < 0)
		ipc__link_drop(&l, true);
	if (rc < 0) {
		ipc__channel_free(ch, false);
		return rc;
	}
	in->life = -1;
	ipc__attach_end(ch, &l, 1);
	*out = ch;
	return 0;
}

static int
inherit(struct ipc_channel **ch, const char *text)
{
	struct inherited in = { .life = -1 };
	struct ipc__greeting g;
	int rc;

	ipc__greeter_init(&in.g);
	if (!get_text(&in, text) || !ipc__greeting_get(in.g.buf, &g) ||
	    g.max_message == 0 || g.dir == 0 || g.boundary == 0)
		return ipc__fail(EBADMSG, VARIABLE ": it is garbled");
	if (in.pid != getpid())
		return ipc__fail(ENOENT, VARIABLE " is for process %ld, and "
		    "this is %ld", in.pid, (long)getpid());
	if ((rc = check_fds(&in)) < 0)
		return rc;
	unsetenv(VARIABLE);
	rc = build(ch, &in, &g);
	ipc__greeter_close_fds(&in.g);
	if (in.life != -1)
		close(in.life);
	return rc;
}

int
ipc_inherit(struct ipc_channel **ch)
{
	const char *text = getenv(VARIABLE);

	if (ch == NULL)
		return ipc__fail(EINVAL, "ipc_inherit: no place for the "
		    "channel");
	if (text == NULL)
		return ipc__fail(ENOENT, "no channel was passed to this "
		    "process (" VARIABLE ")");
	return inherit(ch, text);
}
