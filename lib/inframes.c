/* SPDX-License-Identifier: ISC */
/*
 * Messages out of the frames of a byte stream.  What comes is read ahead into
 * a buffer and served from there; the rest of a long frame goes straight to
 * where the message lies.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recv.h"

#define DIRECT	(IPC__AHEAD_SIZE / 4)	/* more of a frame is not copied */
#define GLANCE	(IPC__HEADER + IPC__PIECE_HEAD)	/* the end of one message and the
					   beginning of another */
#define LITTLE	256u			/* a read of a few small messages */
#define SOME	4096u			/* and of some more of them */

static int
check_frame(struct ipc_channel *ch, uint32_t word)
{
	struct ipc__in *in = &ch->in;
	size_t size = word & IPC__FRAME_LENGTH;

	if (word & IPC__FRAME_CONTROL) {
		if (size != IPC__CONTROL_SIZE || word & IPC__FRAME_MORE)
			return ipc__broken(ch, "a control frame of a wrong "
			    "size");
	} else if (size > in->limit - in->len)
		return ipc__broken(ch, "a message longer than max-message");
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
	if ((rc = ipc__more_room(ch, n)) < 0)
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
	return ipc__control(ch, in->ahead + in->pos - in->frame.left,
	    in->frame.left);
}

/* Parses what is there: 0 a whole message, -EAGAIN more must be read. */
static int
eat(struct ipc_channel *ch, int *budget)
{
	struct ipc__in *in = &ch->in;
	int rc;

	while (*budget > 0) {
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
			*budget -= IPC__IDLE_COST;
			continue;
		}
		--*budget;
		if ((rc = eat_payload(ch)) < 0)
			return rc;
		in->frame.known = false;
		if (!in->frame.more) {
			in->whole = true;
			in->large = in->len >= IPC__AHEAD_SIZE;
			return 0;
		}
	}
	in->busy = true;
	return -EAGAIN;
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
		atomic_fetch_or(&in->bye, IPC_DUPLEX);
}

/* Does what was read ahead end within a frame that goes straight to where it
 * belongs? */
static bool
large_begun(const struct ipc__in *in)
{
	size_t at = in->pos;
	uint32_t word;

	while (in->fill - at >= IPC__HEADER) {
		word = ipc__get32(in->ahead + at) & ~IPC__FRAME_MORE;
		at += IPC__HEADER;
		if (word > in->fill - at)
			return word <= IPC__FRAME_LENGTH &&
			    word - (in->fill - at) > DIRECT;
		at += word;
	}
	return false;
}

/*
 * Behind a large message only a glance is read ahead, so that the bytes of
 * another large one are not copied twice.  Something else may be cut by that,
 * and a goodbye is to be found in one piece: then all that is there is read.
 */
static int
ahead_of_large(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	struct ipc__aside aside = { 0 };
	struct iovec iov = { in->ahead + in->fill, in->ahead_size - in->fill };
	ssize_t n;

	if (in->frame.known && in->frame.left > 0)
		return 0;
	if (in->fill < GLANCE || large_begun(in))
		return 0;
	n = ipc__pull(ch, &iov, 1, &aside);
	if (n <= 0)	/* the end is still there at the next look */
		return n == -EAGAIN ? 0 : (int)n;
	in->fill += (size_t)n;
	bye_ahead(in);
	return 0;
}

/* More than two messages, the first of which is a typical one? */
static bool
is_some(const struct ipc__in *in)
{
	return !in->frame.known && in->fill > IPC__HEADER && in->fill / 3 >=
	    (ipc__get32(in->ahead) & IPC__FRAME_LENGTH) + IPC__HEADER;
}

/* Is this the receiving side of a stream of small messages, one way, that
 * takes them as fast as they come?  See gather() in recv.c.  Where that does
 * not help, as the sender waits for what we do next, it is left for long. */
static void
note_read(struct ipc_channel *ch, size_t n)
{
	struct ipc__in *in = &ch->in;
	int64_t now = ipc__now();
	uint64_t sent = atomic_load_explicit(&ch->out.messages,
	    memory_order_relaxed);

	if (in->gathered && !is_some(in))
		in->dense = -IPC__GATHER_REST;
	else if (in->dense > 0 && (n > (in->gathered ? SOME : LITTLE) ||
	    sent != in->sent_then ||
	    now - in->read_at > 2 * IPC__GATHER_TIME))
		in->dense = 0;
	else if (in->dense < IPC__GATHER_DENSE && !in->exact)
		in->dense++;
	in->gathered = false;
	in->read_at = now;
	in->sent_then = sent;
}

