/* SPDX-License-Identifier: ISC */
/*
 * libipc-protobuf-c: the services of check_protobuf.proto, served by a thread
 * and called over every mechanism that talks both ways.
 */
#include "support.h"

#ifdef HAVE_PROTOBUF_C

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include <ipc/protobuf-c.h>

#include "check_protobuf.pb-c.h"

#define TWO_WAY		(IPC_CAP_DUPLEX | IPC_CAP_MESSAGE | IPC_CAP_RELIABLE)
#define KEEP(type)	((type)ipc_protobuf_keep)

/* Strings of a message are not const. */
static char soon[] = "soon", never[] = "never", leaf[] = "leaf";

/* The server, and what it is told to do. */
static struct ipc_rpc_server *server;
static struct ipc_protobuf_server *served;
static pthread_t thread;
static pthread_t helpers[16];
static atomic_int helper_count, cancelled;
static atomic_bool released;	/* those that wait may answer */

static struct ipc_rpc_client *client;
static ProtobufCService *calculator;

/*
 * An allocator that counts, and has no more than so much
 */

static atomic_int blocks;
static atomic_size_t budget;

static void *
counted_alloc(void *data, size_t size)
{
	expect_true(data == &blocks);
	if (size > atomic_load(&budget))
		return NULL;
	atomic_fetch_add(&blocks, 1);
	return malloc(size);
}

static void
counted_free(void *data, void *p)
{
	expect_true(data == &blocks);
	if (p != NULL)
		atomic_fetch_sub(&blocks, 1);
	free(p);
}

static ProtobufCAllocator counted = { counted_alloc, counted_free, &blocks };

/*
 * The service
 */

static int64_t
total(const Check__Numbers *n)
{
	int64_t sum = 0;

	for (size_t i = 0; i < n->n_number; i++)
		sum += n->number[i];
	return sum;
}

/* The closure may well be run before the method has done with its input. */
static void
calculator__add(Check__Calculator_Service *service, const Check__Numbers *input,
    Check__Sum_Closure closure, void *closure_data)
{
	Check__Sum sum = CHECK__SUM__INIT;

	(void)service;
	sum.sum = total(input);
	sum.has_count = 1;
	sum.count = (uint32_t)input->n_number;
	closure(&sum, closure_data);
	expect_true(total(input) == sum.sum);
}

static void
calculator__echo(Check__Calculator_Service *service, const Check__Bytes *input,
    Check__Bytes_Closure closure, void *closure_data)
{
	(void)service;
	closure(input, closure_data);
}

static void
calculator__turn(Check__Calculator_Service *service, const Check__Tree *input,
    Check__Tree_Closure closure, void *closure_data)
{
	(void)service;
	closure(input, closure_data);
}

static void
calculator__who(Check__Calculator_Service *service, const Check__Nothing *input,
    Check__Numbers_Closure closure, void *closure_data)
{
	Check__Numbers answer = CHECK__NUMBERS__INIT;
	struct ipc_peer peer = { .struct_size = sizeof peer };
	int64_t pid;

	(void)service, (void)input;
	expect(0, ipc_rpc_caller(ipc_protobuf_call(closure_data), &peer));
	pid = peer.pid;
	answer.number = &pid;
	answer.n_number = 1;
	closure(&answer, closure_data);
}

struct kept {
	const Check__Numbers	*input;
	Check__Sum_Closure	 closure;
	void			*closure_data;
};

static void *
answer_later(void *arg)
{
	struct kept *k = arg;
	Check__Sum sum = CHECK__SUM__INIT;

	for (int i = 0; strcmp(k->input->note, never) == 0 && i < SOON; i++) {
		if (ipc_rpc_cancelled(ipc_protobuf_call(k->closure_data)))
			break;
		pause_ms(1);
	}
	cancelled += ipc_rpc_cancelled(ipc_protobuf_call(k->closure_data));
	for (int i = 0; strcmp(k->input->note, never) == 0 && i < SOON &&
	    !released; i++)
		pause_ms(1);
	pause_ms(2);
	sum.sum = total(k->input);
	k->closure(&sum, k->closure_data);
	free(k);
	return NULL;
}

