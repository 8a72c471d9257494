/* SPDX-License-Identifier: ISC */
/*
 * The server's side: the methods of a ProtobufCService as handlers of an
 * ipc_rpc_server.
 *
 * What a method is given as closure_data is one call.  It has two owners, the
 * handler while it runs the method, and the closure, which may be run in
 * another thread before the method has returned; whoever is last frees the
 * input.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "message.h"

struct ipc_protobuf_server {
	struct ipc_rpc_server	*s;
	ProtobufCService	*service;
	ProtobufCAllocator	*allocator;
	unsigned		 count;
	struct method {
		struct ipc_protobuf_server *p;
		unsigned	 index;
	} methods[];
};

struct call {
	struct ipc_rpc_call	*call;
	ProtobufCAllocator	*allocator;
	ProtobufCMessage	*input;
	const ProtobufCMessageDescriptor *output;
	atomic_int		 owners;
};

/* Acquire and release: the last owner frees what the other has looked at. */
static void
disown(struct call *c)
{
	if (atomic_fetch_sub_explicit(&c->owners, 1, memory_order_acq_rel) > 1)
		return;
	protobuf_c_message_free_unpacked(c->input, c->allocator);
	free(c);
}

struct ipc_rpc_call *
ipc_protobuf_call(void *closure_data)
{
	return ((struct call *)closure_data)->call;
}

int
ipc_protobuf_fail(void *closure_data, int code, const char *text)
{
	struct call *c = closure_data;
	int rc;

	rc = ipc_rpc_fail(c->call, code, text);
	if (rc != -EINVAL)	/* the one error that does not end it */
		disown(c);
	return rc;
}

/* Whether somebody still waits for the answer is nothing to a closure, and what
 * was too large has been told to the client. */
static void
answer(const ProtobufCMessage *message, void *closure_data)
{
	struct call *c = closure_data;
	struct ipc__pb_packed packed;
	int rc;

	if (message == NULL) {
		ipc_protobuf_fail(c, EIO, "the method gave no answer");
		return;
	}
	rc = ipc__pb_pack(&packed, message, c->output, ipc_rpc_method(c->call));
	if (rc < 0) {
		ipc_protobuf_fail(c, -rc == EINVAL ? EPROTO : -rc,
		    ipc_errmsg());
		return;
	}
	(void)ipc_rpc_reply(c->call, packed.data, packed.size);
	ipc__pb_packed_free(&packed);
	disown(c);
}

static void
handle(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	struct method *m = user;
	ProtobufCService *service = m->p->service;
	const ProtobufCMethodDescriptor *type =
	    &service->descriptor->methods[m->index];
	struct call *c;
	int rc;

	c = malloc(sizeof *c);
	if (c == NULL) {
		(void)ipc_rpc_fail(call, ENOMEM, "no memory for the call");
		return;
	}
	*c = (struct call){ .call = call, .allocator = m->p->allocator,
	    .output = type->output };
	rc = ipc__pb_unpack(&c->input, args, size, type->input, c->allocator,
	    ipc_rpc_method(call));
	if (rc < 0) {
		(void)ipc_rpc_fail(call, -rc, ipc_errmsg());
		free(c);
		return;
	}
	atomic_init(&c->owners, 2);
	/* From here on m may be gone: a method may close its own server. */
	service->invoke(service, m->index, c->input, answer, c);
	disown(c);
}

/* Generated services have their methods behind the base, in order; others do
 * as they like. */
static int
is_null(const ProtobufCService *service, unsigned index)
{
	void (*const *methods)(void) = (void (*const *)(void))(service + 1);

	return service->invoke == protobuf_c_service_invoke_internal &&
	    methods[index] == NULL;
}

/* Registers the first p->count methods, or takes them away. */
static int
register_all(struct ipc_protobuf_server *p, ipc_rpc_handler *handler)
{
	char name[IPC_RPC_METHOD_MAX + 1];
	int rc = 0;

	for (unsigned i = 0; i < p->count && rc == 0; i++) {
		p->methods[i] = (struct method){ .p = p, .index = i };
		if (is_null(p->service, i))
			continue;
		rc = ipc__pb_name(name, p->service->descriptor, i);
		if (rc == 0)
			rc = ipc_rpc_register(p->s, name, handler,
			    handler != NULL ? &p->methods[i] : NULL);
		if (rc < 0)
			p->count = i;
	}
	return rc;
}

int
ipc_protobuf_server_new(struct ipc_protobuf_server **out,
    struct ipc_rpc_server *s, ProtobufCService *service,
    ProtobufCAllocator *allocator)
{
	struct ipc_protobuf_server *p;
	unsigned count;
	int rc;

	if (out == NULL || s == NULL || service == NULL ||
	    service->descriptor == NULL || service->invoke == NULL)
		return ipc__pb_error(EINVAL, "ipc_protobuf_server_new: no "
		    "server, or no service");
	count = service->descriptor->n_methods;
	p = malloc(sizeof *p + count * sizeof p->methods[0]);
	if (p == NULL)
		return ipc__pb_error(ENOMEM, "no memory for a service of %u "
		    "methods", count);
	*p = (struct ipc_protobuf_server){ .s = s, .service = service,
	    .allocator = allocator, .count = count };
	rc = register_all(p, handle);
	if (rc < 0) {
		ipc_protobuf_server_close(p);
		return rc;
	}
	*out = p;
	return 0;
}

int
ipc_protobuf_server_close(struct ipc_protobuf_server *p)
{
	int rc = 0;

	if (p != NULL)
		rc = register_all(p, NULL);
	free(p);
	return rc;
}
