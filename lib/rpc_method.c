/* SPDX-License-Identifier: ISC */
/*
 * A server's methods by name: a table of short lists.  The method that was
 * called last is tried first, as calls of one kind come in rows.
 */
#include <stdlib.h>

#include "rpc_server.h"

/* FNV-1a (Fowler, Noll, Vo). */
static unsigned
hash(const char *name, size_t length)
{
	uint32_t h = UINT32_C(2166136261);
	size_t i;

	for (i = 0; i < length; i++)
		h = (h ^ (unsigned char)name[i]) * UINT32_C(16777619);
	return (h ^ h >> 16) % IPC__RPC_METHODS;
}

static bool
is(const struct ipc__rpc_method *m, const char *name, size_t length)
{
	return m->length == length && memcmp(m->name, name, length) == 0;
}

/* Where the pointer to it is, or would be. */
static struct ipc__rpc_method **
place(struct ipc_rpc_server *s, const char *name, size_t length)
{
	struct ipc__rpc_method **at = &s->methods[hash(name, length)];

	while (*at != NULL && !is(*at, name, length))
		at = &(*at)->next;
	return at;
}

struct ipc__rpc_method *
ipc__rpc_find(struct ipc_rpc_server *s, const char *name, size_t length)
{
	struct ipc__rpc_method *m = s->recent;

	if (ipc__likely(m != NULL && is(m, name, length)))
		return m;
	m = *place(s, name, length);
	if (m == NULL)
		return s->any;
	return s->recent = m;
}

static struct ipc__rpc_method *
method_new(const char *name, size_t length)
{
	struct ipc__rpc_method *m = calloc(1, sizeof *m + length + 1);

	if (m == NULL) {
		ipc__fail(ENOMEM, "no memory for a method");
		return NULL;
	}
	m->length = length;
	memcpy(m->name, name, length);
	return m;
}

static void
forget(struct ipc_rpc_server *s, struct ipc__rpc_method **at)
{
	struct ipc__rpc_method *m = *at;

	if (m == NULL)
		return;
	if (s->recent == m)
		s->recent = NULL;
	*at = m->next;
	free(m);
}

int
ipc_rpc_register(struct ipc_rpc_server *s, const char *method,
    ipc_rpc_handler *handler, void *user)
{
	size_t length = method != NULL ? strlen(method) : 0;
	struct ipc__rpc_method **at;

	if (s == NULL)
		return ipc__fail(EINVAL, "ipc_rpc_register: no server");
	if (method != NULL && (length == 0 || length > IPC_RPC_METHOD_MAX))
		return ipc__fail(EINVAL, "the name of a method has 1 to %d "
		    "bytes, and this one has %zu", IPC_RPC_METHOD_MAX, length);
	at = method != NULL ? place(s, method, length) : &s->any;
	if (handler == NULL) {
		forget(s, at);
		return 0;
	}
	if (*at == NULL && (*at = method_new(method != NULL ? method : "",
	    length)) == NULL)
		return -ENOMEM;
	(*at)->handler = handler;
	(*at)->user = user;
	return 0;
}

void
ipc__rpc_methods_free(struct ipc_rpc_server *s)
{
	int i;

	for (i = 0; i < IPC__RPC_METHODS; i++)
		while (s->methods[i] != NULL)
			forget(s, &s->methods[i]);
	forget(s, &s->any);
}
