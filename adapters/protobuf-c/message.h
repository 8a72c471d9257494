/* SPDX-License-Identifier: ISC */
/*
 * Messages to bytes and back, for both sides: message.c.
 */
#ifndef IPC_PROTOBUF_MESSAGE_H
#define IPC_PROTOBUF_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <ipc/protobuf-c.h>

/* A packed message, in `few' if it is that small. */
struct ipc__pb_packed {
	uint8_t	*data;
	size_t	 size;
	uint8_t	 few[256];
};

/* Packs a message, if it is a whole one of this type.  `method' is for the
 * error's text. */
int ipc__pb_pack(struct ipc__pb_packed *, const ProtobufCMessage *,
    const ProtobufCMessageDescriptor *type, const char *method);
void ipc__pb_packed_free(struct ipc__pb_packed *);

/* Unpacks what anybody may have sent.  -EBADMSG, -ENOMEM. */
int ipc__pb_unpack(ProtobufCMessage **, const void *data, size_t size,
    const ProtobufCMessageDescriptor *type, ProtobufCAllocator *,
    const char *method);

/* Notes an error of this thread, as the library does; returns -code. */
int ipc__pb_error(int code, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "package.Service/Method"; -EINVAL, -ENAMETOOLONG. */
int ipc__pb_name(char name[IPC_RPC_METHOD_MAX + 1],
    const ProtobufCServiceDescriptor *, unsigned index);

#endif
