/* SPDX-License-Identifier: ISC */
/*
 * Journals as bytes: their form, torn tails, damage, and lies.
 */
#include <signal.h>

#include "journals.h"
#include "crc32c.h"

#define HEAD	IPC__JOURNAL_HEADER
#define REC	IPC__JOURNAL_RECORD

static const char *const words[] = { "one", "", "three and more" };

/* Where record i begins. */
static off_t
start_of(int i)
{
	off_t at = HEAD;

	for (int k = 0; k < i; k++)
		at += REC + (off_t)strlen(words[k]);
	return at;
}

/* As a writer that was killed leaves it, without a mark. */
static void
three_words(void)
{
	static const char no_mark[IPC__JOURNAL_MARK_SIZE];
	struct ipc_channel *out;

	new_journal();
	out = writer("");
	for (int i = 0; i < 3; i++)
		say(out, words[i]);
	expect(0, ipc_close(out));
	scribble(IPC__JOURNAL_MARK, no_mark, sizeof no_mark);
	expect(start_of(3), size_of_journal());
}

/* As many of them as there are, and nothing more. */
static void
hear_words(int count)
{
	struct ipc_channel *in = reader(""), *ended = reader("follow=0");
	char buffer[64];

	for (int i = 0; i < count; i++) {
		hear(in, words[i]);
		hear(ended, words[i]);
	}
	hear_nothing(in);
	expect(-EPIPE, ipc_recv(ended, buffer, sizeof buffer, SOON));
	expect(0, ipc_close(in));
	expect(0, ipc_close(ended));
}

START_TEST(the_check_is_crc_32c)
{
	unsigned char data[300];

	expect(0xe3069283, ipc__crc32c(0, "123456789", 9));
	expect(0xe3069283, ipc__crc32c_table(0, "123456789", 9));
	expect(0, ipc__crc32c(0, "", 0));
	pattern_fill(data, sizeof data, 1);
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n + from <= sizeof data; n++)
			expect(ipc__crc32c_table(7, data + from, n),
			    ipc__crc32c(7, data + from, n));
	expect(ipc__crc32c(0, data, 300),
	    ipc__crc32c(ipc__crc32c(0, data, 101), data + 101, 199));
}
END_TEST

START_TEST(a_header_is_known_or_not)
{
	unsigned char p[HEAD], q[HEAD];
	uint64_t id = 0;

	ipc__journal_put_header(p, 0x0123456789abcdef);
	expect(0, ipc__journal_get_header(p, HEAD, &id));
	expect(0x0123456789abcdef, id);
	expect(-EAGAIN, ipc__journal_get_header(p, 0, &id));
	expect(-EAGAIN, ipc__journal_get_header(p, HEAD - 1, &id));
	for (int bit = 0; bit < 28 * 8; bit++) {
		memcpy(q, p, HEAD);
		q[bit / 8] ^= (unsigned char)(1 << bit % 8);
		expect(bit < 64 ? -EPROTO : -EBADMSG,
		    ipc__journal_get_header(q, HEAD, &id));
	}
	p[8] = 2;	/* another version, rightly checked */
	for (int i = 0; i < 4; i++)
		p[24 + i] = (unsigned char)(ipc__crc32c(0, p, 24) >> 8 * i);
	expect(-EPROTO, ipc__journal_get_header(p, HEAD, &id));
}
END_TEST

