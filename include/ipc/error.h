/* SPDX-License-Identifier: ISC */
/*
 * Errors.  Every function of this library that can fail returns 0 or a count,
 * or a negative errno value.  A system error is passed on as it is; what means
 * one of the contract's own errors is always given as that one:
 *
 *	-EAGAIN		timeout 0, and the call would have had to wait
 *	-ETIMEDOUT	the timeout is over
 *	-EMSGSIZE	the message does not fit: the channel, or the buffer
 *	-EPIPE		the other end was closed, or is gone
 *	-ECONNRESET	the other end died without closing
 *	-EBADF		this channel does not go that way
 *	-EBUSY		not now: out of turn, or somebody else holds it
 *	-EALREADY	another message has been begun
 *	-ECANCELED	ipc_wake() was called
 *	-EBADMSG	what arrived breaks the protocol
 *	-EINVAL		an argument, or an option of the address, is wrong
 *	-EOPNOTSUPP	this mechanism can not do that (a capability bit is off)
 *	-EPROTOTYPE	this name is of another kind: the text says which call
 */
#ifndef IPC_ERROR_H
#define IPC_ERROR_H

#ifndef IPC_API
#define IPC_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The text of a code that a function returned; a positive errno value is taken
 * as well.  The text is constant and never NULL.  Any thread may call it.
 */
IPC_API const char *ipc_strerror(int code);

/*
 * This thread's last error in full: the address, the call that failed and the
 * limit that was met.  Never NULL; "no error" before the first one.  A call
 * that succeeds leaves it alone.  It belongs to the library and holds until
 * this thread's next call.
 */
IPC_API const char *ipc_errmsg(void);

/*
 * Makes this the thread's last error, for libraries that stand on this one: a
 * code of either sign, and a text (NULL: that of the code), which is copied.
 * Returns the code, below 0.
 */
IPC_API int ipc_error_set(int code, const char *text);

#ifdef __cplusplus
}
#endif

#endif
