/* SPDX-License-Identifier: ISC */
/*
 * Receiving: messages put together from frames of a byte stream or from
 * records.  Everything that gives a message (recv, recvmsg, recvmany, peek, and
 * read over records) goes through ipc__receive(), which leaves one whole
 * message in ch->in and does not take it.
 *
 * What the other side sent is checked before it is believed: lengths before
 * anything is allocated, and memory grows only with what has arrived.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core.h"

#define AHEAD_SIZE	65536
/* Frames that carry nothing which one call reads before it looks at its
 * deadline again. */
#define IDLE_FRAMES	64
#define ARM_TRIES	16

static int
broken(struct ipc_channel *ch, const char *what)
{
	ch->in.end = ipc__fail(EBADMSG, "the other side broke the protocol: %s",
	    what);
	return ipc__fail_at(ch->address.text, ch->in.end);
}

/*
 * Where the message goes
 */

static int
grow_own(struct ipc_channel *ch, size_t need)
{
	struct ipc__in *in = &ch->in;
	size_t size = in->own_size ? in->own_size : 256;
	unsigned char *p;

	while (size < need)
		size *= 2;
	if (size > in->own_size) {
		if ((p = realloc(in->own, size)) == NULL)
			return ipc__fail(ENOMEM, "no memory for a message of "
			    "%zu bytes", need);
		in->own = p;
		in->own_size = size;
	}
	return 0;
}

/* Moves what is in the caller's buffer to our own. */
static int
take_home(struct ipc_channel *ch, size_t need)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if ((rc = grow_own(ch, need)) < 0)
		return rc;
	if (in->lent)
		memcpy(in->own, in->base, in->len);
	in->lent = false;
	in->base = in->own;
	in->room = in->own_size;
	return 0;
}

/* Makes room for n more bytes of the message. */
static inline int
more_room(struct ipc_channel *ch, size_t n)
{
	if (ipc__likely(ch->in.room - ch->in.len >= n))
		return 0;
	return take_home(ch, ch->in.len + n);
}

static void
drop_message(struct ipc__in *in)
{
	in->len = 0;
	in->whole = in->shown = false;
	in->off = 0;
}

static void
close_fds(struct ipc__in *in)
{
	while (in->fd_count > 0)
		close(in->fds[--in->fd_count]);
	in->fds_lost = false;
}

/*
 * Control frames
 */

/* The batch that came with the bytes. */
static int
arrived_fds(struct ipc__in *in, unsigned count)
{
	struct ipc__batch *b = in->arrived[0];

	if (b == NULL || (b->count != count && !b->lost))
		return -EBADMSG;
	memcpy(in->fds, b->fds, sizeof(int) * b->count);
	in->fd_count = b->count;
	in->fds_lost = b->lost;
	memmove(in->arrived, in->arrived + 1,
	    sizeof in->arrived - sizeof in->arrived[0]);
	in->arrived[IPC__LIFE_BATCHES - 1] = NULL;
	free(b);
	return 0;
}

static int
control_fds(struct ipc_channel *ch, unsigned count, uint32_t serial)
{
	struct ipc__in *in = &ch->in;
	int n;

	if (count == 0 || count > IPC_FDS_MAX || in->fd_count > 0)
		return broken(ch, "descriptors out of place");
	if (in->fds == NULL &&
	    (in->fds = malloc(sizeof(int) * IPC_FDS_MAX)) == NULL)
		return ipc__fail(ENOMEM, "no memory for descriptors");
	if (in->half->be->traits & IPC__PASSES)
		return arrived_fds(in, count) < 0 ?
		    broken(ch, "descriptors announced and not sent") : 0;
	if (in->life == NULL || (n = ipc__life_take_fds(in->life, serial,
	    in->fds, &in->fds_lost)) < 0)
		return broken(ch, "descriptors announced and not sent");
	in->fd_count = (unsigned)n;
	return 0;
}