/* In another thread, which still has the input. */
static void
calculator__later(Check__Calculator_Service *service,
    const Check__Numbers *input, Check__Sum_Closure closure, void *closure_data)
{
	struct kept *k = need(sizeof *k);

	(void)service;
	*k = (struct kept){ input, closure, closure_data };
	expect(0, pthread_create(&helpers[helper_count++], NULL, answer_later,
	    k));
}

/* In every way that there is to fail. */
static void
calculator__refuse(Check__Calculator_Service *service,
    const Check__Numbers *input, Check__Sum_Closure closure, void *closure_data)
{
	Check__Bytes wrong = CHECK__BYTES__INIT;

	(void)service;
	switch (total(input)) {
	case 0:
		closure(NULL, closure_data);
		break;
	case 1:
		closure((const Check__Sum *)(const void *)&wrong, closure_data);
		break;
	case 2:
		expect(-EINVAL, ipc_protobuf_fail(closure_data, 0, "none"));
		expect(-EINVAL, ipc_protobuf_fail(closure_data, -1, "none"));
		expect(0, ipc_protobuf_fail(closure_data, 42, "no, thanks"));
		break;
	default:
		expect(0, ipc_protobuf_fail(closure_data, 43, NULL));
	}
}

static Check__Calculator_Service service = {
	.base = CHECK__CALCULATOR__BASE_INIT,
	.add = calculator__add,
	.echo = calculator__echo,
	.turn = calculator__turn,
	.who = calculator__who,
	.later = calculator__later,
	.refuse = calculator__refuse
};

/*
 * Fixture
 */

static void *
serve(void *unused)
{
	(void)unused;
	expect(-EPIPE, ipc_rpc_serve(server, -1));
	return NULL;
}

static void
start_with(struct ipc_channel *ch[2])
{
	atomic_store(&budget, SIZE_MAX);
	helper_count = cancelled = 0;
	released = false;
	expect(0, ipc_rpc_adopt(server, ch[1]));
	expect(0, ipc_rpc_attach(&client, ch[0]));
	expect(0, ipc_protobuf_client_new(&calculator, client,
	    &check__calculator__descriptor, NULL, 0));
	expect(0, ipc_protobuf_set_timeout(calculator, SOON));
	expect(0, pthread_create(&thread, NULL, serve, NULL));
}

static void
new_server(void)
{
	expect(0, ipc_rpc_server_new(&server));
	expect(0, ipc_protobuf_server_new(&served, server, &service.base,
	    &counted));
}

static void
start(int i)
{
	struct ipc_channel *ch[2];

	ends_of(i, ch, "", 0);
	new_server();
	start_with(ch);
}

/* Over unix:, for what does not depend on the mechanism. */
static void
start_unix(void)
{
	struct ipc_channel *ch[2];

	expect(0, ipc_pair(ch, "unix:", 0));
	new_server();
	start_with(ch);
}

static void
stop(void)
{
	if (calculator != NULL)
		protobuf_c_service_destroy(calculator);
	calculator = NULL;
	expect(0, ipc_rpc_client_close(client));
	released = true;
	pthread_join(thread, NULL);
	for (int i = 0; i < helper_count; i++)
		pthread_join(helpers[i], NULL);
	expect(0, ipc_protobuf_server_close(served));
	expect(0, ipc_rpc_server_close(server));
	expect(0, atomic_load(&blocks));
}

/* The sum of the first n numbers, or INT64_MIN. */
static int64_t
sum_of(size_t n)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	Check__Sum *sum = NULL;
	int64_t numbers[1000], result = INT64_MIN;

	for (size_t i = 0; i < n; i++)
		numbers[i] = (int64_t)i;
	input.n_number = n;
	input.number = numbers;
	check__calculator__add(calculator, &input, KEEP(Check__Sum_Closure),
	    &sum);
	if (sum != NULL) {
		expect_true(sum->has_count && sum->count == n);
		result = sum->sum;
	}
	check__sum__free_unpacked(sum, NULL);
	return result;
}

static void
expect_status(int status, const char *text)
{
	if (ipc_protobuf_status(calculator) != status ||
	    strstr(ipc_errmsg(), text) == NULL)
		fail_with("%s: status %d, not %d: '%s', not '%s'", where(),
		    ipc_protobuf_status(calculator), status, ipc_errmsg(),
		    text);
}

/*
 * Calls
 */

