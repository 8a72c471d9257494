/* SPDX-License-Identifier: ISC */
/*
 * Private System V queues that are handed over: from a listener that lies, from
 * one that has nothing to hand over, and from one that is hostile later.
 */
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <fcntl.h>

#include "backend.h"
#include "queue.h"
#include "queues.h"

extern const struct ipc_backend ipc__backend_sysvmq;

static char buffer[64 * KIB];

static struct ipc__half *
half_of(const struct ipc_backend *be, int dir)
{
	struct ipc__half *h = need(sizeof *h + be->size);

	memset(h, 0, sizeof *h + be->size);
	h->be = be;
	h->fd = -1;
	h->dir = dir;
	return h;
}

static void
half_free(struct ipc__half *h, bool clean)
{
	h->be->close(h, clean);
	free(h);
}

static void
offer(struct ipc__half *rx, struct ipc__half *tx, struct ipc__ticket *t)
{
	struct ipc__address a;

	expect(0, ipc__address_parse(&a, "sysvmq:", IPC_WAY_PAIR));
	expect(0, ipc__backend_sysvmq.pair(rx, tx, &a));
	ipc__address_free(&a);
	memset(t, 0, sizeof *t);
	expect(0, ipc__backend_sysvmq.give(tx, t));
	for (unsigned i = 0; i < t->fd_count; i++)
		expect_sys(t->fds[i] = dup(t->fds[i]));
}

static void
drop_offer(struct ipc__ticket *t)
{
	for (unsigned i = 0; i < t->fd_count; i++)
		if (t->fds[i] != -1)
			close(t->fds[i]);
}

/* 0 is true, and each other one a lie about one thing. */
static int
lie(struct ipc__ticket *t, int which, int queue, int memory)
{
	switch (which) {
	case 1:			/* somebody else's queue */
		memcpy(t->bytes, &queue, sizeof queue);
		break;
	case 2: case 3: case 4:	/* key, creator, mode */
		t->bytes[4 * which - 4] ^= 1;
		break;
	case 5:			/* records of 16 MiB */
		t->bytes[19] = 1;
		break;
	case 6:			/* a part is missing */
		t->size--;
		break;
	case 7:			/* a descriptor is missing */
		close(t->fds[--t->fd_count]);
		break;
	case 8:			/* memory that can shrink */
		expect_sys(dup2(memory, t->fds[1]));
		break;
	case 9:			/* a queue that is not there */
		memset(t->bytes, 0x7f, 4);
		break;
	case 10:		/* in another namespace */
		t->bytes[20] ^= 1;
		return -EOPNOTSUPP;
	case 11:		/* behind another one that there is not */
		t->bytes[14] |= 1;
		break;
	case 12: case 13:	/* bells that are none */
		expect_sys(fcntl(memory, F_SETFL, O_NONBLOCK));
		expect_sys(dup2(memory, t->fds[which - 10]));
		break;
	case 14:		/* a bell that waits */
		expect_sys(fcntl(t->fds[2], F_SETFL, 0));
		break;
	}
	return which == 0 || which == 9 ? 0 : -EBADMSG;
}

START_TEST(an_offer_that_lies_is_refused)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	int queue, memory, rc;
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	expect_sys(queue = msgget(IPC_PRIVATE, 0600));
	expect_sys(memory = memfd_create("shrinks", MFD_ALLOW_SEALING));
	expect_sys(ftruncate(memory, 4096));
	offer(rx, tx, &t);
	rc = lie(&t, _i, queue, memory);
	expect(rc, ipc__backend_sysvmq.take(taken, &t));
	/* Its maker has closed it by now. */
	if (_i == 9)
		expect(-EPIPE, ipc__backend_sysvmq.send(taken, &iov, 1, NULL));
	/* What it did not take is still there. */
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
	close(memory);
	expect_sys(msgctl(queue, IPC_RMID, NULL));
}
END_TEST