static int
control_turn(struct ipc_channel *ch)
{
	if (!ch->half_duplex || atomic_load(&ch->turn))
		return broken(ch, "a turn that is not its to give");
	atomic_store(&ch->turn, true);
	return -EBUSY;
}

/* 0: go on; -EBUSY: the turn came. */
static int
control(struct ipc_channel *ch, const unsigned char *p, size_t size)
{
	unsigned kind, arg;
	uint32_t value;

	/* A greeting that UDP repeated: our answer was lost. */
	if (size == IPC__GREETING && !(ch->caps & IPC_CAP_RELIABLE))
		return ipc__greet_again(ch, p);
	if (!ipc__control_get(p, size, &kind, &arg, &value))
		return broken(ch, "a control frame of no known kind");
	switch (kind) {
	case IPC__CTL_BYE:
		if (arg & IPC_SEND)
			atomic_store(&ch->in.bye, true);
		return 0;
	case IPC__CTL_TURN:
		return control_turn(ch);
	case IPC__CTL_ABANDON:
		drop_message(&ch->in);
		close_fds(&ch->in);
		return 0;
	default:
		return control_fds(ch, arg, value);
	}
}

/*
 * The end
 */

/* Does what the kernel still holds for us end with a goodbye? */
static bool
bye_behind(struct ipc__half *h)
{
	unsigned char bye[IPC__CONTROL_FRAME];
	size_t skip = 0;

	ipc__control_put(bye, IPC__CTL_BYE, IPC_DUPLEX, 0);
	if (!(h->be->traits & IPC__BYTES)) {
		skip = IPC__HEADER - 1;
		bye[skip] = IPC__TAG_CONTROL;
	}
	return ipc__be_ends_with(h, bye + skip, sizeof bye - skip);
}

int
ipc__end_code(struct ipc_channel *ch, int dir)
{
	bool in = ch->in.half != NULL && (dir == IPC_RECV || !ch->joined);
	struct ipc__half *h = in ? ch->in.half : ch->out.half;
	struct ipc__life *life = in ? ch->in.life : ch->out.life;

	if (!(ch->caps & IPC_CAP_DEATH) || ch->boundary == IPC_STREAM ||
	    (in && atomic_load(&ch->in.bye)))
		return -EPIPE;
	if (life == NULL)
		return bye_behind(h) ? -EPIPE : -ECONNRESET;
	ipc__life_look(life);
	return ipc__life_said_bye(life, IPC_DUPLEX) ? -EPIPE : -ECONNRESET;
}

/* Nothing will come any more.  A half message is forgotten. */
static int
ended(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int code = ipc__end_code(ch, IPC_RECV), rc;

	drop_message(in);
	close_fds(in);
	in->frame.known = false;
	in->pos = in->fill = 0;
	if (in->outlives) {
		if ((rc = ipc__be_again(in->half)) < 0)
			return rc;
		return code;
	}
	return in->end = code;
}

/*
 * Byte streams
 */

static int
check_frame(struct ipc_channel *ch, uint32_t word)
{
	struct ipc__in *in = &ch->in;
	size_t size = word & IPC__FRAME_LENGTH;

	if (word & IPC__FRAME_CONTROL) {
		if (size != IPC__CONTROL_SIZE || word & IPC__FRAME_MORE)
			return broken(ch, "a control frame of a wrong size");
	} else if (size > in->limit - in->len)
		return broken(ch, "a message longer than max-message");
	in->frame.more = (word & IPC__FRAME_MORE) != 0;
	in->frame.control = (word & IPC__FRAME_CONTROL) != 0;
	in->frame.left = (uint32_t)size;
	in->frame.known = true;
	return 0;
}

/* What was read ahead of the frame's payload. */
static int
eat_payload(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	size_t n = in->fill - in->pos;
	int rc;

	if (n > in->frame.left)
		n = in->frame.left;
	if ((rc = more_room(ch, n)) < 0)
		return rc;
	if (n > 0)
		memcpy(in->base + in->len, in->ahead + in->pos, n);
	in->len += n;
	in->pos += n;
	in->frame.left -= (uint32_t)n;
	return in->frame.left > 0 ? -EAGAIN : 0;
}

