/* SPDX-License-Identifier: ISC */
/*
 * local: between a process here and one in a container: one that has user,
 * mount, IPC and pid namespaces of its own, and perhaps another user, or no
 * leave to map shared memory or to make it.  Whatever becomes of it, the same
 * calls do the same; only ipc_info() tells the difference.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>

#include <ipc/ipc.h>

#include "names.h"
#include "suite.h"

#define SOON		10000
#define LARGE		(3 << 20)

/* What the container may not do, and what comes of it. */
enum lack { NOTHING, MAPPING, ADDRESS_SPACE, MAKING, BARRIERS };

static const struct kind {
	const char	*scheme;
	enum lack	 lack;
	bool		 foreign;	/* another user, too */
	const char	*client;	/* chosen if it connects; or listens */
	const char	*listener;
} kinds[] = {
	{ "local", NOTHING, false, "memfd", "memfd" },
	{ "local", NOTHING, true, "memfd", "memfd" },
	{ "local", MAPPING, false, "unix", "unix" },
	{ "local", MAPPING, true, "unix", "unix" },
	{ "local", ADDRESS_SPACE, false, "unix", "unix" },
	{ "local", MAKING, false, "memfd", "unix" },
	{ "local", BARRIERS, false, "unix", "memfd" },
	{ "shm", NOTHING, false, "memfd", "memfd" },
	{ "shm", NOTHING, true, "memfd", "memfd" }
};
#define KINDS	((int)(sizeof kinds / sizeof kinds[0]))

static const struct kind *kind;
static char address[200];
static const char *expected;		/* mechanism */

/*
 * The container
 */

