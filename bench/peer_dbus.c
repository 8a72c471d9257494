/* SPDX-License-Identifier: ISC */
/* LIBS: dbus-1 */
/* PACKAGES: libdbus-1-dev dbus-daemon */
/*
 * D-Bus, through a daemon of its own: messages that want no reply, from one
 * client of it to the other, and calls.  The daemon may run on any processor,
 * and what it uses is in no figure but the time.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <dbus/dbus.h>

#include "subject.h"

#define NAME		"org.ipc.Bench%u"	/* of a side */
#define PATH		"/org/ipc/Bench"
#define INTERFACE	"org.ipc.Bench"
#define METHOD		"Echo"
#define MANY		64		/* calls under way, at most */
#define FOREVER		DBUS_TIMEOUT_INFINITE

struct daemon {
	pid_t	pid;
	char	address[512];
};

struct bus_end {
	DBusConnection	*connection;
	char		 other[40];	/* the name of the other side */
	DBusMessage	*shown;		/* by peek */
};

/*
 * The daemon
 */

/* The child of the fork. */
static _Noreturn void
be_daemon(const struct link *l, int out)
{
	char address[256], path[200], print[40];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	cpu_set_t all;

	/* That it may not have more descriptors, it says each time. */
	if (null >= 0)
		dup2(null, STDERR_FILENO);
	/* It goes when side 0 goes, however that ends. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memset(&all, 0xff, sizeof all);
	sched_setaffinity(0, sizeof all, &all);
	subject_path(l, "dbus", path, sizeof path);
	snprintf(address, sizeof address, "--address=unix:path=%s", path);
	snprintf(print, sizeof print, "--print-address=%d", out);
	execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork",
	    "--nopidfile", address, print, (char *)NULL);
	_exit(127);
}

/* A line, once it is ready. */
static int
read_address(int fd, struct daemon *d)
{
	size_t got = 0;
	ssize_t n = 0;

	while (got < sizeof d->address - 1 && (n = read(fd, d->address + got,
	    sizeof d->address - 1 - got)) > 0) {
		got += (size_t)n;
		if (memchr(d->address, '\n', got))
			break;
	}
	d->address[got] = '\0';
	d->address[strcspn(d->address, "\n")] = '\0';
	return *d->address ? 0 : subject_fail(ENOENT, "dbus-daemon");
}

static void
stop_daemon(struct link *l)
{
	struct daemon *d = l->state;

	if (!d || d->pid <= 0)
		return;
	kill(d->pid, SIGTERM);
	while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int
start_daemon(struct link *l)
{
	struct daemon *d = calloc(1, sizeof *d);
	int fds[2], rc;

	l->state = d;
	if (!d)
		return subject_fail(ENOMEM, "daemon");
	if (pipe(fds) < 0)
		return subject_fail(errno, "pipe");
	fcntl(fds[0], F_SETFD, FD_CLOEXEC);
	d->pid = fork();
	if (d->pid == 0)
		be_daemon(l, fds[1]);
	close(fds[1]);
	rc = d->pid < 0 ? subject_fail(errno, "fork") :
	    read_address(fds[0], d);
	close(fds[0]);
	if (rc < 0)
		stop_daemon(l);
	return rc;
}

/*
 * Its clients
 */

static int
failed(const char *what, DBusError *error)
{
	subject_fail(0, "%s: %s", what, error->message);
	dbus_error_free(error);
	return -EPROTO;
}

static int
bus_attach(struct link *l, int side, void **end)
{
	struct bus_end *e = calloc(1, sizeof *e);
	struct daemon *d = l->state;
	DBusError error = DBUS_ERROR_INIT;
	char name[40];

	if (!e)
		return subject_fail(ENOMEM, "connection");
	*end = e;
	snprintf(name, sizeof name, NAME, (unsigned)side);
	snprintf(e->other, sizeof e->other, NAME, (unsigned)!side);
	e->connection = dbus_connection_open_private(d->address, &error);
	if (!e->connection)
		return failed("connection", &error);
	dbus_connection_set_exit_on_disconnect(e->connection, FALSE);
	if (!dbus_bus_register(e->connection, &error))
		return failed("register", &error);
	if (dbus_bus_request_name(e->connection, name, 0, &error) < 0)
		return failed(name, &error);
	/* Who calls too early gets an error for an answer. */
	while (!dbus_bus_name_has_owner(e->connection, e->other, &error)) {
		if (dbus_error_is_set(&error))
			return failed(e->other, &error);
		usleep(100);
	}
	return 0;
}

static void
bus_detach(void *end)
{
	struct bus_end *e = end;

	dbus_connection_close(e->connection);
	dbus_connection_unref(e->connection);
	free(e);
}

/* Bytes as an argument; none: no argument. */
static bool
put(DBusMessage *m, const void *data, size_t size)
{
	return size == 0 || dbus_message_append_args(m, DBUS_TYPE_ARRAY,
	    DBUS_TYPE_BYTE, &data, (int)size, DBUS_TYPE_INVALID);
}

/* Where they lie. */
static ssize_t
get(DBusMessage *m, const void **data)
{
	DBusMessageIter iter, array;
	int n = 0;

	*data = "";
	if (!dbus_message_iter_init(m, &iter))
		return 0;
	if (dbus_message_iter_get_arg_type(&iter) != DBUS_TYPE_ARRAY)
		return subject_fail(EBADMSG, "no array of bytes");
	dbus_message_iter_recurse(&iter, &array);
	dbus_message_iter_get_fixed_array(&array, data, &n);
	return n;
}

static DBusMessage *
new_call(const struct bus_end *e, const void *data, size_t size)
{
	DBusMessage *m = dbus_message_new_method_call(e->other, PATH,
	    INTERFACE, METHOD);

	if (m && !put(m, data, size)) {
		dbus_message_unref(m);
		m = NULL;
	}
	return m;
}

/* The next call to this side; NULL: the daemon is gone. */
static DBusMessage *
next_call(struct bus_end *e)
{
	DBusMessage *m = NULL;

	while (!m) {
		m = dbus_connection_pop_message(e->connection);
		if (!m && !dbus_connection_read_write(e->connection, -1))
			break;
		/* The daemon itself has things to say as well. */
		if (m && !dbus_message_is_method_call(m, INTERFACE, METHOD)) {
			dbus_message_unref(m);
			m = NULL;
		}
	}
	return m;
}

/*
 * Messages
 */

static int
bus_send(void *end, const void *data, size_t size)
{
	struct bus_end *e = end;
	DBusMessage *m = new_call(e, data, size);
	bool sent;

	if (!m)
		return subject_fail(ENOMEM, "message");
	dbus_message_set_no_reply(m, TRUE);
	sent = dbus_connection_send(e->connection, m, NULL);
	dbus_message_unref(m);
	if (!sent)
		return subject_fail(ENOMEM, "message");
	dbus_connection_flush(e->connection);
	return 0;
}

static ssize_t
bus_peek(void *end, const void **data)
{
	struct bus_end *e = end;

	e->shown = next_call(e);
	return e->shown ? get(e->shown, data) :
	    subject_fail(EPIPE, "dbus-daemon");
}

static int
bus_release(void *end)
{
	dbus_message_unref(((struct bus_end *)end)->shown);
	return 0;
}

static ssize_t
bus_recv(void *end, void *buffer, size_t size)
{
	const void *data = "";
	ssize_t n = bus_peek(end, &data);

	if (n < 0)
		return n;
	if (n > 0)
		memcpy(buffer, data, (size_t)n < size ? (size_t)n : size);
	bus_release(end);
	return n;
}

/*
 * Calls
 */

/* Copies the bytes of an answer; its length. */
static ssize_t
answer(DBusMessage *m, void *buffer, size_t size)
{
	const void *data;
	ssize_t n;

	if (dbus_message_get_type(m) == DBUS_MESSAGE_TYPE_ERROR)
		return subject_fail(0, "%s", dbus_message_get_error_name(m)),
		    -EPROTO;
	n = get(m, &data);
	if (n > 0 && (size_t)n <= size)
		memcpy(buffer, data, (size_t)n);
	return n;
}

static ssize_t
bus_call(void *end, const void *data, size_t size, void *buffer)
{
	struct bus_end *e = end;
	DBusMessage *m = new_call(e, data, size), *reply;
	DBusError error = DBUS_ERROR_INIT;
	ssize_t n;

	if (!m)
		return subject_fail(ENOMEM, "call");
	reply = dbus_connection_send_with_reply_and_block(e->connection, m,
	    FOREVER, &error);
	dbus_message_unref(m);
	if (!reply)
		return failed("call", &error);
	n = answer(reply, buffer, size);
	dbus_message_unref(reply);
	return n;
}

/* One of many; NULL: no memory, or no daemon. */
static DBusPendingCall *
start(struct bus_end *e)
{
	DBusMessage *m = new_call(e, "", 0);
	DBusPendingCall *pending = NULL;

	if (!m)
		return NULL;
	if (!dbus_connection_send_with_reply(e->connection, m, &pending,
	    FOREVER))
		pending = NULL;
	dbus_message_unref(m);
	return pending;
}

static int
finish(DBusPendingCall *pending)
{
	DBusMessage *reply;
	ssize_t n;

	dbus_pending_call_block(pending);
	reply = dbus_pending_call_steal_reply(pending);
	dbus_pending_call_unref(pending);
	if (!reply)
		return subject_fail(EBADMSG, "no reply");
	n = answer(reply, NULL, 0);
	dbus_message_unref(reply);
	return n <= 0 ? (int)n : subject_fail(EBADMSG, "bytes of %zd", n);
}

static int
bus_call_many(void *end, int count)
{
	struct bus_end *e = end;
	DBusPendingCall *pending[MANY];
	int rc = 0;

	if (count > MANY)
		return subject_fail(EINVAL, "%d calls", count);
	for (int i = 0; i < count; i++) {
		pending[i] = start(e);
		if (!pending[i])
			return subject_fail(ENOMEM, "call");
	}
	dbus_connection_flush(e->connection);
	for (int i = 0; rc >= 0 && i < count; i++)
		rc = finish(pending[i]);
	return rc;
}

static int
reply_to(struct bus_end *e, DBusMessage *call, const void *data, size_t size)
{
	DBusMessage *m = dbus_message_new_method_return(call);
	bool sent = m && put(m, data, size) &&
	    dbus_connection_send(e->connection, m, NULL);

	if (m)
		dbus_message_unref(m);
	return sent ? 0 : subject_fail(ENOMEM, "reply");
}

/* Replies are written when all calls that came have been served. */
static int
bus_serve(void *end, struct subject_work *work)
{
	struct bus_end *e = end;
	const void *data = NULL;
	bool more = true;
	int rc = 0;

	while (rc >= 0 && more) {
		DBusMessage *m = next_call(e);
		ssize_t n = m ? get(m, &data) :
		    subject_fail(EPIPE, "dbus-daemon");

		if (n < 0)
			return (int)n;
		more = subject_served(work, data, (size_t)n);
		rc = reply_to(e, m, data, (size_t)n);
		dbus_message_unref(m);
		if (!more || dbus_connection_get_dispatch_status(
		    e->connection) == DBUS_DISPATCH_COMPLETE)
			dbus_connection_flush(e->connection);
	}
	return rc;
}

static const struct subject messages = {
	.name = "D-Bus message",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.prepare = start_daemon,
	.attach = bus_attach,
	.send = bus_send,
	.recv = bus_recv,
	.peek = bus_peek,
	.release = bus_release,
	.detach = bus_detach,
	.clean = stop_daemon
};

static const struct subject calls = {
	.name = "D-Bus call",
	.kind = SUBJECT_PEER,
	.traits = SUBJECT_HEAVY,
	.prepare = start_daemon,
	.attach = bus_attach,
	.call = bus_call,
	.call_many = bus_call_many,
	.serve = bus_serve,
	.detach = bus_detach,
	.clean = stop_daemon
};

SUBJECT_PEERS(peer_dbus);
const struct subject *const peer_dbus[] = { &messages, &calls, NULL };