static int
eat_control(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;

	if (in->fill - in->pos < in->frame.left)
		return -EAGAIN;
	in->pos += in->frame.left;
	in->frame.known = false;
	return control(ch, in->ahead + in->pos - in->frame.left,
	    in->frame.left);
}

/* Parses what is there: 0 a whole message, -EAGAIN more must be read. */
static int
eat(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc, idle;

	for (idle = 0; idle < IDLE_FRAMES; idle++) {
		if (!in->frame.known) {
			if (in->fill - in->pos < IPC__HEADER)
				return -EAGAIN;
			if ((rc = check_frame(ch,
			    ipc__get32(in->ahead + in->pos))) < 0)
				return rc;
			in->pos += IPC__HEADER;
		}
		if (in->frame.control) {
			if ((rc = eat_control(ch)) < 0)
				return rc;
			continue;
		}
		if (in->frame.left > 0)
			idle = 0;
		if ((rc = eat_payload(ch)) < 0)
			return rc;
		in->frame.known = false;
		if (!in->frame.more) {
			in->whole = true;
			return 0;
		}
	}
	in->busy = true;
	return -EAGAIN;
}

static int
need_ahead(struct ipc_channel *ch, size_t size)
{
	struct ipc__in *in = &ch->in;

	if (in->ahead_size >= size)
		return 0;
	free(in->ahead);
	in->ahead_size = 0;
	if ((in->ahead = malloc(size)) == NULL)
		return ipc__fail(ENOMEM, "no memory to read ahead");
	in->ahead_size = size;
	return 0;
}

/* Descriptors that came with bytes wait for their control frame. */
static int
keep_arrived(struct ipc_channel *ch, const struct ipc__aside *aside)
{
	struct ipc__in *in = &ch->in;
	struct ipc__batch *b;
	unsigned i;

	if (ipc__likely(aside->fd_count == 0 && !aside->lost))
		return 0;
	for (i = 0; i < IPC__LIFE_BATCHES && in->arrived[i] != NULL; i++)
		;
	b = i < IPC__LIFE_BATCHES ? calloc(1, sizeof *b) : NULL;
	if (b == NULL) {
		for (i = 0; i < aside->fd_count; i++)
			close(aside->fds[i]);
		return broken(ch, "descriptors that no message was for");
	}
	b->count = aside->fd_count;
	b->lost = aside->lost;
	memcpy(b->fds, aside->fds, sizeof(int) * b->count);
	in->arrived[i] = b;
	return 0;
}

/* One receive, with room for descriptors where they can come. */
static ssize_t
pull(struct ipc_channel *ch, const struct iovec *iov, int count,
    struct ipc__aside *aside)
{
	int fds[IPC_FDS_MAX];
	ssize_t n;
	int rc;

	if (!(ch->in.half->be->traits & IPC__PASSES) || ch->in.half->bare ||
	    ch->boundary == IPC_STREAM)
		return ipc__be_recv(ch->in.half, iov, count, aside);
	aside->fds = fds;
	aside->fd_count = IPC_FDS_MAX;
	aside->lost = false;
	n = ipc__be_recv(ch->in.half, iov, count, aside);
	if (n >= 0 && (rc = keep_arrived(ch, aside)) < 0)
		return rc;
	return n;
}

/* A goodbye at the end of what was read ahead: the sending thread, when it
 * meets the end, wants to know of it before it is parsed. */
static void
bye_ahead(struct ipc__in *in)
{
	unsigned char bye[IPC__CONTROL_FRAME];

	if (in->fill < in->pos + sizeof bye || (in->ahead[in->fill -
	    IPC__CONTROL_SIZE] & 15) != IPC__CTL_BYE)
		return;
	ipc__control_put(bye, IPC__CTL_BYE, IPC_DUPLEX, 0);
	if (memcmp(in->ahead + in->fill - sizeof bye, bye, sizeof bye) == 0)
		atomic_store(&in->bye, true);
}

