/* SPDX-License-Identifier: ISC */
/*
 * The client's side: a ProtobufCService whose methods are calls of an
 * ipc_rpc_client.
 *
 * A service lives as long as any call of it is under way, even if it was
 * destroyed before: its closures are run by the client.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

struct service {
	ProtobufCService	 base;		/* must be first */
	struct ipc_rpc_client	*c;
	ProtobufCAllocator	*allocator;
	bool			 async;
	int			 timeout;
	int			 status;	/* of the last call */
	unsigned		 users;		/* its owner, and calls */
	char			*names[];	/* of its methods */
};

/* A call that has been started. */
struct started {
	struct service		*s;
	unsigned		 index;
	ProtobufCClosure	 closure;
	void			*closure_data;
};

static void
release(struct service *s)
{
	if (--s->users > 0)
		return;
	for (unsigned i = 0; i < s->base.descriptor->n_methods; i++)
		free(s->names[i]);
	free(s);
}

void
ipc_protobuf_keep(const ProtobufCMessage *message, void *closure_data)
{
	*(const ProtobufCMessage **)closure_data = message;
}

/* Unpacks the answer, if there is one, and runs the closure.  The closure may
 * destroy the service. */
static void
finish(const struct started *t, int status, const void *reply, size_t size)
{
	struct service *s = t->s;
	ProtobufCAllocator *allocator = s->allocator;
	ProtobufCMessage *m = NULL;

	if (status == 0)
		status = ipc__pb_unpack(&m, reply, size,
		    s->base.descriptor->methods[t->index].output, allocator,
		    s->names[t->index]);
	s->status = status;
	if (t->closure != NULL)
		t->closure(m, t->closure_data);
	if (t->closure != ipc_protobuf_keep)
		protobuf_c_message_free_unpacked(m, allocator);
	release(s);
}

static void
done(int status, const void *reply, size_t size, void *user)
{
	finish(user, status, reply, size);
	free(user);
}

static int
start(const struct started *call, const struct ipc__pb_packed *packed)
{
	struct started *t;
	int rc;

	t = malloc(sizeof *t);
	if (t == NULL)
		return ipc__pb_error(ENOMEM, "no memory for a call");
	*t = *call;
	rc = ipc_rpc_start(t->s->c, t->s->names[t->index], packed->data,
	    packed->size, done, t, t->s->timeout);
	if (rc < 0)
		free(t);
	return rc;
}

static void
invoke(ProtobufCService *base, unsigned index, const ProtobufCMessage *input,
    ProtobufCClosure closure, void *closure_data)
{
	struct service *s = (struct service *)base;
	struct started t = { s, index, closure, closure_data };
	struct ipc__pb_packed packed;
	bool async = s->async;
	void *reply = NULL;
	size_t size = 0;
	int status;

	s->users++;
	status = ipc__pb_pack(&packed, input,
	    base->descriptor->methods[index].input, s->names[index]);
	if (status == 0 && async)
		status = start(&t, &packed);
	else if (status == 0)
		status = ipc_rpc_call(s->c, s->names[index], packed.data,
		    packed.size, &reply, &size, s->timeout);
	ipc__pb_packed_free(&packed);
	if (status != 0 || !async)
		finish(&t, status, reply, size);
	free(reply);
}

static void
destroy(ProtobufCService *base)
{
	release((struct service *)base);
}

static int
name_methods(struct service *s, const ProtobufCServiceDescriptor *type)
{
	char name[IPC_RPC_METHOD_MAX + 1];

	for (unsigned i = 0; i < type->n_methods; i++) {
		int rc = ipc__pb_name(name, type, i);

		if (rc < 0)
			return rc;
		s->names[i] = strdup(name);
		if (s->names[i] == NULL)
			return ipc__pb_error(ENOMEM, "no memory for a name");
	}
	return 0;
}

int
ipc_protobuf_client_new(ProtobufCService **service, struct ipc_rpc_client *c,
    const ProtobufCServiceDescriptor *type, ProtobufCAllocator *allocator,
    int flags)
{
	struct service *s;
	int rc;

	if (service == NULL || c == NULL || type == NULL ||
	    (flags & ~IPC_PROTOBUF_ASYNC))
		return ipc__pb_error(EINVAL, "ipc_protobuf_client_new: no "
		    "client, no service, or an unknown flag");
	s = calloc(1, sizeof *s + type->n_methods * sizeof s->names[0]);
	if (s == NULL)
		return ipc__pb_error(ENOMEM, "no memory for a service of %u "
		    "methods", type->n_methods);
	s->base = (ProtobufCService){ type, invoke, destroy };
	s->c = c;
	s->allocator = allocator;
	s->async = flags & IPC_PROTOBUF_ASYNC;
	s->timeout = -1;
	s->users = 1;
	rc = name_methods(s, type);
	if (rc < 0) {
		release(s);
		return rc;
	}
	*service = &s->base;
	return 0;
}

static struct service *
ours(const ProtobufCService *service)
{
	if (service != NULL && service->invoke == invoke)
		return (struct service *)(uintptr_t)service;
	ipc__pb_error(EINVAL, "this service is none of "
	    "ipc_protobuf_client_new()");
	return NULL;
}

int
ipc_protobuf_set_timeout(ProtobufCService *service, int timeout)
{
	struct service *s = ours(service);

	if (s == NULL)
		return -EINVAL;
	if (timeout < -1)
		return ipc__pb_error(EINVAL, "a timeout of %d ms", timeout);
	s->timeout = timeout;
	return 0;
}

int
ipc_protobuf_status(const ProtobufCService *service)
{
	const struct service *s = ours(service);

	return s == NULL ? -EINVAL : s->status;
}