/* Reads into the buffer, or only what is needed of it. */
static int
fill_ahead(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	struct ipc__aside aside = { 0 };
	struct iovec iov;
	size_t want;
	bool glance;
	ssize_t n;
	int rc;

	if ((rc = ipc__need_ahead(ch, IPC__AHEAD_SIZE)) < 0)
		return rc;
	if (in->pos > 0) {
		memmove(in->ahead, in->ahead + in->pos, in->fill - in->pos);
		in->fill -= in->pos;
		in->pos = 0;
	}
	want = in->ahead_size - in->fill;
	glance = in->large && !in->frame.known && in->fill == 0 && !in->exact;
	if (glance)
		want = GLANCE;
	if (in->exact)
		want = (in->frame.known ? in->frame.left : IPC__HEADER) -
		    in->fill;
	iov.iov_base = in->ahead + in->fill;
	iov.iov_len = want;
	n = ipc__pull(ch, &iov, 1, &aside);
	if (n <= 0)
		return n == 0 ? ipc__ended(ch) : (int)n;
	in->fill += (size_t)n;
	bye_ahead(in);
	if (in->half->be->traits & IPC__GATHERS)
		note_read(ch, (size_t)n);
	return glance ? ahead_of_large(ch) : 0;
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
	    in->len > IPC__AHEAD_SIZE ? in->len : IPC__AHEAD_SIZE;
	if (left > most)
		left = most;
	if ((rc = ipc__more_room(ch, left)) < 0)
		return rc;
	in->pos = in->fill = 0;
	iov[0].iov_base = in->base + in->len;
	iov[0].iov_len = left;
	iov[1].iov_base = in->ahead;
	iov[1].iov_len = in->large ? GLANCE : in->ahead_size;
	n = ipc__pull(ch, iov, left < in->frame.left || in->exact ? 1 : 2,
	    &aside);
	if (n <= 0)
		return n == 0 ? ipc__ended(ch) : (int)n;
	if ((size_t)n > left) {
		in->fill = (size_t)n - left;
		bye_ahead(in);
		n = (ssize_t)left;
	}
	in->len += (size_t)n;
	in->frame.left -= (uint32_t)n;
	return in->large ? ahead_of_large(ch) : 0;
}

int
ipc__fetch_frame(struct ipc_channel *ch)
{
	struct ipc__in *in = &ch->in;
	int budget = IPC__FETCH_BUDGET, rc;

	in->busy = false;
	for (;;) {
		rc = eat(ch, &budget);
		if (rc != -EAGAIN || in->busy)
			return rc;
		if (in->frame.known && !in->frame.control &&
		    (in->frame.left > DIRECT || in->exact))
			rc = fill_message(ch);
		else
			rc = fill_ahead(ch);
		if (rc < 0)
			return rc;
	}
}

bool
ipc__frame_ahead(const struct ipc__in *in)
{
	size_t n = in->fill - in->pos;

	if (in->frame.known)
		return n >= in->frame.left;
	return n >= IPC__HEADER && n - IPC__HEADER >=
	    (ipc__get32(in->ahead + in->pos) & IPC__FRAME_LENGTH);
}

/* A whole message of one frame, or of one and the empty one that ends it, that
 * begins at p; NULL: something else.  Returns the byte behind it. */
static inline const unsigned char *
whole_small(const unsigned char *p, size_t left, size_t most, uint32_t *size)
{
	uint32_t word;
	size_t need;

	if (left < IPC__HEADER)
		return NULL;
	word = ipc__get32(p);
	*size = word & ~IPC__FRAME_MORE;
	need = *size + (size_t)(word & IPC__FRAME_MORE ? 2 : 1) * IPC__HEADER;
	if (*size > IPC__FRAME_LENGTH || *size > most || need > left)
		return NULL;
	if (word & IPC__FRAME_MORE &&
	    ipc__get32(p + IPC__HEADER + *size) != 0)
		return NULL;
	return p + need;
}

int
ipc__frames_ahead(struct ipc_channel *ch, struct iovec *messages, int count)
{
	struct ipc__in *in = &ch->in;
	const unsigned char *p, *next;
	uint64_t bytes = 0;
	uint32_t size;
	size_t most;
	int got;

	if (!in->framed || in->ahead == NULL || in->frame.known || in->whole ||
	    in->len > 0 || in->end || in->untold || in->fd_count > 0 ||
	    in->fds_lost || ch->half_duplex)
		return 0;
	p = in->ahead + in->pos;
	for (got = 0; got < count; got++) {
		most = messages[got].iov_len;
		if (most > in->limit)
			most = in->limit;
		next = whole_small(p, (size_t)(in->ahead + in->fill - p), most,
		    &size);
		if (next == NULL)
			break;
		ipc__copy_few(messages[got].iov_base, p + IPC__HEADER, size);
		messages[got].iov_len = size;
		bytes += size;
		p = next;
	}
	in->pos = (size_t)(p - in->ahead);
	ipc__count(in->messages, (uint64_t)got);
	ipc__count(in->bytes, bytes);
	return got;
}