/* Reads into the buffer, or only what is needed of it. */
static int
fill_ahead(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	struct ipc__aside aside = { 0 };
	struct iovec iov;
	size_t want;
	ssize_t n;
	int rc;

	if ((rc = need_ahead(ch, AHEAD_SIZE)) < 0)
		return rc;
	if (in->pos > 0) {
		memmove(in->ahead, in->ahead + in->pos, in->fill - in->pos);
		in->fill -= in->pos;
		in->pos = 0;
	}
	want = in->ahead_size - in->fill;
	if (in->exact)
		want = (in->frame.known ? in->frame.left : IPC__HEADER) -
		    in->fill;
	iov.iov_base = in->ahead + in->fill;
	iov.iov_len = want;
	n = pull(ch, &iov, 1, &aside);
	if (n <= 0)
		return n == 0 ? ended(ch) : (int)n;
	in->fill += (size_t)n;
	bye_ahead(in);
	return 0;
}

/* The rest of a long frame straight to where it belongs, and behind it into
 * the buffer. */
static int
fill_message(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	struct ipc__aside aside = { 0 };
	size_t left = in->frame.left, most;
	struct iovec iov[2];
	ssize_t n;
	int rc;

	/* Our own memory at most doubles with what has arrived. */
	most = in->lent && in->room - in->len >= left ? left :
	    in->len > AHEAD_SIZE ? in->len : AHEAD_SIZE;
	if (left > most)
		left = most;
	if ((rc = more_room(ch, left)) < 0)
		return rc;
	in->pos = in->fill = 0;
	iov[0].iov_base = in->base + in->len;
	iov[0].iov_len = left;
	iov[1].iov_base = in->ahead;
	iov[1].iov_len = in->ahead_size;
	n = pull(ch, iov, left < in->frame.left || in->exact ? 1 : 2, &aside);
	if (n <= 0)
		return n == 0 ? ended(ch) : (int)n;
	if ((size_t)n > left) {
		in->fill = (size_t)n - left;
		bye_ahead(in);
		n = (ssize_t)left;
	}
	in->len += (size_t)n;
	in->frame.left -= (uint32_t)n;
	return 0;
}

static int
fetch_frame(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc;

	in->busy = false;
	for (;;) {
		rc = eat(ch);
		if (rc != -EAGAIN || in->busy)
			return rc;
		if (in->frame.known && !in->frame.control &&
		    (in->frame.left > AHEAD_SIZE / 4 || in->exact))
			rc = fill_message(ch);
		else
			rc = fill_ahead(ch);
		if (rc < 0)
			return rc;
	}
}

/*
 * Records
 */

/* A piece of a message whose bytes are in place already (n of them). */
static int
got_piece(struct ipc_channel *ch, size_t n, bool more)
{
	struct ipc__in *in = &ch->in;

	if (n > in->limit - in->len)
		return broken(ch, "a message longer than max-message");
	in->len += n;
	in->whole = !more || ch->boundary == IPC_STREAM;
	return in->whole ? 0 : -EAGAIN;
}

/* A control record in place: copied before it is looked at, and received
 * where descriptors may come with it. */
static int
peeked_control(struct ipc_channel *ch, const void *data, size_t n)
{
	unsigned char copy[IPC__GREETING];
	struct iovec iov = { copy, sizeof copy };
	struct ipc__aside aside = { 0 };
	ssize_t got;
	int rc;

	if (n > sizeof copy)
		return broken(ch, "a control record of a wrong size");
	if (ch->in.half->be->traits & IPC__PASSES) {
		if ((got = pull(ch, &iov, 1, &aside)) < 0)
			return (int)got;
		n = (size_t)got;
	} else {
		memcpy(copy, data, n);
		ipc__be_release(ch->in.half, 0);
	}
	rc = control(ch, copy, n);
	return rc < 0 ? rc : 1;
}