START_TEST(a_method_is_a_function)
{
	start(_i);
	for (size_t n = 0; n < 40; n++)
		expect((int64_t)n * ((int64_t)n - 1) / 2, sum_of(n));
	expect(499500, sum_of(1000));
	expect(0, ipc_protobuf_status(calculator));
	stop();
}
END_TEST

START_TEST(messages_of_any_size_come_back_as_they_were)
{
	static const size_t sizes[] = { 0, 1, 100, 255, 256, 257, 3000,
	    100000, MIB };
	Check__Bytes input = CHECK__BYTES__INIT, *output;

	start(_i);
	input.has_data = 1;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		if (sizes[i] > 3000 && !(here.caps & IPC_CAP_LARGE))
			break;
		input.data.len = sizes[i];
		input.data.data = need(sizes[i]);
		pattern_fill(input.data.data, sizes[i], (unsigned)i);
		check__calculator__echo(calculator, &input,
		    KEEP(Check__Bytes_Closure), &output);
		if (output == NULL)
			fail_with("%s: %s", where(), ipc_errmsg());
		expect_true(output->has_data && output->data.len == sizes[i] &&
		    pattern_is(output->data.data, sizes[i], (unsigned)i));
		check__bytes__free_unpacked(output, NULL);
		free(input.data.data);
	}
	stop();
}
END_TEST

struct tally {
	int		 done;
	int64_t		 sum;
};

static void
count_sum(const Check__Sum *sum, void *user)
{
	struct tally *t = user;

	if (sum == NULL)
		fail_with("%s: %s", where(), ipc_errmsg());
	t->done++;
	t->sum += sum->sum;
}

START_TEST(many_calls_are_under_way_at_once)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	struct tally t = { 0, 0 };
	ProtobufCService *async;
	int64_t number;

	start(_i);
	expect(0, ipc_protobuf_client_new(&async, client,
	    &check__calculator__descriptor, NULL, IPC_PROTOBUF_ASYNC));
	input.number = &number;
	input.n_number = 1;
	for (number = 1; number <= 200; number++)
		check__calculator__add(async, &input, count_sum, &t);
	/* A call that waits in between gets its own answer. */
	expect(45, sum_of(10));
	while (t.done < 200)
		expect_ok(ipc_rpc_dispatch(client, SOON));
	expect(20100, t.sum);
	expect(0, ipc_protobuf_status(async));
	protobuf_c_service_destroy(async);
	stop();
}
END_TEST

START_TEST(a_closure_may_be_run_later_and_elsewhere)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	int64_t numbers[] = { 20, 22 };
	Check__Sum *sum;

	start(_i);
	input.number = numbers;
	input.n_number = 2;
	input.note = soon;
	for (int i = 0; i < 8; i++) {
		check__calculator__later(calculator, &input,
		    KEEP(Check__Sum_Closure), &sum);
		expect_true(sum != NULL && sum->sum == 42);
		check__sum__free_unpacked(sum, NULL);
	}
	stop();
}
END_TEST

START_TEST(a_method_can_refuse)
{
	static const struct {
		int64_t number;
		int status;
		const char *text;
	} ways[] = {
		{ 0, EIO, "no answer" }, { 1, EPROTO, "check.Sum" },
		{ 2, 42, "no, thanks" }, { 3, 43, "" }
	};
	Check__Numbers input = CHECK__NUMBERS__INIT;
	Check__Nothing nothing = CHECK__NOTHING__INIT;
	Check__Sum *sum;
	int64_t number;

	start(_i);
	input.number = &number;
	input.n_number = 1;
	for (int i = 0; i < 4; i++) {
		number = ways[i].number;
		check__calculator__refuse(calculator, &input,
		    KEEP(Check__Sum_Closure), &sum);
		expect_true(sum == NULL);
		expect_status(ways[i].status, ways[i].text);
	}
	check__calculator__missing(calculator, &nothing, NULL, NULL);
	expect_status(-ENOSYS, "");
	expect(45, sum_of(10));
	stop();
}
END_TEST

/* Descends n times, in bytes that anybody may send: made from the inside, each
 * tag and length written backwards before what it holds. */
