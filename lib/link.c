/* SPDX-License-Identifier: ISC */
/*
 * Links: what two ends share, two halves or four and two life lines, made and
 * dropped as one.
 */
#include <stdlib.h>
#include <string.h>

#include "core.h"
#include "make.h"

void
ipc__link_drop(struct ipc__link *l, bool clean)
{
	int i;

	ipc__half_free(l->rx[0], clean);
	ipc__half_free(l->rx[1], clean);
	for (i = 0; i < 2; i++) {
		if (l->tx[i] != l->rx[i])
			ipc__half_free(l->tx[i], clean);
		if (l->life[i] != NULL)
			ipc__life_free(l->life[i]);
	}
	memset(l, 0, sizeof *l);
}

/* One link: a receives and b sends, or both go both ways. */
static int
one_link(const struct ipc__address *a, int dir_a, int dir_b,
    struct ipc__half **out_a, struct ipc__half **out_b)
{
	struct ipc__half *ha = ipc__half_new(a->be, dir_a);
	struct ipc__half *hb = ipc__half_new(a->be, dir_b);
	int rc = -ENOMEM;

	if (ha != NULL && hb != NULL &&
	    (rc = ipc__be_pair(a->be, ha, hb, a)) == 0) {
		*out_a = ha;
		*out_b = hb;
		return 0;
	}
	free(ha);
	free(hb);
	return rc;
}

/* Both at once: -EFBIG where they do not go together. */
static int
both_links(struct ipc__link *l, const struct ipc__address *a)
{
	struct ipc__half *h[4];
	int i, rc = 0;

	for (i = 0; i < 4; i++) {
		h[i] = ipc__half_new(a->be, i % 2 ? IPC_SEND : IPC_RECV);
		if (h[i] == NULL)
			rc = -ENOMEM;
	}
	if (rc == 0)
		rc = ipc__be_pair_both(a->be, h, a);
	if (rc < 0) {
		for (i = 0; i < 4; i++)
			free(h[i]);
		return rc;
	}
	/* Of what is handed over, the receiving half goes first. */
	l->rx[1] = h[0];
	l->tx[0] = h[1];
	l->rx[0] = h[2];
	l->tx[1] = h[3];
	return 0;
}

static int
half_links(struct ipc__link *l, const struct ipc__address *a, int dir)
{
	int rc = 0;

	if (dir == IPC_DUPLEX && a->be->pair_both != NULL &&
	    (rc = both_links(l, a)) != -EFBIG)
		return rc;
	rc = 0;
	if (dir & IPC_RECV)
		rc = one_link(a, IPC_RECV, IPC_SEND, &l->rx[0], &l->tx[1]);
	if (rc == 0 && dir & IPC_SEND)
		rc = one_link(a, IPC_RECV, IPC_SEND, &l->rx[1], &l->tx[0]);
	return rc;
}

static int
two_way_link(struct ipc__link *l, const struct ipc__address *a, int dir)
{
	struct ipc__half *h0, *h1;
	int rc;

	if ((rc = one_link(a, IPC_DUPLEX, IPC_DUPLEX, &h0, &h1)) < 0)
		return rc;
	if (dir & IPC_RECV) {
		l->rx[0] = h0;
		l->tx[1] = h1;
	}
	if (dir & IPC_SEND) {
		l->tx[0] = h0;
		l->rx[1] = h1;
	}
	return 0;
}

int
ipc__link_make(struct ipc__link *l, const struct ipc__address *a, int dir,
    bool life)
{
	int rc = 0;

	memset(l, 0, sizeof *l);
	if (life)
		rc = ipc__life_pair(l->life);
	if (rc == 0)
		rc = a->be->traits & IPC__TWOWAY ? two_way_link(l, a, dir) :
		    half_links(l, a, dir);
	if (rc < 0)
		ipc__link_drop(l, true);
	return rc;
}

bool
ipc__wants_life(const struct ipc_backend *be, int boundary)
{
	return be->traits & IPC__LIFE &&
	    (boundary == IPC_MESSAGE || be->traits & IPC__SILENT);
}

void
ipc__attach_end(struct ipc_channel *ch, struct ipc__link *l, int end)
{
	ipc__channel_attach(ch, l->rx[end], l->tx[end], l->life[end]);
	l->rx[end] = l->tx[end] = NULL;
	l->life[end] = NULL;
}