/* One record in place: 0 whole, -EAGAIN nothing there, 1 go on. */
static int
peek_record(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	const void *data;
	unsigned flags;
	ssize_t n;
	int rc;

	if ((n = ipc__be_peek(in->half, &data, &flags)) < 0)
		return n == -EPIPE ? ended(ch) : (int)n;
	if (flags & IPC__CONTROL)
		return peeked_control(ch, data, (size_t)n);
	if (!(flags & IPC__MORE) && in->len == 0) {
		in->view = data;
		return got_piece(ch, (size_t)n, false);
	}
	if ((size_t)n > in->limit - in->len)
		return broken(ch, "a message longer than max-message");
	if ((rc = more_room(ch, (size_t)n)) < 0)
		return rc;
	memcpy(in->base + in->len, data, (size_t)n);
	ipc__be_release(in->half, 0);
	rc = got_piece(ch, (size_t)n, flags & IPC__MORE);
	return rc == -EAGAIN ? 1 : rc;
}

/* What of the record did not fit behind the message lies in the buffer. */
static int
overhang(struct ipc_channel *ch, size_t n, size_t fitted)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (n <= fitted)
		return 0;
	in->len += fitted;
	rc = take_home(ch, in->len + (n - fitted));
	if (rc == 0)
		memcpy(in->base + in->len, in->ahead, n - fitted);
	in->len -= fitted;
	return rc;
}

static int
copied_record(struct ipc_channel *ch, size_t n, size_t room, unsigned tag)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (tag & IPC__TAG_CONTROL) {
		/* It may lie in two parts. */
		unsigned char data[IPC__GREETING];

		if (n > sizeof data)
			return broken(ch, "a control record of a wrong size");
		memcpy(data, in->base + in->len, n < room ? n : room);
		if (n > room)
			memcpy(data + room, in->ahead, n - room);
		rc = control(ch, data, n);
		return rc < 0 ? rc : 1;
	}
	if ((rc = overhang(ch, n, room)) < 0)
		return rc;
	rc = got_piece(ch, n, tag & IPC__TAG_MORE);
	return rc == -EAGAIN ? 1 : rc;
}

static int
copy_record(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	size_t record = in->half->record, room = in->room - in->len;
	struct ipc__aside aside = { .address = in->address,
	    .address_size = sizeof in->address };
	unsigned char tag = 0;
	struct iovec iov[3];
	int count = 0, rc;
	ssize_t n;

	if (room > record)
		room = record;
	if (room < record && (rc = need_ahead(ch, record)) < 0)
		return rc;
	if (in->tagged)
		iov[count++] = (struct iovec){ &tag, 1 };
	if (room > 0)
		iov[count++] = (struct iovec){ in->base + in->len, room };
	if (room < record)
		iov[count++] = (struct iovec){ in->ahead, record - room };
	if ((n = pull(ch, iov, count, &aside)) < 0)
		return n == -EPIPE ? ended(ch) : (int)n;
	in->priority = aside.priority;
	in->address_size = aside.address_size;
	if (in->tagged && n-- == 0)
		return broken(ch, "a record without a tag");
	if (aside.flags & IPC__MORE)
		tag |= IPC__TAG_MORE;
	if (aside.flags & IPC__CONTROL)
		tag |= IPC__TAG_CONTROL;
	return copied_record(ch, (size_t)n, room, tag);
}

static int
fetch_record(struct ipc_channel *ch)
{
	int rc = 1, idle;
	size_t before;

	ch->in.busy = false;
	for (idle = 0; idle < IDLE_FRAMES && rc == 1; idle++) {
		before = ch->in.len;
		rc = ipc__be_in_place(ch->in.half) ? peek_record(ch) :
		    copy_record(ch);
		if (ch->in.len > before)
			idle = 0;
	}
	if (rc != 1)
		return rc;
	ch->in.busy = true;
	return -EAGAIN;
}

