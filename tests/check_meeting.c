/* SPDX-License-Identifier: ISC */
/*
 * Names of sessions: a living one stays unharmed, what a killed listener left
 * is taken over, what is foreign is never touched, and the mode is as asked.
 */
#include <sys/stat.h>

#include "support.h"

static pid_t
forked(void)
{
	pid_t pid = fork();

	expect_sys(pid);
	return pid;
}

/* An address of the case that runs whose meeting point is this path. */
static const char *
address_at(const char *path, const char *more)
{
	static char text[9000];

	if (scheme_has_paths(here.scheme))
		snprintf(text, sizeof text, "%s:%s%s%s", here.scheme, path,
		    *more ? "?" : "", more);
	else
		snprintf(text, sizeof text, "%s:x?at=%s%s%s", here.scheme,
		    path, *more ? "&" : "", more);
	return text;
}

static void
works(struct ipc_listener *l)
{
	struct ipc_channel *ch[2];

	meet(ch, l, 0);
	carry(ch[0], ch[1], 100);
	close_ends(ch);
}

START_TEST(a_name_in_use_stays_unharmed)
{
	struct ipc_listener *l, *other;
	char text[8192];

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(-EADDRINUSE, ipc_listen(&other, text, 0));
	expect(-EADDRINUSE, ipc_listen(&other, text, 0));
	works(l);
	expect(0, ipc_listener_close(l));
	expect(0, ipc_listen(&l, text, 0));
	works(l);
	expect(0, ipc_listener_close(l));
}
END_TEST

/* The killed one had clients, too. */
START_TEST(what_a_killed_listener_left_is_taken_over)
{
	struct ipc_listener *l;
	struct ipc_channel *ch;
	char text[8192];
	struct gate g;
	pid_t pid;

	begin(_i);
	listen_here(&l, text, sizeof text, "", 0);
	expect(0, ipc_listener_close(l));
	gate_make(&g);
	for (int i = 0; i < 3; i++) {
		if ((pid = forked()) == 0) {
			expect(0, ipc_listen(&l, text, 0));
			gate_open(&g);
			expect(0, ipc_accept(&ch, l, SOON));
			for (;;)
				pause();
		}
		gate_wait(&g);
		expect(0, ipc_connect(&ch, text, IPC_ASYNC, SOON));
		pause_ms(5);
		peer_kill(pid);
		expect(0, ipc_close(ch));
	}
	expect_either(-ECONNREFUSED, -ENOENT, ipc_connect(&ch, text, 0,
	    SOON));
	expect(0, ipc_listen(&l, text, 0));
	works(l);
	expect(0, ipc_listener_close(l));
	gate_free(&g);
}
END_TEST

START_TEST(what_a_killed_listener_left_can_be_unlinked)
{
	struct ipc_listener *l;
	const char *path;
	char text[8192];
	struct gate g;
	pid_t pid;

	begin(_i);
	path = path_new();
	strlcpy(text, address_at(path, ""), sizeof text);
	expect(-ENOENT, ipc_unlink(text));
	gate_make(&g);
	if ((pid = forked()) == 0) {
		expect(0, ipc_listen(&l, text, 0));
		gate_open(&g);
		for (;;)
			pause();
	}
	gate_wait(&g);
	expect(-EBUSY, ipc_unlink(text));
	expect_sys(access(path, F_OK));
	peer_kill(pid);
	expect(0, ipc_unlink(text));
	expect(-1, access(path, F_OK));
	gate_free(&g);
}
END_TEST

START_TEST(a_closed_listener_leaves_no_name)
{
	struct ipc_listener *l;
	const char *path;

	begin(_i);
	path = path_new();
	expect(0, ipc_listen(&l, address_at(path, ""), 0));
	expect_sys(access(path, F_OK));
	works(l);
	expect(0, ipc_listener_close(l));
	expect(-1, access(path, F_OK));
}
END_TEST

/*
 * Foreign things
 */

