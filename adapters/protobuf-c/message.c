/* SPDX-License-Identifier: ISC */
/*
 * Messages to bytes and back.  What comes in may have been made by anybody:
 * protobuf_c_message_unpack() looks at the bytes as it should, but calls itself
 * for each message within a message, so that a few kilobytes of nesting are
 * more than a stack has.  Hence the walk before it, which goes down no further
 * than Google's own implementations do (Protocol Buffers, "CodedInputStream::
 * SetRecursionLimit", 100).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "message.h"

int
ipc__pb_error(int code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return ipc_error_set(code, text);
}

int
ipc__pb_name(char name[IPC_RPC_METHOD_MAX + 1],
    const ProtobufCServiceDescriptor *type, unsigned index)
{
	const char *method = type->methods[index].name;
	int n;

	if (type->name == NULL || method == NULL)
		return ipc__pb_error(EINVAL, "a service without names, as "
		    "optimize_for = CODE_SIZE makes it, can not be called");
	n = snprintf(name, IPC_RPC_METHOD_MAX + 1, "%s/%s", type->name, method);
	if (n < 0 || n > IPC_RPC_METHOD_MAX)
		return ipc__pb_error(ENAMETOOLONG, "%s/%s: a method's name has "
		    "at most %d bytes", type->name, method, IPC_RPC_METHOD_MAX);
	return 0;
}

int
ipc__pb_pack(struct ipc__pb_packed *p, const ProtobufCMessage *m,
    const ProtobufCMessageDescriptor *type, const char *method)
{
	p->data = p->few;
	if (m == NULL || m->descriptor != type)
		return ipc__pb_error(EINVAL, "%s: this is no %s", method,
		    type->name);
	if (!protobuf_c_message_check(m))
		return ipc__pb_error(EINVAL, "%s: a required field of this %s "
		    "is missing", method, type->name);
	p->size = protobuf_c_message_get_packed_size(m);
	if (p->size > sizeof p->few)
		p->data = malloc(p->size);
	if (p->data == NULL)
		return ipc__pb_error(ENOMEM, "%s: no memory for %zu bytes",
		    method, p->size);
	protobuf_c_message_pack(m, p->data);
	return 0;
}

void
ipc__pb_packed_free(struct ipc__pb_packed *p)
{
	if (p->data != p->few)
		free(p->data);
}

/*
 * The walk
 */

struct walk {
	const uint8_t	*at, *end;	/* of the message that we are in */
	unsigned	 depth;
	struct {
		const uint8_t *end;
		const ProtobufCMessageDescriptor *type;
	} outer[IPC_PROTOBUF_DEPTH];	/* and those around it */
};

static bool
varint(struct walk *w, unsigned most, uint64_t *value)
{
	*value = 0;
	for (unsigned i = 0; i < most && w->at < w->end; i++) {
		uint8_t byte = *w->at++;

		*value |= (uint64_t)(byte & 0x7f) << 7 * i;
		if ((byte & 0x80) == 0)
			return true;
	}
	return false;
}

static bool
skip(struct walk *w, uint64_t size)
{
	if (size > (uint64_t)(w->end - w->at))
		return false;
	w->at += size;
	return true;
}

/* Steps into a message that is this long, or over what is none. */
static bool
enter(struct walk *w, const ProtobufCMessageDescriptor **type, uint32_t tag)
{
	const ProtobufCFieldDescriptor *field;
	uint64_t size;

	if (!varint(w, 5, &size) || size > (uint64_t)(w->end - w->at))
		return false;
	field = protobuf_c_message_descriptor_get_field(*type, tag);
	if (field == NULL || field->type != PROTOBUF_C_TYPE_MESSAGE)
		return skip(w, size);
	if (w->depth == IPC_PROTOBUF_DEPTH)
		return false;
	w->outer[w->depth].end = w->end;
	w->outer[w->depth++].type = *type;
	w->end = w->at + size;
	*type = field->descriptor;
	return true;
}

/* May these bytes be unpacked?  What protobuf-c would refuse may pass. */
static bool
shallow(const void *data, size_t size, const ProtobufCMessageDescriptor *type)
{
	struct walk w = { .at = data, .end = (const uint8_t *)data + size };
	uint64_t tag, number;
	bool good = true;

	while (good && (w.at < w.end || w.depth > 0)) {
		if (w.at == w.end) {
			w.end = w.outer[--w.depth].end;
			type = w.outer[w.depth].type;
			continue;
		}
		good = varint(&w, 5, &tag);
		switch (tag & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			good = good && varint(&w, 10, &number);
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			good = good && skip(&w, 8);
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			good = good && enter(&w, &type, (uint32_t)(tag >> 3));
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			good = good && skip(&w, 4);
			break;
		default:
			good = false;
		}
	}
	return good;
}

/* An allocator that remembers whether it had no memory: otherwise nothing
 * tells that from bad bytes. */
struct watched {
	ProtobufCAllocator  base;
	ProtobufCAllocator *inner;
	bool		    empty;
};

static void *
watched_alloc(void *data, size_t size)
{
	struct watched *w = data;
	void *p;

	p = w->inner != NULL ?
	    w->inner->alloc(w->inner->allocator_data, size) : malloc(size);
	w->empty |= p == NULL;
	return p;
}

static void
watched_free(void *data, void *p)
{
	struct watched *w = data;

	if (p == NULL)
		return;
	if (w->inner != NULL)
		w->inner->free(w->inner->allocator_data, p);
	else
		free(p);
}

int
ipc__pb_unpack(ProtobufCMessage **m, const void *data, size_t size,
    const ProtobufCMessageDescriptor *type, ProtobufCAllocator *allocator,
    const char *method)
{
	struct watched w = { .inner = allocator };

	w.base = (ProtobufCAllocator){ watched_alloc, watched_free, &w };
	*m = NULL;
	/* A level of nesting takes two bytes. */
	if (size <= 2 * IPC_PROTOBUF_DEPTH || shallow(data, size, type))
		*m = protobuf_c_message_unpack(type, &w.base, size,
		    size > 0 ? data : (const void *)"");
	if (*m != NULL)
		return 0;
	if (w.empty)
		return ipc__pb_error(ENOMEM, "%s: no memory to unpack a %s of "
		    "%zu bytes", method, type->name, size);
	return ipc__pb_error(EBADMSG, "%s: these %zu bytes are no %s", method,
	    size, type->name);
}