/* The second one's bell lies beside that of the first, and only of a first. */
START_TEST(two_queues_are_taken_one_behind_the_other)
{
	const struct ipc_backend *be = &ipc__backend_sysvmq;
	struct ipc__half *h[4], *rx = half_of(be, IPC_RECV);
	struct ipc__half *tx = half_of(be, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	struct ipc__ticket first = { .size = 0 }, second = { .size = 0 };
	struct ipc__address a;
	unsigned i;

	begin_with("sysvmq", IPC_WAY_SESSION);
	for (i = 0; i < 4; i++)
		h[i] = half_of(be, i % 2 ? IPC_SEND : IPC_RECV);
	expect(0, ipc__address_parse(&a, "sysvmq:", IPC_WAY_PAIR));
	expect(0, be->pair_both(h, &a));
	ipc__address_free(&a);
	expect(0, be->give(h[0], &first));
	expect(0, be->give(h[3], &second));
	expect(3, (int)second.fd_count);
	for (i = 0; i < first.fd_count; i++)
		expect_sys(first.fds[i] = dup(first.fds[i]));
	for (i = 0; i < second.fd_count; i++)
		expect_sys(second.fds[i] = dup(second.fds[i]));
	expect(0, be->take(rx, &first));
	second.beside = tx;
	expect(-EBADMSG, be->take(tx, &second));
	second.beside = rx;
	expect(0, be->take(tx, &second));
	/* Which is armed at one side and rung by the other. */
	expect(0, be->arm(h[2], IPC_RECV));
	expect(10, be->send(tx, &iov, 1, NULL));
	expect(10, be->recv(h[2], &iov, 1, NULL));
	expect(10, be->send(h[1], &iov, 1, NULL));
	expect(10, be->recv(rx, &iov, 1, NULL));
	half_free(rx, true);
	half_free(tx, true);
	for (i = 0; i < 4; i++)
		half_free(h[i], true);
}
END_TEST

/* Closing removes the note, and never what somebody handed over for one. */
START_TEST(what_is_no_note_is_not_removed)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	const char *path = path_new();
	struct ipc__ticket t;
	char note[200];
	ssize_t n;
	int fd;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	expect_sys(fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600));
	if (_i == 1) {		/* it says what a note says */
		expect_sys(n = pread(t.fds[0], note, sizeof note, 0));
		expect(n, pwrite(fd, note, (size_t)n, 0));
	}
	expect_sys(dup2(fd, t.fds[0]));
	expect(_i ? 0 : -EBADMSG, ipc__backend_sysvmq.take(taken, &t));
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
	close(fd);
	expect_sys(unlink(path));
}
END_TEST

/* Whoever hands a queue over has made it, or is root. */
START_TEST(another_users_queue_is_nobodys_to_hand_over)
{
	const uid_t makers[] = { 0, 12345 };
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__ticket t;
	int control[2];

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	if (geteuid() == 0) {
		expect_sys(seteuid(makers[_i]));
		expect_sys(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, control));
		expect_sys(seteuid(0));
		t.control = control[0];
		expect(_i ? -EBADMSG : 0,
		    ipc__backend_sysvmq.take(taken, &t));
		close(control[0]);
		close(control[1]);
	}
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* The other side has them too, and may clear O_NONBLOCK at any time. */
START_TEST(a_bell_is_put_out_without_waiting)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	for (unsigned i = 2; i < 4; i++)
		expect_sys(fcntl(t.fds[i], F_SETFL, 0));
	for (int i = 0; i < 2; i++)
		expect(0, ipc__backend_sysvmq.arm(rx, IPC_RECV));
	drop_offer(&t);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* Its receiver has used it already. */
START_TEST(a_queue_that_was_used_is_no_new_one)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct ipc__half *taken = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct iovec iov = { buffer, 10 };
	struct ipc__ticket t;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	expect(10, ipc__backend_sysvmq.send(tx, &iov, 1, NULL));
	expect(-EBADMSG, ipc__backend_sysvmq.take(taken, &t));
	drop_offer(&t);
	half_free(taken, true);
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

/* A hostile sender: types that are none, records that are too long. */
START_TEST(records_that_break_the_protocol_end_the_channel)
{
	struct ipc__half *rx = half_of(&ipc__backend_sysvmq, IPC_RECV);
	struct ipc__half *tx = half_of(&ipc__backend_sysvmq, IPC_SEND);
	struct { long type; char text[8000]; } m = { 77, "" };
	struct iovec iov = { buffer, sizeof buffer };
	struct ipc__ticket t;
	int32_t id;

	begin_with("sysvmq", IPC_WAY_SESSION);
	offer(rx, tx, &t);
	drop_offer(&t);
	memcpy(&id, t.bytes, sizeof id);
	expect(0, msgsnd(id, &m, 10, 0));
	expect(-EBADMSG, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	m.type = 1;
	expect(0, msgsnd(id, &m, sizeof m.text, 0));
	expect(-EBADMSG, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	expect(0, msgctl(id, IPC_RMID, NULL));
	expect(-EPIPE, ipc__backend_sysvmq.recv(rx, &iov, 1, NULL));
	iov.iov_len = 10;
	expect(-EPIPE, ipc__backend_sysvmq.send(tx, &iov, 1, NULL));
	half_free(tx, true);
	half_free(rx, true);
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("queueoffer");
	tc = tcase_open("offers", 20);
	tcase_add_loop_test(tc, an_offer_that_lies_is_refused, 0, 15);
	tcase_add_test(tc, two_queues_are_taken_one_behind_the_other);
	tcase_add_loop_test(tc, what_is_no_note_is_not_removed, 0, 2);
	tcase_add_loop_test(tc, another_users_queue_is_nobodys_to_hand_over,
	    0, 2);
	tcase_add_test(tc, a_bell_is_put_out_without_waiting);
	tcase_add_test(tc, a_queue_that_was_used_is_no_new_one);
	tcase_add_test(tc, records_that_break_the_protocol_end_the_channel);
	return suite_close();
}