static void
write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	must(fd != -1);
	must(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* Root there is this user here. */
static void
map_user(uid_t uid, gid_t gid)
{
	char text[40];

	write_to("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "0 %u 1", (unsigned)uid);
	write_to("/proc/self/uid_map", text);
	snprintf(text, sizeof text, "0 %u 1", (unsigned)gid);
	write_to("/proc/self/gid_map", text);
}

static bool
enter_namespaces(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC |
	    CLONE_NEWPID) == 0;
}

/* One call, if this of its arguments has these bits, is EPERM. */
static void
forbid(long call, unsigned argument, uint32_t bits)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, args) + 8 * argument),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	};
	struct sock_fprog program = { 6, code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* What there is already, and little more. */
static void
limit_memory(void)
{
	unsigned long pages;
	struct rlimit r;
	FILE *f = fopen("/proc/self/statm", "re");

	must(f != NULL && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	r.rlim_cur = r.rlim_max = pages * 4096 + (1 << 20);
	must(setrlimit(RLIMIT_AS, &r) == 0);
}

static void
lack(void)
{
	switch (kind->lack) {
	case MAPPING:
		forbid(SYS_mmap, 3, MAP_SHARED);
		break;
	case ADDRESS_SPACE:
		limit_memory();
		break;
	case MAKING:
		forbid(SYS_memfd_create, 1, UINT32_MAX);
		break;
	case BARRIERS:
		forbid(SYS_membarrier, 0, UINT32_MAX);
		break;
	default:
		break;
	}
}

/* Its first process: pid 1 there, with a /proc, a /dev/shm and a runtime
 * directory of its own. */
static void
furnish(void)
{
	must(getpid() == 1);
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	must(mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0);
	(void)mount("proc", "/proc", "proc", 0, NULL);
	must(mount("tmpfs", in_top("inside"), "tmpfs", 0, "mode=0700") == 0);
	must(setenv("IPC_RUNTIME_DIR", in_top("inside/run"), 1) == 0);
}

/* f() in such a container. */
static void
contained(void (*f)(void))
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int status;
	pid_t pid;

	if (kind->foreign) {
		become(NOBODY);
		uid = gid = NOBODY;
		/* Its files in /proc are root's otherwise. */
		must(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0);
	}
	must(enter_namespaces());
	map_user(uid, gid);
	pid = fork();
	must(pid != -1);
	if (pid == 0) {
		furnish();
		lack();
		f();
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 100);
}

static bool
can_contain(bool foreign)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (foreign && setresuid(NOBODY, NOBODY, NOBODY) != 0)
			_exit(1);
		_exit(enter_namespaces() ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (status != 0)
		fprintf(stderr, "NOT TESTED HERE: a container %s(wants %s)\n",
		    foreign ? "of another user " : "",
		    foreign ? "root" : "user namespaces");
	return status == 0;
}

/*
 * What both sides do
 */

static unsigned char large[LARGE];

static void
check_info(struct ipc_channel *ch)
{
	struct ipc_info info = { .struct_size = sizeof info };
	bool ring;

	must(ipc_info(ch, &info) == 0);
	if (strcmp(info.scheme, expected) != 0)
		fprintf(stderr, "%s where %s is due\n", info.scheme, expected);
	must(strcmp(info.scheme, expected) == 0);
	ring = strcmp(expected, "unix") != 0;
	must(!!(info.caps & IPC_CAP_INPLACE) == ring);
	must(info.boundary == IPC_MESSAGE && info.direction == IPC_DUPLEX);
}

/* Whatever it is, all of these go. */
static void
talk_first(struct ipc_channel *ch)
{
	struct iovec iov = { (void *)(uintptr_t)"fd", 2 };
	struct ipc_msg msg = { .struct_size = sizeof msg, .iov = &iov,
	    .iov_count = 1, .fds = (int[]){ -1 }, .fd_count = 1 };
	char in[64];
	void *room;
	int p[2];

	for (int i = 0; i < 2000; i++) {
		must(ipc_send(ch, &i, sizeof i, SOON) == 0);
		must(ipc_recv(ch, in, sizeof in, SOON) == sizeof i);
		must(memcmp(in, &i, sizeof i) == 0);
	}
	memset(large, 'l', sizeof large);
	must(ipc_send(ch, large, sizeof large, SOON) == 0);
	must(ipc_recv(ch, in, sizeof in, SOON) == 5);
	must(ipc_reserve(ch, &room, 100, SOON) == 0);
	memset(room, 'r', 100);
	must(ipc_commit(ch, 100) == 0);
	must(pipe2(p, O_CLOEXEC) == 0);
	msg.fds[0] = p[1];
	must(ipc_sendmsg(ch, &msg, 0, SOON) == 0);
	close(p[1]);
	must(read(p[0], in, 5) == 5 && memcmp(in, "piped", 5) == 0);
	close(p[0]);
}

static void
talk_second(struct ipc_channel *ch)
{
	struct ipc_msg msg = { .struct_size = sizeof msg };
	char in[200];
	struct iovec iov = { in, sizeof in };
	const void *data;
	int fd = -1;

	for (int i = 0; i < 2000; i++) {
		must(ipc_recv(ch, in, sizeof in, SOON) == sizeof i);
		must(ipc_send(ch, in, sizeof i, SOON) == 0);
	}
	must(ipc_recv(ch, large, sizeof large, SOON) == sizeof large);
	must(large[0] == 'l' && large[LARGE - 1] == 'l');
	must(ipc_send(ch, "large", 5, SOON) == 0);
	must(ipc_peek(ch, &data, SOON) == 100);
	must(memcmp(data, "rrrr", 4) == 0);
	must(ipc_release(ch) == 0);
	msg.iov = &iov;
	msg.iov_count = 1;
	msg.fds = &fd;
	msg.fd_count = 1;
	must(ipc_recvmsg(ch, &msg, 0, SOON) == 2);
	must(msg.fd_count == 1 && write(fd, "piped", 5) == 5);
	close(fd);
}

/* Asleep by its descriptor, and told. */
static void
await(struct ipc_channel *ch, int rc)
{
	struct pollfd p = { ipc_fd(ch, IPC_RECV, NULL), POLLIN, 0 };
	ssize_t got = -EAGAIN;
	char in[8];

	must(p.fd >= 0);
	for (int i = 0; i < 3 && got == -EAGAIN; i++) {
		must(poll(&p, 1, SOON) == 1);
		got = ipc_recv(ch, in, sizeof in, 0);
	}
	must(got == rc);
}

static void
be_client(void)
{
	struct ipc_channel *ch;

	must(ipc_connect(&ch, address, 0, SOON) == 0);
	check_info(ch);
	talk_first(ch);
	talk_second(ch);
	pause_us(20000);
	must(ipc_send(ch, "woken", 5, SOON) == 0);
	await(ch, -EPIPE);
	must(ipc_close(ch) == 0);
	/* And then one that is killed while the other side sleeps. */
	must(ipc_connect(&ch, address, 0, SOON) == 0);
	pause_us(20000);
	syscall(SYS_exit_group, 7);
}

static void
serve_clients(struct ipc_listener *l)
{
	struct ipc_peer peer = { .struct_size = sizeof peer };
	struct ipc_channel *ch;

	must(ipc_accept(&ch, l, SOON) == 0);
	check_info(ch);
	must(ipc_peer(ch, &peer) == 0);
	talk_second(ch);
	talk_first(ch);
	await(ch, 5);
	must(ipc_close(ch) == 0);
	must(ipc_accept(&ch, l, SOON) == 0);
	await(ch, -ECONNRESET);
	must(ipc_close(ch) == 0);
	must(ipc_listener_close(l) == 0);
}

static void
be_listener(void)
{
	struct ipc_listener *l;

	must(ipc_listen(&l, address, 0) == 0);
	serve_clients(l);
}

/*
 * The tests
 */

static void
setup(void)
{
	names_setup();
	ck_assert_int_eq(mkdir(runtime, 0700), 0);
	ck_assert_int_eq(mkdir(in_top("inside"), 0755), 0);
	ck_assert_int_eq(mkdir(in_top("meet"), 0755), 0);
	ck_assert_int_eq(chmod(in_top("meet"), 01777), 0);
}

/* false: it can not be tried here. */
static bool
begin(int number)
{
	kind = &kinds[number];
	snprintf(address, sizeof address, "%s:door?at=%s&mode=0666",
	    kind->scheme, in_top("meet/door"));
	return can_contain(kind->foreign);
}

static int
status_of(pid_t pid)
{
	int status = wait_for(pid);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(a_client_in_a_container_talks_as_any)
{
	struct ipc_listener *l;
	pid_t server, client;

	if (!begin(_i))
		return;
	expected = kind->client;
	ck_assert_int_eq(ipc_listen(&l, address, 0), 0);
	server = fork();
	if (server == 0) {
		serve_clients(l);
		_exit(0);
	}
	*strchr(address, '&') = '\0';
	client = fork();
	if (client == 0)
		contained(be_client);
	ck_assert_int_eq(status_of(client), 7);
	ck_assert_int_eq(status_of(server), 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	ck_assert(!is_there(in_top("meet/door")));
}
END_TEST

START_TEST(a_listener_in_a_container_serves_as_any)
{
	pid_t server, client;

	if (!begin(_i))
		return;
	expected = kind->listener;
	server = fork();
	if (server == 0)
		contained(be_listener);
	for (int i = 0; i < 5000 && !is_there(in_top("meet/door")); i++)
		pause_us(1000);
	*strchr(address, '&') = '\0';
	client = fork();
	if (client == 0)
		be_client();
	ck_assert_int_eq(status_of(client), 7);
	ck_assert_int_eq(status_of(server), 0);
	ck_assert(!is_there(in_top("meet/door")));
}
END_TEST

/* A System V object has a number, which is another one's there, or nobody's. */
static void
find_nothing(void)
{
	struct ipc_channel *ch;

	must(ipc_connect(&ch, address, 0, SOON) == -EOPNOTSUPP);
	must(strstr(ipc_errmsg(), "IPC namespace") != NULL);
}

static int
collect(void)
{
	int n = ipc_gc(NULL, NULL);

	return n < 0 ? n : 0;
}

START_TEST(what_can_not_reach_a_container_says_so)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	int rc, status = -1;
	pid_t client;

	kind = &kinds[0];
	if (!can_contain(false))
		return;
	snprintf(address, sizeof address, "%s:door?at=%s",
	    _i == 0 ? "sysvshm" : "sysvmq", in_top("meet/door"));
	ck_assert_int_eq(ipc_listen(&l, address, 0), 0);
	client = fork();
	if (client == 0)
		contained(find_nothing);
	/* Nobody has confirmed it, so there is no session. */
	while ((rc = ipc_accept(&ch, l, 20)) == -ETIMEDOUT &&
	    waitpid(client, &status, WNOHANG) == 0)
		continue;
	if (rc == 0) {
		ck_assert_int_eq(ipc_close(ch), 0);
		ck_assert_int_eq(waitpid(client, &status, 0), client);
	}
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(ipc_listener_close(l), 0);
	ck_assert_int_eq(collect(), 0);
	ck_assert_int_eq(ipc_leftovers(NULL, NULL), 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("container");
	TCase *tc = tcase_create("container");

	tcase_add_checked_fixture(tc, setup, names_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_client_in_a_container_talks_as_any, 0,
	    KINDS);
	tcase_add_loop_test(tc, a_listener_in_a_container_serves_as_any, 0,
	    KINDS);
	tcase_add_loop_test(tc, what_can_not_reach_a_container_says_so, 0, 2);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
