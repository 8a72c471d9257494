/* SPDX-License-Identifier: ISC */
/* HEADERS: boost/interprocess/ipc/message_queue.hpp */
/* HEADERS: boost/lockfree/spsc_queue.hpp */
/* PACKAGES: libboost-dev */
/*
 * Boost: Interprocess's message queue, which is a mutex and two conditions in
 * shared memory; and Lockfree's queue of one producer and one consumer, of one
 * type of message, in shared memory, which only spins.
 */
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>

#include <sched.h>

#include <array>
#include <cstring>
#include <new>

#include "subject.h"

namespace {

namespace interprocess = boost::interprocess;

constexpr size_t queue_bytes = 1 << 20;	/* of one direction, ... */
constexpr size_t queue_least = 4;	/* ...or at least so many messages, */
constexpr size_t queue_most = 4096;	/* and at most these */
constexpr unsigned spins = 2000;	/* before others may run */

size_t
deep(size_t size)
{
	size_t n = queue_bytes / size;

	return n < queue_least ? queue_least : n > queue_most ? queue_most : n;
}

/*
 * The message queue.  Its names are gone before anybody could leave them
 * behind: the child of the fork has its mappings.
 */

struct queues {
	interprocess::message_queue *to[2];	/* a side */
};

struct queue_end {
	interprocess::message_queue *in, *out;
};

int
queue_prepare(struct link *l)
{
	auto *q = new (std::nothrow) queues{};

	l->state = q;
	if (!q)
		return subject_fail(ENOMEM, "queues");
	for (int i = 0; i < 2; i++) {
		char name[64];

		snprintf(name, sizeof name, "%s-%d", l->name, i);
		try {
			q->to[i] = new interprocess::message_queue(
			    interprocess::create_only, name, deep(l->size),
			    l->size);
		} catch (const std::exception &e) {
			interprocess::message_queue::remove(name);
			return subject_fail(EIO, "%s: %s", name, e.what());
		}
		interprocess::message_queue::remove(name);
	}
	return 0;
}

int
queue_attach(struct link *l, int side, void **end)
{
	auto *q = static_cast<queues *>(l->state);

	*end = new (std::nothrow) queue_end{ q->to[side], q->to[!side] };
	return *end ? 0 : subject_fail(ENOMEM, "queue");
}

int
queue_send(void *end, const void *data, size_t size)
{
	try {
		static_cast<queue_end *>(end)->out->send(data, size, 0);
	} catch (const std::exception &e) {
		return subject_fail(EIO, "send: %s", e.what());
	}
	return 0;
}

ssize_t
queue_recv(void *end, void *buffer, size_t size)
{
	interprocess::message_queue::size_type got = 0;
	unsigned priority;

	try {
		static_cast<queue_end *>(end)->in->receive(buffer, size, got,
		    priority);
	} catch (const std::exception &e) {
		return subject_fail(EIO, "receive: %s", e.what());
	}
	return static_cast<ssize_t>(got);
}

void
queue_detach(void *end)
{
	delete static_cast<queue_end *>(end);
}

/*
 * The lock-free queue: a type for each size
 */

void
pause_a_bit(unsigned *n)
{
	if (++*n < spins)
		subject_relax();
	else
		sched_yield();
}

template <size_t Size, size_t Deep>
struct ring {
	using message = std::array<char, Size>;
	using queue = boost::lockfree::spsc_queue<message,
	    boost::lockfree::capacity<Deep>>;

	struct pair {
		queue to[2];		/* a side */
	};

	static int
	prepare(struct link *l)
	{
		void *memory = subject_shared(sizeof(pair));

		if (!memory)
			return subject_fail(errno, "mmap");
		l->state = new (memory) pair;
		return 0;
	}

	static bool
	push(struct pair *p, int side, const void *data)
	{
		return p->to[!side].push(*static_cast<const message *>(data));
	}

	static bool
	pop(struct pair *p, int side, void *buffer)
	{
		return p->to[side].pop(*static_cast<message *>(buffer));
	}
};

struct spsc_end {
	struct link *link;
	int	 side;
};

/* The types that there are. */
#define EACH_RING(do)		\
	do(8, 32768)		\
	do(64, 8192)		\
	do(1024, 512)		\
	do(65536, 16)		\
	do(1048576, 4)

int
spsc_prepare(struct link *l)
{
	switch (l->size) {
#define PREPARE(size, deep)	\
	case size:		\
		return ring<size, deep>::prepare(l);
	EACH_RING(PREPARE)
	default:
		return subject_fail(0, "no type of %zu bytes was compiled",
		    l->size), -ENOTSUP;
	}
}

int
spsc_attach(struct link *l, int side, void **end)
{
	*end = new (std::nothrow) spsc_end{ l, side };
	return *end ? 0 : subject_fail(ENOMEM, "queue");
}

template <typename Ring>
void
push(const spsc_end *e, const void *data)
{
	auto *p = static_cast<typename Ring::pair *>(e->link->state);
	unsigned n = 0;

	while (!Ring::push(p, e->side, data))
		pause_a_bit(&n);
}

template <typename Ring>
void
pop(const spsc_end *e, void *buffer)
{
	auto *p = static_cast<typename Ring::pair *>(e->link->state);
	unsigned n = 0;

	while (!Ring::pop(p, e->side, buffer))
		pause_a_bit(&n);
}

int
spsc_send(void *end, const void *data, size_t size)
{
	switch (size) {
#define PUSH(size, deep)	\
	case size:		\
		push<ring<size, deep>>(static_cast<spsc_end *>(end), data); \
		return 0;
	EACH_RING(PUSH)
	default:
		return subject_fail(EMSGSIZE, "%zu", size);
	}
}

ssize_t
spsc_recv(void *end, void *buffer, size_t size)
{
	switch (size) {
#define POP(size, deep)		\
	case size:		\
		pop<ring<size, deep>>(static_cast<spsc_end *>(end), buffer); \
		return static_cast<ssize_t>(size);
	EACH_RING(POP)
	default:
		return subject_fail(EMSGSIZE, "%zu", size);
	}
}

void
spsc_detach(void *end)
{
	delete static_cast<spsc_end *>(end);
}

struct subject
queue_subject()
{
	struct subject s = {};

	s.name = "boost message_queue";
	s.kind = SUBJECT_PEER;
	s.prepare = queue_prepare;
	s.attach = queue_attach;
	s.send = queue_send;
	s.recv = queue_recv;
	s.detach = queue_detach;
	return s;
}

struct subject
spsc_subject()
{
	struct subject s = {};

	s.name = "boost spsc_queue";
	s.kind = SUBJECT_PEER;
	s.traits = SUBJECT_SPINS | SUBJECT_FIXED;
	s.prepare = spsc_prepare;
	s.attach = spsc_attach;
	s.send = spsc_send;
	s.recv = spsc_recv;
	s.detach = spsc_detach;
	return s;
}

const struct subject queue = queue_subject(), spsc = spsc_subject();

} /* namespace */

extern "C" {
SUBJECT_PEERS(peer_boost);
const struct subject *const peer_boost[] = { &queue, &spsc, nullptr };
}