static unsigned char *
nested(size_t n, size_t *size)
{
	size_t room = n * 6, at = room, length = 0;
	unsigned char *bytes = need(room);

	for (size_t i = 0; i < n; i++) {
		size_t left = length, from = at;

		while (left >> 7 > 0)
			left >>= 7, from--;
		from--;
		left = length;
		for (size_t k = from; k < at; k++, left >>= 7)
			bytes[k] = (unsigned char)((left & 0x7f) |
			    (k + 1 < at ? 0x80 : 0));
		at = from - 1;
		bytes[at] = 2 << 3 | 2;		/* branch */
		length = room - at;
	}
	memmove(bytes, bytes + at, length);
	*size = length;
	return bytes;
}

/* Calls with bytes of our own; the status. */
static int
call_raw(const char *method, const void *args, size_t size)
{
	char name[64];

	snprintf(name, sizeof name, "check.Calculator/%s", method);
	return ipc_rpc_call(client, name, args, size, NULL, NULL, SOON);
}

START_TEST(bad_bytes_are_told_and_harm_nobody)
{
	static const char *const bad[] = { "\xff", "\x0a", "\x0a\x7f", "\x0b",
	    "\x00", "\x0a\x01\x80", "\xff\xff\xff\xff\xff\xff", "\x12\x01" };
	unsigned char noise[512];

	start(_i);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		expect(EBADMSG, call_raw("Add", bad[i], i == 4 ? 1 :
		    strlen(bad[i])));
	for (unsigned seed = 0; seed < 200; seed++) {
		size_t size = seed * 2 + 1;
		int rc;

		pattern_fill(noise, size, seed);
		rc = call_raw("Turn", noise, size);
		if (rc != EBADMSG && rc != 0)
			fail_with("%s: %d: %s", where(), rc, ipc_errmsg());
	}
	expect(-ENOSYS, call_raw("Subtract", "", 0));
	expect(-ENOSYS, call_raw("", "", 0));
	expect(45, sum_of(10));
	stop();
}
END_TEST

START_TEST(no_nesting_is_too_deep_for_the_stack)
{
	static const struct { size_t depth; int status; } tries[] = {
		{ 1, 0 }, { 50, 0 }, { 99, 0 }, { 100, 0 }, { 101, EBADMSG },
		{ 300, EBADMSG }, { 1000000, EBADMSG }
	};
	unsigned char *bytes;
	size_t size;

	start_unix();
	for (size_t i = 0; i < sizeof tries / sizeof tries[0]; i++) {
		bytes = nested(tries[i].depth, &size);
		expect(tries[i].status, call_raw("Turn", bytes, size));
		/* The same bytes as a string that is none of our business. */
		expect(0, call_raw("Who", bytes, size));
		free(bytes);
	}
	expect(45, sum_of(10));
	stop();
}
END_TEST

/* Answers that are none: what each call gets is what it was given. */
static void
parrot(struct ipc_rpc_call *call, const void *args, size_t size, void *user)
{
	(void)args, (void)size;
	expect(0, ipc_rpc_reply(call, user, 3));
}

START_TEST(an_answer_that_is_none_is_told)
{
	struct ipc_channel *ch[2];
	Check__Nothing nothing = CHECK__NOTHING__INIT;
	Check__Numbers *numbers;
	char bad[] = "\xff\xff\xff", good[] = "\x12\x01x";

	expect(0, ipc_pair(ch, "unix:", 0));
	new_server();
	expect(0, ipc_rpc_register(server, "check.Calculator/Add", parrot,
	    bad));
	expect(0, ipc_rpc_register(server, "check.Calculator/Who", parrot,
	    good));
	start_with(ch);
	expect(INT64_MIN, sum_of(3));
	expect_status(-EBADMSG, "check.Sum");
	check__calculator__who(calculator, &nothing,
	    KEEP(Check__Numbers_Closure), &numbers);
	expect_true(numbers != NULL && strcmp(numbers->note, "x") == 0);
	check__numbers__free_unpacked(numbers, NULL);
	stop();
}
END_TEST

START_TEST(what_is_too_large_is_told)
{
	struct ipc_channel *ch[2];
	Check__Bytes input = CHECK__BYTES__INIT, *output;

	expect(0, ipc_pair(ch, "unix:", 0));
	new_server();
	expect(0, ipc_rpc_limit(server, IPC_RPC_ARGS, 1000));
	start_with(ch);
	input.has_data = 1;
	input.data.len = 2000;
	input.data.data = need(2000);
	memset(input.data.data, 1, 2000);
	check__calculator__echo(calculator, &input, KEEP(Check__Bytes_Closure),
	    &output);
	expect_true(output == NULL);
	expect_status(-EMSGSIZE, "");
	input.data.len = 900;
	check__calculator__echo(calculator, &input, KEEP(Check__Bytes_Closure),
	    &output);
	expect_true(output != NULL);
	check__bytes__free_unpacked(output, NULL);
	free(input.data.data);
	stop();
}
END_TEST

