/* SPDX-License-Identifier: ISC */
/*
 * A camera and a program that looks at its pictures, and no picture is copied
 * between them: one draws right into the memory that the other looks at.
 *	frame_grabber		frame_grabber unix:	(there it is copied)
 */
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <ipc/ipc.h>

#define SIZE		(1024 * 768)	/* a picture in shades of grey */
#define FRAMES		100

static int
camera(struct ipc_channel *ch)
{
	struct ipc_pollitem item = { .channel = ch, .events = POLLOUT };
	void *frame;
	int rc = 0;

	for (int i = 0; i < FRAMES && rc >= 0 &&
	    (rc = ipc_reserve(ch, &frame, SIZE, -1)) == 0; i++) {
		memset(frame, i, SIZE);
		/* In place there is room for sure; a copy may wait for it. */
		while ((rc = ipc_commit(ch, SIZE)) == -EAGAIN &&
		    ipc_poll(&item, 1, -1) >= 0)
			;
	}
	if (rc < 0 || ipc_close(ch) < 0)
		errx(1, "camera: %s", ipc_errmsg());
	return 0;
}

static void
look(struct ipc_channel *ch)
{
	struct ipc_info info = { .struct_size = sizeof info };
	const void *frame;
	double light = 0;
	int count = 0;
	ssize_t n;

	for (; (n = ipc_peek(ch, &frame, 5000)) >= 0; count++) {
		for (ssize_t i = 0; i < n; i++)
			light += ((const unsigned char *)frame)[i];
		ipc_release(ch);	/* the camera may draw there again */
	}
	if (n != -EPIPE || ipc_info(ch, &info) < 0)
		errx(1, "%s", ipc_errmsg());
	printf("%d frames, brightness %.1f, over %s, %s\n", count,
	    light / SIZE / FRAMES, info.scheme,
	    info.caps & IPC_CAP_INPLACE ? "in place" : "copied");
	ipc_close(ch);
}

int
main(int argc, char *argv[])
{
	struct ipc_channel *ends[2];

	if (ipc_pair(ends, argc > 1 ? argv[1] : "local:", IPC_SEND) < 0)
		errx(1, "%s", ipc_errmsg());
	switch (fork()) {
	case -1:
		err(1, "fork");
	case 0:
		ipc_close(ends[0]);
		return camera(ends[1]);
	}
	ipc_close(ends[1]);
	look(ends[0]);
	return wait(NULL) < 0;
}
