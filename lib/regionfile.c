/* SPDX-License-Identifier: ISC */
/*
 * Regions that are files: POSIX shared memory, files on disk, and memory
 * without a name.  What a region promises exists: its bytes are allocated when
 * it is made or grown, so that a full file system is an error and not a signal
 * later.
 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <linux/magic.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "error.h"
#include "region.h"
#include "wholefile.h"

#define TRIES	100		/* against others who make and remove it */

/* Of huge pages whole ones are mapped, and less than that is not unmapped. */
static size_t
whole_pages(int fd, size_t size)
{
	struct statfs fs;
	size_t page;

	if (fstatfs(fd, &fs) == -1 || (uint32_t)fs.f_type != HUGETLBFS_MAGIC)
		return size;
	page = (size_t)fs.f_bsize;
	return (size + page - 1) / page * page;
}

int
ipc__region_map(struct ipc_region *r, size_t need, bool huge)
{
	struct stat st;
	void *p;

	if (fstat(r->fd, &st) == -1)
		return ipc__fail_sys("stat");
	if (!S_ISREG(st.st_mode))
		return ipc__fail(EPROTOTYPE, "it is no memory and no plain "
		    "file");
	if (st.st_size == 0 || (uint64_t)st.st_size > SIZE_MAX / 2 ||
	    (size_t)st.st_size < need)
		return ipc__fail(ERANGE, "it has %jd bytes, and size= asks for "
		    "%zu", (intmax_t)st.st_size, need);
	r->span = whole_pages(r->fd, (size_t)st.st_size);
	r->size = need != 0 ? need : (size_t)st.st_size;
	p = mmap(NULL, r->span, PROT_READ | (r->readonly ? 0 : PROT_WRITE),
	    MAP_SHARED, r->fd, 0);
	if (p == MAP_FAILED)
		return ipc__fail_sys("mmap");
	/* Advice: without huge pages it works as well. */
	if (huge)
		(void)madvise(p, r->span, MADV_HUGEPAGE);
	r->data = p;
	return 0;
}

/* Larger does no harm to those who have it mapped. */
static int
grow(const struct ipc_region *r, uint64_t size)
{
	struct stat st;

	if (fstat(r->fd, &st) == -1)
		return ipc__fail_sys("stat");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= size)
		return 0;
	return ipc__whole_allocate(r->fd, size);
}

static int
get(struct ipc_region *r, const struct ipc__address *a, const char *path,
    int flags)
{
	int rc = 0;

	r->fd = open(path, (r->readonly ? O_RDONLY : O_RDWR) | O_NONBLOCK |
	    O_NOCTTY | O_CLOEXEC | (r->on_disk ? 0 : O_NOFOLLOW));
	if (r->fd == -1)
		return errno == ENOENT ? -ENOENT : ipc__fail_path("open", path);
	if (flags & IPC_CREATE)
		rc = grow(r, a->opt.size);
	if (rc == 0)
		rc = ipc__region_map(r, (size_t)a->opt.size, a->opt.huge);
	if (rc < 0) {
		close(r->fd);
		r->fd = -1;
	}
	return rc;
}

static int
fill(int fd, const struct ipc__address *a)
{
	return ipc__whole_allocate(fd, a->opt.size);
}

static int
check_size(const struct ipc__address *a)
{
	if (a->opt.size == 0)
		return ipc__fail(EINVAL, "to make a region wants size=");
	if (a->opt.size > SIZE_MAX / 2)
		return ipc__fail(EINVAL, "size=: too large for this process");
	return 0;
}

int
ipc__region_file(struct ipc_region *r, const struct ipc__address *a,
    const char *path, int flags)
{
	bool made = false;
	int rc;

	for (int i = 0; i < TRIES; i++) {
		rc = flags & IPC_EXCLUSIVE && !made ? -ENOENT :
		    get(r, a, path, flags);
		if (rc != -ENOENT)
			return rc;
		if (!(flags & IPC_CREATE))
			return ipc__fail(ENOENT, "there is no such region");
		rc = check_size(a);
		if (rc == 0)
			rc = ipc__whole_file(a, path, fill);
		if (rc == -EEXIST && flags & IPC_EXCLUSIVE)
			return ipc__fail(EEXIST, "it is there already");
		if (rc < 0 && rc != -EEXIST)
			return rc;
		made = rc == 0;
	}
	return ipc__fail(EBUSY, "it is made and removed all the time");
}

/* Sealed, so that whoever gets it can rely on its size. */
static int
make_memfd(struct ipc_region *r, const struct ipc__address *a, bool huge)
{
	int rc;

	r->fd = memfd_create("ipc-region", MFD_CLOEXEC | MFD_ALLOW_SEALING |
	    (huge ? MFD_HUGETLB : 0));
	if (r->fd == -1)
		return ipc__fail_sys("memfd_create");
	rc = ipc__whole_allocate(r->fd, a->opt.size);
	if (rc == 0 && fcntl(r->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_SEAL) == -1)
		rc = ipc__fail_sys("fcntl(F_ADD_SEALS)");
	if (rc == 0)
		rc = ipc__region_map(r, (size_t)a->opt.size, a->opt.huge);
	if (rc < 0) {
		close(r->fd);
		r->fd = -1;
	}
	return rc;
}

int
ipc__region_memfd(struct ipc_region *r, const struct ipc__address *a,
    int flags)
{
	struct ipc__error before;
	int rc = -1;

	if (a->name[0] != '\0')
		return ipc__fail(EINVAL, "memfd: takes no name: its descriptor "
		    "is sent to others, who call ipc_region_adopt");
	if (!(flags & IPC_CREATE))
		return ipc__fail(EINVAL, "there is nothing to find without a "
		    "name: IPC_CREATE makes one");
	rc = check_size(a);
	if (rc < 0)
		return rc;
	if (a->opt.huge) {
		ipc__error_keep(&before);
		rc = make_memfd(r, a, true);
		if (rc == 0)
			return 0;
		ipc__error_restore(&before);
	}
	return make_memfd(r, a, false);
}