/*
 * Whole messages
 */

int
ipc__fetch(struct ipc_channel *ch)
{
	if (ch->in.whole)
		return 0;
	if (ch->in.end)
		return ch->in.end;
	return ch->in.framed ? fetch_frame(ch) : fetch_record(ch);
}

/* Half-duplex: a receive when it is ours to speak would wait for ever; only
 * the end of the other side comes before the turn. */
static int
my_turn(struct ipc_channel *ch)
{
	int rc = ipc__fetch(ch);

	if (rc == -EAGAIN || rc == -EBUSY)
		rc = ipc__fail(EBUSY, "it is this side's turn to send");
	return rc;
}

/* The other side of a mechanism that shows no end by itself: was it there
 * before we looked? */
static int
silent_end(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (in->life == NULL || !(in->half->be->traits & IPC__SILENT))
		return -EAGAIN;
	ipc__life_look(in->life);
	if (!ipc__life_ended(in->life, IPC_SEND))
		return -EAGAIN;
	/* It ended before this look, so what it sent is there now. */
	rc = ipc__fetch(ch);
	return rc == -EAGAIN && !in->busy ? ended(ch) : rc;
}

/* Nothing there: put the readiness out, or find that something came. */
static int
look_again(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int rc, i;

	if (in->busy)
		return ipc__fetch(ch);
	if ((rc = silent_end(ch)) != -EAGAIN)
		return rc;
	for (i = 0; ipc__be_arm(in->half, IPC_RECV) != 0; i++) {
		rc = ipc__fetch(ch);
		/* A hostile ring can say so for ever: not past the deadline. */
		in->busy |= i == ARM_TRIES;
		if (rc != -EAGAIN || in->busy) {
			ipc__be_disarm(in->half, IPC_RECV);
			return rc;
		}
	}
	return -EAGAIN;
}

/* Kept for the next call, when the caller's buffer will be gone. */
static int
keep_part(struct ipc_channel *ch, int rc)
{
	int failed;

	if (ch->in.lent && ch->in.len > 0 && ch->in.view == NULL &&
	    (failed = take_home(ch, ch->in.len)) < 0)
		return failed;
	return rc;
}

static int
no_wait(struct ipc_channel *ch)
{
	int rc = -EAGAIN;

	if (ch->in.ready.epoll != -1 ||
	    (ch->in.half->be->traits & IPC__SILENT) || ch->in.busy)
		rc = look_again(ch);
	return rc == -EAGAIN ? ipc__plain(-EAGAIN) : rc;
}

/* Spins while that pays, then sleeps. */
static int
await(struct ipc_channel *ch, int timeout)
{
	int64_t deadline = ipc__deadline(timeout);
	struct ipc__spin spin;
	int rc;

	for (;;) {
		ipc__settle_turn(ch);
		ipc__spin_begin(ch, IPC_RECV, &spin);
		while (ipc__spin_more(&spin))
			if ((rc = ipc__fetch(ch)) != -EAGAIN)
				return rc;
		if ((rc = look_again(ch)) != -EAGAIN)
			return rc;
		rc = ipc__wait(ch, IPC_RECV, deadline);
		ipc__be_disarm(ch->in.half, IPC_RECV);
		if (rc < 0)
			return rc;
		if ((rc = ipc__fetch(ch)) != -EAGAIN)
			return rc;
	}
}

int
ipc__keep(struct ipc_channel *ch, int rc)
{
	return rc < 0 ? keep_part(ch, rc) : rc;
}

