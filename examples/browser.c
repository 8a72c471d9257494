/* SPDX-License-Identifier: ISC */
/*
 * How a browser is built of processes: one renderer for each tab, which can
 * open nothing any more, one process that has the screen, and the browser
 * itself.  Commands go by remote procedure calls, a page's connection as a
 * descriptor beside one, pixels through memory that a tab and the screen share,
 * drawn and shown in place.  One page crashes its renderer, and only that.
 *	browser
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define SIZE	(320 * 200)		/* a picture in shades of grey */

enum { TABS = 3, SCREEN = TABS, CHILDREN, BROWSER = CHILDREN };

static const char *const pages[TABS] = {
	"40 the news", "crash", "200 an idea"
};

/* Of each: the browser's end and the child's; the screen's and the tab's. */
static struct ipc_channel *commands[CHILDREN][2], *pixels[CHILDREN][2];

static void
ok(int rc)
{
	if (rc != 0)
		errx(1, "%s", ipc_errmsg());
}

/* From here on nothing can be opened, started or disturbed; what is open, and
 * what comes through it, stays.  (A real one lists what is allowed instead.) */
static void
enter_sandbox(void)
{
	static const unsigned denied[] = { SYS_openat, SYS_openat2, SYS_socket,
	    SYS_connect, SYS_bind, SYS_execve, SYS_execveat, SYS_clone,
	    SYS_clone3, SYS_kill, SYS_tgkill, SYS_ptrace, SYS_unlinkat,
	    SYS_renameat2, SYS_process_vm_readv, SYS_process_vm_writev,
#ifdef SYS_open
	    SYS_open, SYS_creat, SYS_unlink, SYS_rename, SYS_fork, SYS_vfork
#endif
	};
	enum { COUNT = sizeof denied / sizeof denied[0] };
	struct sock_filter code[2 * COUNT + 2] = { BPF_STMT(BPF_LD | BPF_ABS,
	    offsetof(struct seccomp_data, nr)) };
	struct sock_fprog filter = { 2 * COUNT + 2, code };

	for (int i = 0; i < COUNT; i++) {
		code[2 * i + 1] = (struct sock_filter)BPF_JUMP(
		    BPF_JMP | BPF_JEQ | BPF_K, denied[i], 0, 1);
		code[2 * i + 2] = (struct sock_filter)BPF_STMT(
		    BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES);
	}
	code[2 * COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
	    SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
		err(1, "sandbox");
	if (open("/etc/passwd", O_RDONLY) >= 0)
		errx(1, "the sandbox has a hole");
}

/* Renderer: the page comes out of the connection that came along, and is drawn
 * right into the memory that the screen's process looks at. */
static void
load(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct ipc_channel *ch = user;
	char page[64] = "";
	void *picture;
	int connection;

	(void)args, (void)size;
	if (ipc_rpc_take_fds(call, &connection, 1) != 1 ||
	    read(connection, page, sizeof page - 1) <= 0 ||
	    ipc_reserve(ch, &picture, SIZE, 1000) < 0) {
		ipc_rpc_fail(call, 1, "no connection, or no room");
		return;
	}
	close(connection);
	if (!strcmp(page, "crash"))
		__builtin_trap();	/* a bug that this page has found */
	memset(picture, atoi(page), SIZE);
	if (ipc_commit(ch, SIZE) < 0)
		ipc_rpc_fail(call, 1, ipc_errmsg());
	else
		ipc_rpc_reply(call, page, sizeof page);
}

/* Screen: shows the next picture of a tab, and tells its mean. */
static void
show(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	const unsigned char *picture;
	long sum = 0;
	ssize_t n;
	int tab;

	(void)size, (void)user;
	memcpy(&tab, args, sizeof tab);
	n = ipc_peek(pixels[tab][0], (const void **)&picture, 1000);
	if (n <= 0) {
		ipc_rpc_fail(call, 1, ipc_errmsg());
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		sum += picture[i];
	ipc_release(pixels[tab][0]);	/* the tab may draw there again */
	sum /= n;
	ipc_rpc_reply(call, &sum, sizeof sum);
}

/* What a process does not need it does not keep: no tab has others' pixels. */
static void
keep_own(int me)
{
	for (int i = 0; i < CHILDREN; i++) {
		if (me != BROWSER)
			ipc_close(commands[i][0]);
		if (me != SCREEN)
			ipc_close(pixels[i][0]);
		if (me != i) {
			ipc_close(commands[i][1]);
			ipc_close(pixels[i][1]);
		}
	}
}

static void
child(int me)
{
	struct ipc_rpc_server *s;

	keep_own(me);
	ok(ipc_rpc_server_new(&s));
	if (me == SCREEN)
		ok(ipc_rpc_register(s, "show", show, NULL));
	else
		ok(ipc_rpc_register(s, "load", load, pixels[me][1]));
	ok(ipc_rpc_adopt(s, commands[me][1]));
	if (me != SCREEN)
		enter_sandbox();
	ipc_rpc_serve(s, -1);		/* until the browser has gone */
	_exit(ipc_rpc_server_close(s) < 0);
}

/* The browser connects (here to itself), and the tab gets the connection. */
static int
load_page(struct ipc_rpc_client *c, const char *page, void **answer)
{
	int fds[2], rc;
	struct ipc_rpc_request request = { .struct_size = sizeof request,
	    .method = "load", .fds = &fds[1], .fd_count = 1, .timeout = 5000 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	    write(fds[0], page, strlen(page)) < 0)
		err(1, "connection");
	close(fds[0]);
	rc = ipc_rpc_perform(c, &request, answer, NULL);
	close(fds[1]);
	return rc;
}

/* Returns whether the tab is still alive. */
static bool
show_tab(struct ipc_rpc_client *tab, struct ipc_rpc_client *screen, int number)
{
	void *page, *mean;

	if (load_page(tab, pages[number], &page) != 0) {
		printf("tab %d has crashed: %s\n", number, ipc_errmsg());
		return false;
	}
	ok(ipc_rpc_call(screen, "show", &number, sizeof number, &mean, NULL,
	    5000));
	printf("tab %d shows '%s' in shade %ld\n", number, (char *)page,
	    *(long *)mean);
	free(page);
	free(mean);
	return true;
}

int
main(void)
{
	struct ipc_rpc_client *clients[CHILDREN];
	bool alive[TABS] = { true, true, true };

	for (int i = 0; i < CHILDREN; i++) {
		ok(ipc_pair(commands[i], "unix:", 0));
		if (i != SCREEN)
			ok(ipc_pair(pixels[i], "memfd:", IPC_SEND));
	}
	for (int i = 0; i < CHILDREN; i++)
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			child(i);
		}
	keep_own(BROWSER);
	for (int i = 0; i < CHILDREN; i++)
		ok(ipc_rpc_attach(&clients[i], commands[i][0]));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < TABS; i++)
			alive[i] = alive[i] && show_tab(clients[i],
			    clients[SCREEN], i);
	for (int i = 0; i < CHILDREN; i++)
		ipc_rpc_client_close(clients[i]);
	while (wait(NULL) > 0)
		;
	return 0;
}
