/* SPDX-License-Identifier: ISC */
/*
 * The bell of a private System V queue: two eventfds and, in a page of shared
 * memory, one word for each side, `asleep'.  Only who finds the other side
 * asleep makes the system call that wakes it.  The queues of both directions of
 * a channel have one page together.
 *
 *	sleeper				waker
 *	 1 eventfd is emptied		 a the queue is changed
 *	 2 asleep = what it needs	 b fence
 *	 3 fence			 c asleep?
 *	 4 looks at the queue		 d asleep = 0, if it was not
 *	 5 waits for the eventfd	 e the eventfd is written
 *
 * The queue is the kernel's, whose lock orders 4 and a.  If a comes first, the
 * sleeper sees it in 4 and does not wait.  Otherwise 2 was before 3, 4, a and
 * b, so c sees it, and e ends the wait.  No wake-up is lost, and an armed
 * sleeper is rung once.  Who is killed between d and e leaves the other side
 * asleep over a message: but its death is heard by the life line, and then the
 * queue is looked at again.  A hostile other side can do no more with the words
 * than not ring, or ring in vain.
 */
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "bellfd.h"
#include "error.h"
#include "msgqueue.h"
#include "wholefile.h"

#define PAGE	4096
#define SEALS	(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct ipc__bell_page {
	struct {
		_Atomic uint32_t asleep;
		char	 pad[60];	/* a cache line each */
	} side[2];
};

static int
map(struct ipc__bell *b)
{
	void *p;

	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, b->mem, 0);
	if (p == MAP_FAILED)
		return ipc__fail_sys("mmap");
	b->page = p;
	return 0;
}

static int
make_memory(void)
{
	int fd, rc = ipc__whole_limit(PAGE);

	if (rc < 0)
		return rc;
	fd = memfd_create("ipc-bell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return ipc__fail_sys("memfd_create");
	if (ftruncate(fd, PAGE) == -1)
		rc = ipc__fail_sys("ftruncate");
	else if (fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		rc = ipc__fail_sys("fcntl");
	else
		return fd;
	close(fd);
	return rc;
}

static struct ipc__bell *
bell_alloc(void)
{
	struct ipc__bell *b = calloc(1, sizeof *b);

	if (b == NULL) {
		ipc__fail(ENOMEM, "no memory for a queue");
		return NULL;
	}
	atomic_init(&b->refs, 1);
	b->mem = b->fd[0] = b->fd[1] = -1;
	return b;
}

static int
bell_eventfds(struct ipc__bell *b)
{
	int i;

	for (i = 0; i < 2; i++) {
		b->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (b->fd[i] == -1)
			return ipc__fail_sys("eventfd");
	}
	return 0;
}

int
ipc__bell_new(struct ipc__bell **out)
{
	struct ipc__bell *b = bell_alloc();
	int rc;

	if (b == NULL)
		return -ENOMEM;
	rc = b->mem = make_memory();
	if (rc >= 0)
		rc = map(b);
	if (rc >= 0)
		rc = bell_eventfds(b);
	if (rc < 0) {
		ipc__bell_unref(b);
		return rc;
	}
	*out = b;
	return 0;
}

static struct ipc__bell *
bell_behind(struct ipc__bell *first)
{
	struct ipc__bell *b = bell_alloc();

	if (b == NULL)
		return NULL;
	b->host = ipc__bell_ref(first);
	b->page = first->page + 1;
	return b;
}

int
ipc__bell_second(struct ipc__bell **out, struct ipc__bell *first)
{
	struct ipc__bell *b = bell_behind(first);
	int rc;

	if (b == NULL)
		return -ENOMEM;
	rc = bell_eventfds(b);
	if (rc < 0) {
		ipc__bell_unref(b);
		return rc;
	}
	*out = b;
	return 0;
}

/* It must not shrink under us, and be no file whose pages may be missing: only
 * memory takes seals. */
static int
check_memory(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals == -1 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) == -1 ||
	    st.st_size < PAGE)
		return ipc__fail(EBADMSG, "what was handed over with a queue "
		    "is not the memory that was promised");
	return 0;
}

/* Mapped, it is closed: nobody will be given it by us. */
static int
join_memory(struct ipc__bell *b, int mem)
{
	int rc = check_memory(mem);

	if (rc < 0)
		return rc;
	b->mem = mem;
	rc = map(b);
	b->mem = -1;
	if (rc == 0)
		close(mem);
	return rc;
}

int
ipc__bell_join(struct ipc__bell **out, int mem, const int fd[2],
    struct ipc__bell *first)
{
	struct ipc__bell *b;
	int i, rc = 0;

	for (i = 0; i < 2 && rc == 0; i++)
		rc = ipc__bellfd_check(fd[i]);
	if (rc < 0)
		return rc;
	b = first ? bell_behind(first) : bell_alloc();
	if (b == NULL)
		return -ENOMEM;
	rc = first ? 0 : join_memory(b, mem);
	if (rc < 0) {
		ipc__bell_unref(b);
		return rc;
	}
	b->fd[0] = fd[0];
	b->fd[1] = fd[1];
	*out = b;
	return 0;
}

struct ipc__bell *
ipc__bell_ref(struct ipc__bell *b)
{
	/* Who has a reference may give another; pairs with nothing. */
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
ipc__bell_unref(struct ipc__bell *b)
{
	int i;

	/* Release and acquire pair with each other: the last one sees all that
	 * the others did before they let go. */
	if (atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (i = 0; i < 2; i++)
		if (b->fd[i] != -1)
			close(b->fd[i]);
	if (b->mem != -1)
		close(b->mem);
	if (b->host != NULL)
		ipc__bell_unref(b->host);
	else if (b->page != NULL)
		munmap(b->page, PAGE);
	free(b);
}

void
ipc__bell_arm(struct ipc__bell *b, int side, uint32_t what)
{
	ipc__bellfd_put_out(b->fd[side]);
	atomic_store_explicit(&b->page->side[side].asleep, what,
	    memory_order_relaxed);
	/* Pairs with the fence in ipc__bell_wanted. */
	atomic_thread_fence(memory_order_seq_cst);
}

void
ipc__bell_disarm(struct ipc__bell *b, int side)
{
	/* Who sees it late rings in vain. */
	atomic_store_explicit(&b->page->side[side].asleep, 0,
	    memory_order_relaxed);
}

uint32_t
ipc__bell_wanted(struct ipc__bell *b, int side)
{
	/* Pairs with the fence in ipc__bell_arm. */
	atomic_thread_fence(memory_order_seq_cst);
	return atomic_load_explicit(&b->page->side[side].asleep,
	    memory_order_relaxed);
}

void
ipc__bell_ring(struct ipc__bell *b, int side)
{
	uint64_t one = 1;

	/* Of several who see it asleep one rings; what the sleeper reads then
	 * is the kernel's, so there is nothing to order here. */
	if (atomic_exchange_explicit(&b->page->side[side].asleep, 0,
	    memory_order_relaxed) != 0 &&
	    write(b->fd[side], &one, sizeof one) == -1)
		return;		/* full: it is rung */
}