START_TEST(an_argument_must_be_whole_and_of_its_type)
{
	Check__Tree tree = CHECK__TREE__INIT, branch = CHECK__TREE__INIT;
	Check__Tree *branches[] = { &branch }, *turned;
	Check__Nothing nothing = CHECK__NOTHING__INIT;

	start_unix();
	check__calculator__add(calculator, (void *)&nothing, NULL, NULL);
	expect_status(-EINVAL, "check.Numbers");
	check__calculator__add(calculator, NULL, NULL, NULL);
	expect_status(-EINVAL, "check.Numbers");
	tree.n_branch = 1;
	check__calculator__turn(calculator, &tree, NULL, NULL);
	expect_status(-EINVAL, "");
	tree.branch = branches;
	branch.name = leaf;
	check__calculator__turn(calculator, &tree, KEEP(Check__Tree_Closure),
	    &turned);
	expect_true(turned != NULL && turned->n_branch == 1 &&
	    strcmp(turned->branch[0]->name, "leaf") == 0);
	check__tree__free_unpacked(turned, NULL);
	stop();
}
END_TEST

START_TEST(no_memory_is_told_and_nothing_leaks)
{
	ProtobufCService *poor;

	start_unix();
	expect(45, sum_of(10));
	atomic_store(&budget, 1000);	/* the 1,000 numbers need more */
	expect(INT64_MIN, sum_of(1000));
	expect_status(ENOMEM, "no memory");
	expect(0, atomic_load(&blocks));
	expect(45, sum_of(10));
	/* And at the client. */
	expect(0, ipc_protobuf_client_new(&poor, client,
	    &check__calculator__descriptor, &counted, 0));
	protobuf_c_service_destroy(calculator);
	calculator = poor;
	atomic_store(&budget, 0);
	expect(ENOMEM, (sum_of(10), ipc_protobuf_status(poor)));
	stop();
}
END_TEST

START_TEST(answers_lie_in_the_clients_own_memory)
{
	Check__Nothing nothing = CHECK__NOTHING__INIT;
	Check__Numbers *who = NULL;
	ProtobufCService *rich;

	start_unix();
	expect(0, ipc_protobuf_client_new(&rich, client,
	    &check__calculator__descriptor, &counted, 0));
	check__calculator__who(rich, &nothing, KEEP(Check__Numbers_Closure),
	    &who);
	expect_true(who != NULL && who->number[0] == getpid());
	/* The server's argument goes when its method is over. */
	for (int i = 0; i < SOON && atomic_load(&blocks) > 2; i++)
		pause_ms(1);
	expect(2, atomic_load(&blocks));
	check__numbers__free_unpacked(who, &counted);
	expect(0, atomic_load(&blocks));
	protobuf_c_service_destroy(rich);
	stop();
}
END_TEST

START_TEST(a_call_that_takes_too_long_is_cancelled)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	Check__Sum *sum = (Check__Sum *)&input;

	start(_i);
	input.note = never;
	expect(0, ipc_protobuf_set_timeout(calculator, 30));
	check__calculator__later(calculator, &input, KEEP(Check__Sum_Closure),
	    &sum);
	expect_true(sum == NULL);
	expect_status(-ETIMEDOUT, "");
	for (int i = 0; i < SOON && cancelled == 0; i++)
		pause_ms(1);
	expect(1, cancelled);
	expect(0, ipc_protobuf_set_timeout(calculator, SOON));
	expect(45, sum_of(10));
	stop();
}
END_TEST

/*
 * Ends
 */

struct ending {
	ProtobufCService *service;
	int		  runs, status;
	bool		  answered, destroy;
};

static void
note_end(const Check__Sum *sum, void *user)
{
	struct ending *e = user;

	e->runs++;
	e->answered = sum != NULL;
	e->status = ipc_protobuf_status(e->service);
	if (e->destroy)
		protobuf_c_service_destroy(e->service);
}