static void
plain_file(const char *path)
{
	FILE *f = fopen(path, "we");

	expect_true(f != NULL);
	fprintf(f, "precious");
	fclose(f);
}

static void
symbolic_link(const char *path)
{
	expect_sys(symlink("/dev/null", path));
}

static void
directory(const char *path)
{
	expect_sys(mkdir(path, 0700));
}

static void
named_pipe(const char *path)
{
	expect_sys(mkfifo(path, 0600));
}

/* It is refused, and is what it was. */
static void
is_left_alone(void (*make)(const char *))
{
	const char *path = path_new();
	struct stat before, after;
	struct ipc_listener *l;
	struct ipc_channel *ch;

	make(path);
	expect_sys(lstat(path, &before));
	expect(-EEXIST, ipc_listen(&l, address_at(path, ""), 0));
	expect_error(ipc_connect(&ch, address_at(path, ""), 0, SOON));
	if (!(here.mech->ways & OPEN))
		expect_error(ipc_unlink(address_at(path, "")));
	expect_sys(lstat(path, &after));
	expect_true(before.st_ino == after.st_ino &&
	    before.st_mode == after.st_mode &&
	    before.st_size == after.st_size &&
	    before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
	expect_sys(remove(path));
}

START_TEST(what_is_not_a_socket_is_never_removed)
{
	begin(_i);
	is_left_alone(plain_file);
	is_left_alone(symbolic_link);
	is_left_alone(directory);
}
END_TEST

/* An opened object of the scheme is foreign to a session, and another scheme's
 * pipe all the more. */
START_TEST(a_named_pipe_is_not_a_meeting_point)
{
	begin(_i);
	is_left_alone(named_pipe);
}
END_TEST

/* Somebody removed our name and put another thing there: that is not ours. */
START_TEST(closing_removes_no_name_that_has_become_anothers)
{
	struct ipc_listener *l, *other;
	const char *path;
	char text[8192];

	begin(_i);
	path = path_new();
	strlcpy(text, address_at(path, ""), sizeof text);
	expect(0, ipc_listen(&l, text, 0));
	expect_sys(unlink(path));
	expect(0, ipc_listen(&other, text, 0));
	expect(0, ipc_listener_close(l));
	expect_sys(access(path, F_OK));
	works(other);
	expect_sys(unlink(path));
	plain_file(path);
	expect(0, ipc_listener_close(other));
	expect_sys(unlink(path));
}
END_TEST

START_TEST(a_path_that_is_too_long_is_never_cut_short)
{
	char path[6000], text[8192];
	struct ipc_listener *l;
	struct ipc_channel *ch;
	int n;

	begin(_i);
	n = snprintf(path, sizeof path, "%s", path_new());
	memset(path + n, 'x', sizeof path - (size_t)n - 1);
	for (int size = 300; size < 6000; size += 5000) {
		path[size] = '\0';
		strlcpy(text, address_at(path, ""), sizeof text);
		expect(-ENAMETOOLONG, ipc_listen(&l, text, 0));
		expect(-ENAMETOOLONG, ipc_connect(&ch, text, 0, SOON));
		path[size] = 'x';
	}
}
END_TEST

/*
 * Mode
 */

static unsigned
mode_on_disk(const char *option, mode_t mask)
{
	const char *path = path_new();
	struct ipc_listener *l;
	struct stat st;
	mode_t old = umask(mask);

	expect(0, ipc_listen(&l, address_at(path, option), 0));
	expect_sys(stat(path, &st));
	expect_true(umask(old) == mask);
	works(l);
	expect(0, ipc_listener_close(l));
	return st.st_mode & 07777;
}

START_TEST(mode_is_the_mode_on_disk_whatever_the_umask)
{
	begin(_i);
	expect(0600, mode_on_disk("", 022));
	expect(0600, mode_on_disk("", 0));
	expect(0660, mode_on_disk("mode=0660", 077));
	expect(0666, mode_on_disk("mode=0666", 077));
	expect(0600, mode_on_disk("mode=0600", 0));
}
END_TEST

START_TEST(the_owner_is_as_asked)
{
	const char *path;
	struct ipc_listener *l;
	struct stat st;

	begin(_i);
	if (geteuid() != 0)
		return;
	path = path_new();
	expect(0, ipc_listen(&l, address_at(path, "uid=12&gid=34"), 0));
	expect_sys(stat(path, &st));
	expect_true(st.st_uid == 12 && st.st_gid == 34);
	expect(0, ipc_listener_close(l));
}
END_TEST

/*
 * Kinds of names
 */

/* One bare name is a name for each scheme on its own. */
START_TEST(schemes_have_names_of_their_own)
{
	const struct ipc_mechanism *const *row;
	size_t count = ipc_mechanisms(&row), n = 0;
	struct ipc_listener *l[64];
	char text[64];

	for (size_t i = 0; i < count && i < 64; i++) {
		unsigned caps = row[i]->caps[IPC_WAY_SESSION];

		if (!(caps & IPC_CAP_RELIABLE) || caps & IPC_CAP_NETWORK ||
		    scheme_has_paths(row[i]->scheme))
			continue;
		snprintf(text, sizeof text, "%s:same-name", row[i]->scheme);
		expect(0, ipc_listen(&l[n++], text, 0));
	}
	while (n > 0)
		expect(0, ipc_listener_close(l[--n]));
}
END_TEST

START_TEST(an_abstract_name_needs_no_file)
{
	char text[128];
	struct ipc_listener *l, *other;

	begin(_i);
	if (strcmp(here.scheme, "unix") != 0)
		return;
	snprintf(text, sizeof text, "unix:@ipc-check-%d", (int)getpid());
	expect(0, ipc_listen(&l, text, 0));
	expect(-EADDRINUSE, ipc_listen(&other, text, 0));
	works(l);
	expect(0, ipc_listener_close(l));
}
END_TEST

/* The other call is named in the text. */
START_TEST(the_wrong_call_for_a_name_says_which_is_right)
{
	struct ipc_listener *l;
	struct ipc_channel *ch, *opened;
	const char *path;
	char text[8192];

	begin(_i);
	if (!scheme_has_paths(here.scheme) ||
	    !(here.mech->ways & OPEN))
		return;
	path = path_new();
	strlcpy(text, address_at(path, ""), sizeof text);
	expect(0, ipc_listen(&l, text, 0));
	expect(-EPROTOTYPE, ipc_open(&ch, text, IPC_SEND));
	expect_true(strstr(ipc_errmsg(), "ipc_connect") != NULL);
	expect(0, ipc_listener_close(l));
	expect(0, ipc_open(&opened, text, IPC_RECV | IPC_CREATE));
	expect(-EPROTOTYPE, ipc_connect(&ch, text, 0, SOON));
	expect_true(strstr(ipc_errmsg(), "ipc_open") != NULL);
	expect(-EEXIST, ipc_listen(&l, text, 0));
	expect(0, ipc_close(opened));
	expect_either(0, here.mech->caps[IPC_WAY_OPEN] & IPC_CAP_ADDRESS ?
	    -ENOENT : 0, ipc_unlink(text));
}
END_TEST

/* The same where names are no paths. */
START_TEST(a_named_object_is_no_meeting_point)
{
	struct ipc_channel *ch, *opened;
	char text[256];

	begin(_i);
	if (!(here.mech->ways & OPEN) || scheme_has_paths(here.scheme) ||
	    strcmp(here.scheme, "udp") == 0)
		return;
	snprintf(text, sizeof text, "%s:%sipc-check-proto-%d", here.scheme,
	    strncmp(here.scheme, "posix", 5) == 0 ? "/" : "", (int)getpid());
	expect(-ENOENT, ipc_connect(&ch, text, 0, SOON));
	expect(-ENOENT, ipc_open(&opened, text, IPC_RECV));
	expect_true(strstr(strstr(ipc_errmsg(), "ipc-check-proto") + 1,
	    "ipc-check-proto") == NULL);
	expect(0, ipc_open(&opened, text, IPC_RECV | IPC_CREATE));
	expect(-EPROTOTYPE, ipc_connect(&ch, text, 0, SOON));
	expect_true(strstr(ipc_errmsg(), "ipc_open") != NULL);
	expect(0, ipc_close(opened));
	expect(0, ipc_unlink(text));
	expect(-ENOENT, ipc_connect(&ch, text, 0, SOON));
}
END_TEST

START_TEST(bad_addresses_are_refused_with_a_text)
{
	static const char *const bad[] = { "", ":", "nosuch:x", "/just/path",
	    "unix", NULL };
	struct ipc_listener *l;
	struct ipc_channel *ch[2];

	for (int i = 0; bad[i] != NULL; i++) {
		expect_error(ipc_listen(&l, bad[i], 0));
		expect_error(ipc_connect(&ch[0], bad[i], 0, 0));
		expect_error(ipc_open(&ch[0], bad[i], IPC_RECV));
		expect_true(strlen(ipc_errmsg()) > 5);
	}
	expect_error(ipc_pair(ch, "nosuch:", 0));
	expect_true(strstr(ipc_errmsg(), "nosuch") != NULL);
	expect(-EINVAL, ipc_listen(&l, NULL, 0));
}
END_TEST

START_TEST(bad_options_are_named)
{
	static const char *const bad[] = { "colour=red", "capacity=none",
	    "max-message=0x", "mode=999", "mode=", "boundary=both",
	    "capacity=-1", "max-message=99999999999999999999", NULL };
	struct ipc_channel *ch[2];
	char key[64];

	begin(_i);
	for (int i = 0; bad[i] != NULL; i++) {
		expect(-EINVAL, here.way == IPC_WAY_PAIR ?
		    ipc_pair(ch, address(bad[i]), 0) :
		    ipc_connect(&ch[0], address(bad[i]), 0, 0));
		snprintf(key, sizeof key, "%.*s", (int)strcspn(bad[i], "="),
		    bad[i]);
		if (strstr(ipc_errmsg(), key) == NULL)
			ck_abort_msg("%s: %s not in: %s", where(), key,
			    ipc_errmsg());
	}
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("meeting");
	tc = tcase_open("names", 30);
	for_each_case(tc, a_name_in_use_stays_unharmed, SESSION,
	    IPC_CAP_RELIABLE);
	for_each_case(tc, what_a_killed_listener_left_is_taken_over, SESSION,
	    FORKS);
	for_each_case_but(tc, what_a_killed_listener_left_can_be_unlinked,
	    SESSION, FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc, a_closed_listener_leaves_no_name, SESSION,
	    FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc, what_is_not_a_socket_is_never_removed, SESSION,
	    FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc, a_named_pipe_is_not_a_meeting_point, SESSION,
	    FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc,
	    closing_removes_no_name_that_has_become_anothers, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	for_each_case_but(tc, a_path_that_is_too_long_is_never_cut_short,
	    SESSION, FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc, mode_is_the_mode_on_disk_whatever_the_umask,
	    SESSION, FORKS, IPC_CAP_NETWORK);
	for_each_case_but(tc, the_owner_is_as_asked, SESSION, FORKS,
	    IPC_CAP_NETWORK);
	tc = tcase_open("kinds", 30);
	for_each_case(tc, an_abstract_name_needs_no_file, SESSION, FORKS);
	for_each_case(tc, a_named_object_is_no_meeting_point, SESSION, FORKS);
	for_each_case(tc, the_wrong_call_for_a_name_says_which_is_right,
	    SESSION, FORKS);
	tcase_add_test(tc, schemes_have_names_of_their_own);
	tcase_add_test(tc, bad_addresses_are_refused_with_a_text);
	for_each_case(tc, bad_options_are_named, TALKS, 0);
	return suite_close();
}
