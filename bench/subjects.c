/* SPDX-License-Identifier: ISC */
/*
 * The limits and the bare calls.
 */
#include "bench.h"

extern const struct subject limit_line, limit_slot, limit_stream,
    limit_stream_far, limit_copy_alone, raw_pipe, raw_pipe_large, raw_fifo,
    raw_unix, raw_packet, raw_gram, raw_tcp, raw_udp, raw_sysvmq, raw_posixmq,
    raw_futex, raw_eventfd, raw_yield, raw_call;

const struct subject *const bench_subjects[] = {
	&limit_line, &limit_slot, &limit_stream, &limit_stream_far,
	&limit_copy_alone, &raw_pipe, &raw_pipe_large, &raw_fifo, &raw_unix,
	&raw_packet, &raw_gram, &raw_tcp, &raw_udp, &raw_sysvmq, &raw_posixmq,
	&raw_futex, &raw_eventfd, &raw_yield, &raw_call, NULL
};