START_TEST(a_service_may_go_before_its_calls_are_answered)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	ProtobufCService *async;
	struct ending e = { 0 };

	start_unix();
	expect(0, ipc_protobuf_client_new(&async, client,
	    &check__calculator__descriptor, NULL, IPC_PROTOBUF_ASYNC));
	input.note = soon;
	e.service = async;
	check__calculator__later(async, &input, note_end, &e);
	protobuf_c_service_destroy(async);
	expect(0, e.runs);
	expect_ok(ipc_rpc_dispatch(client, SOON));
	expect_true(e.runs == 1 && e.answered && e.status == 0);
	/* Or in its own closure, either kind. */
	e = (struct ending){ .destroy = true, .service = calculator };
	check__calculator__later(calculator, &input, note_end, &e);
	expect_true(e.runs == 1 && e.answered);
	calculator = NULL;
	stop();
}
END_TEST

START_TEST(closing_a_client_runs_the_closures)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	ProtobufCService *async;
	struct ending e[3];

	start_unix();
	expect(0, ipc_protobuf_client_new(&async, client,
	    &check__calculator__descriptor, NULL, IPC_PROTOBUF_ASYNC));
	input.note = never;
	for (int i = 0; i < 3; i++) {
		e[i] = (struct ending){ .service = async };
		check__calculator__later(async, &input, note_end, &e[i]);
	}
	stop();
	for (int i = 0; i < 3; i++)
		expect_true(e[i].runs == 1 && !e[i].answered &&
		    e[i].status == -ECANCELED);
	protobuf_c_service_destroy(async);
}
END_TEST

static void
serve_alone(struct ipc_channel *ch, void *unused)
{
	(void)unused;
	new_server();
	expect(0, ipc_rpc_adopt(server, ch));
	expect(-EPIPE, ipc_rpc_serve(server, -1));
	expect(0, ipc_protobuf_server_close(served));
	expect(0, ipc_rpc_server_close(server));
}

START_TEST(a_killed_server_ends_what_is_under_way)
{
	Check__Numbers input = CHECK__NUMBERS__INIT;
	struct ending e = { 0 };
	ProtobufCService *async;
	struct ipc_channel *ch;
	pid_t pid;

	atomic_store(&budget, SIZE_MAX);
	ch = with_peer(_i, "", 0, serve_alone, NULL, &pid);
	expect(0, ipc_rpc_attach(&client, ch));
	expect(0, ipc_protobuf_client_new(&calculator, client,
	    &check__calculator__descriptor, NULL, 0));
	expect(0, ipc_protobuf_client_new(&async, client,
	    &check__calculator__descriptor, NULL, IPC_PROTOBUF_ASYNC));
	expect(45, sum_of(10));
	input.note = never;
	e.service = async;
	check__calculator__later(async, &input, note_end, &e);
	expect(45, sum_of(10));
	peer_kill(pid);
	somebody_died();
	expect_ok(ipc_rpc_dispatch(client, SOON));
	expect_true(e.runs == 1 && !e.answered &&
	    (e.status == -ECONNRESET || e.status == -EPIPE));
	expect(INT64_MIN, sum_of(10));
	protobuf_c_service_destroy(async);
	protobuf_c_service_destroy(calculator);
	calculator = NULL;
	expect(0, ipc_rpc_client_close(client));
}
END_TEST

/*
 * Wrong use
 */

START_TEST(methods_go_with_their_registration)
{
	struct ipc_channel *ch[2];

	expect(0, ipc_pair(ch, "unix:", 0));
	new_server();
	for (int i = 0; i < 3; i++) {
		expect(0, ipc_protobuf_server_close(served));
		expect(0, ipc_protobuf_server_new(&served, server,
		    &service.base, &counted));
	}
	expect(0, ipc_protobuf_server_close(served));
	expect(0, ipc_protobuf_server_close(NULL));
	served = NULL;
	start_with(ch);
	expect(INT64_MIN, sum_of(10));
	expect_status(-ENOSYS, "check.Calculator/Add");
	stop();
}
END_TEST

