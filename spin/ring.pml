/* SPDX-License-Identifier: ISC */
/*
 * How the two sides of a ring sleep and wake each other: lib/ring.c,
 * "SLEEPING".  A sender passes MESSAGES numbers through a ring of SLOTS; each
 * side sleeps when it can not go on.  Every store goes through a store buffer
 * that is written back at any time (as on x86), so a load may overtake it; a
 * fence waits until one's own buffer is empty, membarrier empties the other's.
 *
 * Not in it is what only hints: where a side runs (cpu), and the mark of one
 * that has left, whose goodbye comes another way.
 *
 * A lost wake-up is a deadlock, which spin finds as an invalid end state.
 * scripts/check-model.sh checks that there is none, and that there is one in
 * every mutant:
 *
 *	NO_BARRIER	the sleeper does not call membarrier
 *	NO_FENCE	nobody executes a full fence
 *	NO_LOOK		the sleeper does not look again after marking itself
 *	NO_SAY		a side that omits its fence does not say so first
 *	BLIND		the waker wipes the mark without looking whose it is
 *	LATE		the sleeper puts its bell out after it has looked
 */

#ifndef MESSAGES
#define MESSAGES	3
#endif
#ifndef SLOTS
#define SLOTS		1
#endif
/* Marks wrap after so many; a sleeper must not wrap while its waker holds an old
 * one, which here takes 4 naps and with 32 bits a thousand million. */
#define NAPS		32
#define DEPTH		3	/* of a store buffer */

#define S		0	/* the sender */
#define R		1	/* the receiver */

/* What is shared, by who writes it. */
byte at[2];			/* the sender's words; the receiver's pos */
byte mark[2];			/* sleep: odd, asleep */
bool reg[2];
bool bell[2];			/* lit */

mtype = { AT, MARK, REG };
chan buffer[2] = [DEPTH] of { mtype, byte };

inline commit(c)
{
	if
	:: buffer[c] ? AT(tmp) -> at[c] = tmp
	:: buffer[c] ? MARK(tmp) -> mark[c] = tmp
	:: buffer[c] ? REG(tmp) -> reg[c] = tmp
	fi
}

/* Writes a store buffer back, now or later. */
proctype writeback(byte who)
{
	byte tmp;
end:
	do
	:: atomic { nempty(buffer[who]) -> commit(who); tmp = 0 }
	od
}

inline fence(f)
{
#ifndef NO_FENCE
	empty(buffer[f])
#else
	skip
#endif
}

inline drain(d)
{
	do
	:: nempty(buffer[d]) -> commit(d)
	:: empty(buffer[d]) -> break
	od;
	tmp = 0
}

/* What a side sees of the other is in memory; its own it knows. */
#define GO(who)		((who == S && mine - at[R] < SLOTS) || \
			    (who == R && at[S] != mine))

inline put_out(p)
{
	bell[p] = false
}

inline sleep(s)
{
	put_out(s);
	atomic { nap = ((nap | 1) + 2) % NAPS; buffer[s] ! MARK(nap) };
	fence(s);
#ifndef NO_BARRIER
	if
	:: atomic { reg[1 - s] -> drain(1 - s) }
	:: atomic { !reg[1 - s] -> skip }
	fi;
#endif
	if
#ifndef NO_LOOK
	:: atomic { GO(s) ->
		nap = (nap + 1) % NAPS;
		buffer[s] ! MARK(nap) }
	:: atomic { !GO(s) -> skip };
#ifdef LATE
		put_out(s);
#endif
		bell[s]
#else
	:: bell[s]
#endif
	fi
}

/* After a store that the other side may be waiting for. */
inline wake(w)
{
	if
	:: omit
	:: !omit -> fence(w)
	:: !omit && !said ->
		/* From now on without it. */
#ifndef NO_SAY
		buffer[w] ! REG(1);
		fence(w);
#endif
		omit = true;
		said = true
	fi;
	token = mark[1 - w];
	if
	:: token % 2 == 1 ->
		bell[1 - w] = true;
#ifdef BLIND
		atomic { empty(buffer[w]) -> mark[1 - w] = 0 }
#else
		/* A locked instruction: with its own buffer empty. */
		atomic { empty(buffer[w]) ->
			if
			:: mark[1 - w] == token ->
				mark[1 - w] = (token + 1) % NAPS
			:: else
			fi }
#endif
	:: else
	fi;
	token = 0
}

proctype side(byte who)
{
	byte mine = 0, nap = 0, token = 0, tmp = 0;
	bool omit = false, said = false;

	do
	:: mine == MESSAGES -> break
	:: mine < MESSAGES ->
		if
		:: atomic { GO(who) ->
			mine++;
			buffer[who] ! AT(mine) };
			wake(who)
		:: atomic { !GO(who) -> skip };
			sleep(who)
		fi
	od
}

init {
	atomic {
		run writeback(S);
		run writeback(R);
		run side(S);
		run side(R)
	}
}