START_TEST(a_record_is_for_its_place)
{
	struct ipc__record r = { 5, IPC__MORE, 0xfeed }, got;
	unsigned char p[REC];

	ipc__record_put(p, 7, 1000, &r);
	expect_true(ipc__record_get(p, 7, 1000, &got));
	expect(5, got.length);
	expect(IPC__MORE, got.flags);
	expect(0xfeed, got.sum);
	expect_true(!ipc__record_get(p, 8, 1000, &got));
	expect_true(!ipc__record_get(p, 7, 1001, &got));
	for (int bit = 0; bit < REC * 8; bit++) {
		p[bit / 8] ^= (unsigned char)(1 << bit % 8);
		expect_true(!ipc__record_get(p, 7, 1000, &got));
		p[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}
END_TEST

/* The file ends anywhere: what was whole before stays, the rest is no more,
 * readers wait for more, and the next writer goes on behind the last whole. */
START_TEST(a_tail_torn_at_any_byte_is_cut_off)
{
	struct ipc_channel *out, *in;
	int whole;

	for (off_t size = HEAD; size <= start_of(3); size++) {
		three_words();
		expect_sys(truncate(journal_path, size));
		for (whole = 0; whole < 3 && start_of(whole + 1) <= size;
		    whole++)
			continue;
		hear_words(whole);
		expect(size, size_of_journal());	/* not by a reader */
		in = reader("follow=end");
		hear_nothing(in);
		out = writer("");
		expect(start_of(whole), size_of_journal());
		say(out, "next");
		hear(in, "next");
		hear_nothing(in);
		expect(0, ipc_close(in));
		expect(0, ipc_close(out));
		remove_journal();
	}
}
END_TEST

/* A maker that was killed in the header of a file that was there, empty. */
START_TEST(a_torn_header_is_written_anew)
{
	struct ipc_channel *out, *in;

	for (off_t size = 0; size < HEAD; size += 7) {
		three_words();
		expect_sys(truncate(journal_path, size));
		in = reader("");
		hear_nothing(in);
		out = writer("");
		say(out, "first");
		hear(in, "first");
		expect(0, ipc_close(in));
		expect(0, ipc_close(out));
		remove_journal();
	}
}
END_TEST

/* What a machine that stopped may leave: zeros, a header of which the rest is
 * zeros, a last record whose bytes are not those that were written. */
START_TEST(zeros_at_the_end_are_a_torn_tail)
{
	static const char zeros[100000];
	struct ipc_channel *out;

	for (int i = 0; i < 3; i++) {
		three_words();
		if (i == 1)
			scribble(start_of(2) + 7, zeros, 7 + 14);
		scribble(start_of(3), zeros, sizeof zeros);
		if (i == 2)	/* more than a reader looks through */
			expect_sys(truncate(journal_path, 100 * MIB));
		hear_words(i == 1 ? 2 : 3);
		out = writer("");
		expect(start_of(i == 1 ? 2 : 3), size_of_journal());
		expect(0, ipc_close(out));
		remove_journal();
	}
}
END_TEST

START_TEST(a_last_record_that_is_not_what_was_written_is_cut_off)
{
	struct ipc_channel *out;

	three_words();
	flip_bit(start_of(3) - 1, 3);
	hear_words(2);
	out = writer("");
	expect(start_of(2), size_of_journal());
	expect(0, ipc_close(out));
	remove_journal();
}
END_TEST

static void
is_damaged(int heard, off_t at)
{
	struct ipc_channel *in = reader("");
	char buffer[64], text[32];
	off_t size = size_of_journal();

	snprintf(text, sizeof text, "byte %lld", (long long)at);
	for (int i = 0; i < heard; i++)
		hear(in, words[i]);
	for (int i = 0; i < 3; i++) {
		expect(-EBADMSG, ipc_recv(in, buffer, sizeof buffer, SOON));
		expect_true(strstr(ipc_errmsg(), text) != NULL);
	}
	expect(size, size_of_journal());
	expect(0, ipc_close(in));
}

/* Nobody throws away what lies behind it. */
START_TEST(damage_is_told_with_its_place_and_nothing_is_cut_off)
{
	three_words();
	flip_bit(start_of(0) + REC, 0);		/* payload */
	is_damaged(0, start_of(0));
	flip_bit(start_of(0) + REC, 0);
	hear_words(3);
	for (int bit = 0; bit < REC * 8; bit++) {
		flip_bit(start_of(1) + bit / 8, bit % 8);
		is_damaged(1, start_of(1));
		expect(-EBADMSG, open_fails("", IPC_SEND));
		expect_true(strstr(ipc_errmsg(), "nothing was cut") != NULL);
		flip_bit(start_of(1) + bit / 8, bit % 8);
	}
	hear_words(3);
	remove_journal();
}
END_TEST

/* A record of this journal, rightly checked, that nobody's library writes. */
static void
forge(off_t at, uint32_t length, unsigned flags)
{
	struct ipc__journal j = { .fd = open(journal_path,
	    O_RDONLY | O_CLOEXEC) };
	struct ipc__record r = { length, flags, 0 };
	unsigned char p[REC];

	expect_sys(j.fd);
	expect(0, ipc__journal_known(&j));
	close(j.fd);
	ipc__record_put(p, j.id, (uint64_t)at, &r);
	scribble(at, p, sizeof p);
}

START_TEST(nothing_is_believed_of_a_length)
{
	struct ipc__journal j = { .limit = MIB, .at = HEAD };
	struct ipc__record r;
	const void *data;

	three_words();
	forge(start_of(3), 0x3fffffff, 0);
	hear_words(3);			/* it is not there: a torn tail */
	expect_sys(truncate(journal_path, start_of(3) + REC + 0x3fffffff));
	expect_sys(j.fd = open(journal_path, O_RDONLY | O_CLOEXEC));
	expect(0, ipc__journal_known(&j));
	for (int i = 0; i < 3; i++) {
		expect_ok(ipc__journal_look(&j, &data, &r));
		ipc__journal_step(&j, &r);
	}
	expect(-EMSGSIZE, ipc__journal_look(&j, &data, &r));
	expect_true(j.room <= 64 * KIB);
	ipc__journal_free(&j);
	close(j.fd);
	remove_journal();
}
END_TEST

/* From core to core: not through a file that anybody may have written. */
START_TEST(control_records_and_pieces_are_damage)
{
	static const unsigned flags[] = { IPC__MORE, IPC__CONTROL };

	for (int i = 0; i < 2; i++) {
		three_words();
		forge(start_of(1), 0, flags[i]);
		is_damaged(1, start_of(1));
		remove_journal();
	}
}
END_TEST

/* What lies before a mark is not looked at by those who want the end; a mark
 * of another boot is none, and one that a shorter file has outlived. */
START_TEST(a_mark_saves_the_way_to_the_end)
{
	struct ipc_channel *out, *in;

	new_journal();
	out = writer("");
	for (int i = 0; i < 3; i++)
		say(out, words[i]);
	expect(0, ipc_close(out));
	flip_bit(start_of(1), 0);
	in = reader("follow=end");
	out = writer("");
	expect(start_of(3), size_of_journal());
	say(out, "more");
	hear(in, "more");
	expect(0, ipc_close(in));
	expect(0, ipc_close(out));
	flip_bit(IPC__JOURNAL_MARK + 8 + 20, 0);
	expect(-EBADMSG, open_fails("", IPC_SEND));
	flip_bit(IPC__JOURNAL_MARK + 8 + 20, 0);
	flip_bit(IPC__JOURNAL_MARK, 0);
	expect(-EBADMSG, open_fails("", IPC_SEND));
	flip_bit(IPC__JOURNAL_MARK, 0);
	expect_sys(truncate(journal_path, size_of_journal() - 1));
	expect(-EBADMSG, open_fails("", IPC_SEND));
	flip_bit(start_of(1), 0);
	out = writer("");
	expect(start_of(3), size_of_journal());
	expect(0, ipc_close(out));
	hear_words(3);
	remove_journal();
}
END_TEST

/* Written now and then, and never by a forked copy that is only closed. */
START_TEST(a_writer_that_is_killed_has_left_a_mark)
{
	static char large[MIB];
	struct ipc_channel *out;
	off_t at = HEAD;
	pid_t pid;

	new_journal();
	pattern_fill(large, sizeof large, 1);
	expect_sys(pid = fork());
	if (pid == 0) {
		out = writer("");
		for (int i = 0; i < 6; i++)
			expect(0, ipc_send(out, large, sizeof large, 0));
		if (fork() == 0) {
			ipc_close(out);
			_exit(0);
		}
		wait(NULL);
		kill(getpid(), SIGKILL);
	}
	expect(pid, waitpid(pid, NULL, 0));
	flip_bit(at, 0);		/* the first is before it */
	expect(0, ipc_close(writer("")));
	expect(HEAD + 6 * (REC + MIB), size_of_journal());
	flip_bit(at + 5 * (REC + MIB), 0);	/* the last behind */
	expect(-EBADMSG, open_fails("", IPC_SEND));
	remove_journal();
}
END_TEST

START_TEST(what_is_no_journal_is_left_alone)
{
	static const char text[] = "somebody's letters, much older than this "
	    "library, and longer than the header of a journal, which is what "
	    "the first part of this text is compared with";

	new_journal();
	expect_sys(close(open(journal_path, O_CREAT | O_WRONLY | O_CLOEXEC,
	    0600)));
	scribble(0, text, sizeof text);
	expect(-EPROTO, open_fails("", IPC_SEND | IPC_CREATE));
	expect(-EPROTO, open_fails("", IPC_RECV | IPC_CREATE));
	expect_true(strstr(ipc_errmsg(), "no journal") != NULL);
	expect(-EPROTO, ipc_unlink(journal("")));
	expect(sizeof text, size_of_journal());
	scribble(0, "IPCJRNL\n", 8);
	expect(-EBADMSG, open_fails("", IPC_SEND));
	expect(-EBADMSG, open_fails("", IPC_RECV));
	expect_true(strstr(ipc_errmsg(), "damaged") != NULL);
	expect_sys(unlink(journal_path));
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("journal form");
	tc = tcase_open("bytes", 20);
	tcase_add_test(tc, the_check_is_crc_32c);
	tcase_add_test(tc, a_header_is_known_or_not);
	tcase_add_test(tc, a_record_is_for_its_place);
	tc = tcase_open("torn", 30);
	tcase_add_test(tc, a_tail_torn_at_any_byte_is_cut_off);
	tcase_add_test(tc, a_torn_header_is_written_anew);
	tcase_add_test(tc, zeros_at_the_end_are_a_torn_tail);
	tcase_add_test(tc,
	    a_last_record_that_is_not_what_was_written_is_cut_off);
	tc = tcase_open("damaged", 30);
	tcase_add_test(tc,
	    damage_is_told_with_its_place_and_nothing_is_cut_off);
	tcase_add_test(tc, nothing_is_believed_of_a_length);
	tcase_add_test(tc, control_records_and_pieces_are_damage);
	tcase_add_test(tc, a_mark_saves_the_way_to_the_end);
	tcase_add_test(tc, a_writer_that_is_killed_has_left_a_mark);
	tcase_add_test(tc, what_is_no_journal_is_left_alone);
	return suite_close();
}