int
ipc__receive(struct ipc_channel *ch, void *buffer, size_t size, int timeout)
{
	struct ipc__in *in = &ch->in;
	int rc;

	if (ipc__unlikely(atomic_load_explicit(&in->ready.cancel,
	    memory_order_relaxed)) &&
	    (rc = ipc__cancelled(ch, IPC_RECV)) < 0)
		return rc;
	if (!in->whole && in->len == 0) {
		in->lent = buffer != NULL;
		in->base = in->lent ? buffer : in->own;
		in->room = in->lent ? size : in->own_size;
	}
	if (ipc__unlikely(ch->half_duplex)) {
		ipc__settle_turn(ch);
		if (atomic_load(&ch->turn))
			return keep_part(ch, my_turn(ch));
	}
	rc = ipc__fetch(ch);
	if (rc == -EAGAIN)
		rc = timeout == 0 ? no_wait(ch) : await(ch, timeout);
	in->nap = 0;
	if (rc == -EBUSY)
		rc = my_turn(ch);
	return ipc__likely(rc == 0) ? 0 : keep_part(ch, rc);
}

void
ipc__taken(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;

	ipc__count(in->messages, 1);
	ipc__count(in->bytes, in->len);
	if (in->view != NULL) {
		ipc__be_release(in->half, 0);
		in->view = NULL;
	}
	drop_message(in);
	if (ipc__unlikely(in->fd_count > 0 || in->fds_lost))
		close_fds(in);
}

/*
 * Bytes without boundaries
 */

static ssize_t
raw_end(struct ipc_channel *ch)
{
	int rc = 0;

	if (ch->in.outlives)
		rc = ipc__be_again(ch->in.half);
	else
		ch->in.end = -EPIPE;
	return rc < 0 ? rc : 0;
}

ssize_t
ipc__read_raw(struct ipc_channel *ch, const struct iovec *iov, int timeout)
{
	int64_t deadline = -1;
	ssize_t n;
	int rc;

	if (atomic_load(&ch->in.ready.cancel) &&
	    (rc = ipc__cancelled(ch, IPC_RECV)) < 0)
		return rc;
	if (ch->in.end)
		return 0;
	while ((n = ipc__be_recv(ch->in.half, iov, 1, NULL)) == -EAGAIN) {
		if (timeout == 0)
			return ipc__plain(-EAGAIN);
		if (timeout > 0 && deadline == -1)
			deadline = ipc__deadline(timeout);
		if ((rc = ipc__wait(ch, IPC_RECV, deadline)) < 0)
			return rc;
	}
	if (n == 0 || n == -EPIPE || n == -ECONNRESET)
		return raw_end(ch);
	if (n < 0)
		return ipc__fail_at(ch->address.text, (int)n);
	ipc__count(ch->in.messages, 1);
	ipc__count(ch->in.bytes, (uint64_t)n);
	return n;
}

/* Is there a whole frame in the buffer? */
static bool
frame_ahead(const struct ipc__in *in)
{
	size_t n = in->fill - in->pos;

	if (in->frame.known)
		return n >= in->frame.left;
	return n >= IPC__HEADER && n - IPC__HEADER >=
	    (ipc__get32(in->ahead + in->pos) & IPC__FRAME_LENGTH);
}

bool
ipc__in_ready(const struct ipc_channel *ch)
{
	const struct ipc__in *in = &ch->in;

	return in->whole || in->end != 0 || in->busy ||
	    (in->framed && frame_ahead(in)) ||
	    atomic_load_explicit(&in->ready.cancel, memory_order_relaxed);
}

bool
ipc__turn_ready(const struct ipc_channel *ch)
{
	return ch->half_duplex && atomic_load(&ch->turn);
}

void
ipc__in_free(struct ipc__in *in)
{
	unsigned i, k;

	if (in->fds != NULL)
		close_fds(in);
	for (i = 0; i < IPC__LIFE_BATCHES; i++) {
		for (k = 0; in->arrived[i] && k < in->arrived[i]->count; k++)
			close(in->arrived[i]->fds[k]);
		free(in->arrived[i]);
	}
	free(in->fds);
	free(in->ahead);
	free(in->own);
}