START_TEST(a_service_must_have_names_that_fit)
{
	static char longest[IPC_RPC_METHOD_MAX + 1];
	const ProtobufCMethodDescriptor nameless = { NULL,
	    &check__nothing__descriptor, &check__nothing__descriptor };
	ProtobufCMethodDescriptor method = { longest,
	    &check__nothing__descriptor, &check__nothing__descriptor };
	ProtobufCServiceDescriptor type = check__calculator__descriptor;
	Check__Calculator_Service s = service;
	ProtobufCService *remote;

	start_unix();
	type.methods = &nameless;
	type.n_methods = 1;
	s.base.descriptor = &type;
	expect(-EINVAL, ipc_protobuf_server_new(&served, server, &s.base,
	    NULL));
	expect(-EINVAL, ipc_protobuf_client_new(&remote, client, &type, NULL,
	    0));
	ck_assert_ptr_nonnull(strstr(ipc_errmsg(), "CODE_SIZE"));
	memset(longest, 'x', IPC_RPC_METHOD_MAX - strlen("check.Calculator/"));
	type.methods = &method;
	expect(0, ipc_protobuf_client_new(&remote, client, &type, NULL, 0));
	protobuf_c_service_destroy(remote);
	strcat(longest, "x");
	expect(-ENAMETOOLONG, ipc_protobuf_client_new(&remote, client, &type,
	    NULL, 0));
	expect(-ENAMETOOLONG, ipc_protobuf_server_new(&served, server, &s.base,
	    NULL));
	expect(45, sum_of(10));
	stop();
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
	ProtobufCService *remote;

	start_unix();
	expect(-EINVAL, ipc_protobuf_client_new(NULL, client,
	    &check__calculator__descriptor, NULL, 0));
	expect(-EINVAL, ipc_protobuf_client_new(&remote, NULL,
	    &check__calculator__descriptor, NULL, 0));
	expect(-EINVAL, ipc_protobuf_client_new(&remote, client, NULL, NULL,
	    0));
	expect(-EINVAL, ipc_protobuf_client_new(&remote, client,
	    &check__calculator__descriptor, NULL, 2));
	expect(-EINVAL, ipc_protobuf_server_new(NULL, server, &service.base,
	    NULL));
	expect(-EINVAL, ipc_protobuf_server_new(&served, NULL, &service.base,
	    NULL));
	expect(-EINVAL, ipc_protobuf_set_timeout(calculator, -2));
	expect(-EINVAL, ipc_protobuf_set_timeout(&service.base, 1));
	expect(-EINVAL, ipc_protobuf_status(&service.base));
	expect(-EINVAL, ipc_protobuf_status(NULL));
	stop();
}
END_TEST

int
main(void)
{
	TCase *tc;

	suite_open("protobuf");
	tc = tcase_open("calls", 30);
	for_each_case(tc, a_method_is_a_function, TALKS, TWO_WAY);
	for_each_case(tc, messages_of_any_size_come_back_as_they_were, TALKS,
	    TWO_WAY);
	for_each_case(tc, many_calls_are_under_way_at_once, TALKS, TWO_WAY);
	for_each_case(tc, a_closure_may_be_run_later_and_elsewhere, TALKS,
	    TWO_WAY);
	for_each_case(tc, a_method_can_refuse, TALKS, TWO_WAY);
	for_each_case(tc, bad_bytes_are_told_and_harm_nobody, TALKS, TWO_WAY);
	for_each_case(tc, a_call_that_takes_too_long_is_cancelled, TALKS,
	    TWO_WAY);
	for_each_case(tc, a_killed_server_ends_what_is_under_way, TALKS,
	    TWO_WAY | FORKS);
	tcase_add_test(tc, no_nesting_is_too_deep_for_the_stack);
	tcase_add_test(tc, an_answer_that_is_none_is_told);
	tcase_add_test(tc, what_is_too_large_is_told);
	tcase_add_test(tc, an_argument_must_be_whole_and_of_its_type);
	tcase_add_test(tc, no_memory_is_told_and_nothing_leaks);
	tcase_add_test(tc, answers_lie_in_the_clients_own_memory);
	tcase_add_test(tc, a_service_may_go_before_its_calls_are_answered);
	tcase_add_test(tc, closing_a_client_runs_the_closures);
	tcase_add_test(tc, methods_go_with_their_registration);
	tcase_add_test(tc, a_service_must_have_names_that_fit);
	tcase_add_test(tc, wrong_arguments_are_refused);
	return suite_close();
}

#else

int
main(void)
{
	suite_open("protobuf");
	skip_loudly("the adapter to protobuf-c: wants libprotobuf-c-dev and "
	    "protobuf-c-compiler");
	return suite_close();
}

#endif
