/* SPDX-License-Identifier: ISC */
/*
 * Typed remote procedure calls: the services of a .proto file, as protoc-c
 * makes them, over <ipc/rpc.h> and so over every mechanism.  This is the
 * header of a small library of its own, libipc-protobuf-c.
 *
 * The server fills in a service of the generated type, and serves it:
 *
 *	static void
 *	add(Math__Adder_Service *service, const Math__Two *two,
 *	    Math__Sum_Closure closure, void *closure_data)
 *	{
 *		Math__Sum sum = MATH__SUM__INIT;
 *
 *		sum.sum = two->a + two->b;
 *		closure(&sum, closure_data);
 *	}
 *	static Math__Adder_Service adder = MATH__ADDER__INIT();
 *	...
 *	rc = ipc_protobuf_server_new(&p, server, &adder.base, NULL);
 *
 * The client gets a service whose methods are at the server's:
 *
 *	Math__Two two = MATH__TWO__INIT;
 *	Math__Sum *sum = NULL;
 *
 *	rc = ipc_protobuf_client_new(&adder, client, &math__adder__descriptor,
 *	    NULL, 0);
 *	...
 *	math__adder__add(adder, &two, (Math__Sum_Closure)ipc_protobuf_keep,
 *	    &sum);
 *	if (sum == NULL)
 *		errx(1, "%s", ipc_errmsg());
 *
 * On the wire a method's name is "package.Service/Method", and argument and
 * answer are the packed messages: either side may as well use <ipc/rpc.h> by
 * itself, or be written in another language.
 *
 * Threads and forks: as it says in <ipc/rpc.h>.  What is made here belongs to
 * the client or server that it was made with, and is used where that one is;
 * but a method's closure, and ipc_protobuf_fail(), may be called from any
 * thread.
 */
#ifndef IPC_PROTOBUF_C_H
#define IPC_PROTOBUF_C_H

#include <protobuf-c/protobuf-c.h>

#include <ipc/error.h>
#include <ipc/rpc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ipc_protobuf_server;

/* ipc_protobuf_client_new() */
#define IPC_PROTOBUF_ASYNC	0x01	/* calls are started, not waited for */

#define IPC_PROTOBUF_DEPTH	100	/* messages within each other; what is
					   nested deeper is -EBADMSG */

/*
 * Servers
 */

/*
 * Registers the methods of a service: all but those that are NULL in it.  The
 * service stays the caller's, and lives until ipc_protobuf_server_close().
 * The allocator (NULL: malloc(3)) is where arguments are unpacked into.
 * -EINVAL: the service has no names, as its file has optimize_for = CODE_SIZE.
 *
 * A method runs its closure exactly once, now, later or in another thread,
 * with the answer; or with NULL, and the client's status is EIO.  Its input
 * lives until it has returned and the closure was run.  An argument that is not
 * what the method takes is EBADMSG to the client, and the method is not run.
 */
IPC_API int ipc_protobuf_server_new(struct ipc_protobuf_server **p,
    struct ipc_rpc_server *s, ProtobufCService *service,
    ProtobufCAllocator *allocator);

/* Takes its methods away again, before their ipc_rpc_server is closed.  Calls
 * that were kept go on.  NULL is allowed. */
IPC_API int ipc_protobuf_server_close(struct ipc_protobuf_server *p);

/* In a method, in the place of its closure: the client's status is this code,
 * which is above 0, and text (NULL: none) in its ipc_errmsg(). */
IPC_API int ipc_protobuf_fail(void *closure_data, int code, const char *text);

/* In a method, until its closure is run: the call, to ask who calls, how much
 * time is left, or for its descriptors; it must not be ended by hand. */
IPC_API struct ipc_rpc_call *ipc_protobuf_call(void *closure_data);

/*
 * Clients
 */

/*
 * A service whose methods are called at the server of an ipc_rpc_client, which
 * stays the caller's.  protobuf_c_service_destroy() frees it.  The allocator
 * (NULL: malloc(3)) is where answers are unpacked into.  flags: 0 or
 * IPC_PROTOBUF_ASYNC; one client may have services of both kinds.
 *
 * A closure is run exactly once: by the generated function itself, before it
 * returns; or with IPC_PROTOBUF_ASYNC by ipc_rpc_dispatch() or
 * ipc_rpc_client_close(), but at once where the call could not be sent.  The
 * answer that it is given is freed when it returns; NULL says that there is
 * none, and ipc_protobuf_status() and ipc_errmsg() say why.  A closure of NULL
 * is allowed.
 */
IPC_API int ipc_protobuf_client_new(ProtobufCService **service,
    struct ipc_rpc_client *c, const ProtobufCServiceDescriptor *descriptor,
    ProtobufCAllocator *allocator, int flags);

/* For calls from now on; -1, as long as it takes, if nothing was said. */
IPC_API int ipc_protobuf_set_timeout(ProtobufCService *service, int timeout);

/* What the call came to whose closure was run last, within that closure and
 * after it: as ipc_rpc_call() returns it, or -EBADMSG where the answer is none
 * of the method, -EINVAL where the argument was not. */
IPC_API int ipc_protobuf_status(const ProtobufCService *service);

/* A closure, to be cast to the type that a generated function wants, which
 * keeps the answer: closure_data is the address of a pointer to it.  It is the
 * caller's then, to be freed by its generated function with the same
 * allocator; NULL if there is none. */
IPC_API void ipc_protobuf_keep(const ProtobufCMessage *message,
    void *closure_data);

#ifdef __cplusplus
}
#endif

#endif
