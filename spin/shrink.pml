/* SPDX-License-Identifier: ISC */
/*
 * How the receiver of a ring gives memory back while the sender may write:
 * lib/ringsize.c.  The sender stores a claim, then loads the gate, and writes
 * if that is what it was; the receiver stores an odd gate, then loads the
 * claim, and takes the memory away if it has had all that was claimed.  Stores
 * go through store buffers as in ring.pml.
 *
 * The sender asserts that there is memory where it writes.  It may claim more
 * than before while it is about it, whatever the gate says then, as what it
 * has not shown keeps the memory, and less again, before it has shown that or
 * after: so it does with a record in parts, or one shorter than its room.
 * Nobody sleeps here; a sender that finds the gate odd waits until it is even.
 * scripts/check-model.sh checks that this holds, and that it does not in every
 * mutant:
 *
 *	NO_BARRIER	the receiver does not call membarrier
 *	NO_FENCE	nobody executes a full fence
 *	NO_SAY		a sender that omits its fence does not say so first
 *	NO_CLAIM	the receiver looks only at what was shown
 *	EARLY		the sender makes memory real while the gate is odd
 *	LESS		the sender claims less before it has written
 */

#define MESSAGES	4
#define SHRINKS		3
#define DEPTH		4	/* of a store buffer */

#define S		0	/* the sender */
#define R		1	/* the receiver */

byte shown, claim;		/* the sender's */
bool reg;
byte gate;			/* the receiver's: odd, is shrinking */
bool real = true;		/* the memory */

mtype = { SHOWN, CLAIM, REG, GATE };
chan buffer[2] = [DEPTH] of { mtype, byte };

inline commit(c)
{
	if
	:: buffer[c] ? SHOWN(tmp) -> shown = tmp
	:: buffer[c] ? CLAIM(tmp) -> claim = tmp
	:: buffer[c] ? REG(tmp) -> reg = tmp
	:: buffer[c] ? GATE(tmp) -> gate = tmp
	fi
}

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

proctype sender()
{
	byte mine = 0, known = 0;
	bool omit = false;

	do
	:: mine == MESSAGES -> break
	:: mine < MESSAGES && !omit ->
		/* From now on without it. */
#ifndef NO_SAY
		buffer[S] ! REG(1);
		fence(S);
#endif
		omit = true
	:: mine < MESSAGES ->
		buffer[S] ! CLAIM(mine + 1);
		if
		:: omit
		:: !omit -> fence(S)
		fi;
		if
		:: atomic { gate == known -> skip };
			assert(real);
			if
			:: mine++;
				buffer[S] ! SHOWN(mine)
			:: buffer[S] ! CLAIM(mine + 2);
#ifdef LESS
				buffer[S] ! CLAIM(mine);
#endif
				assert(real);
				mine++;
				if
				:: buffer[S] ! CLAIM(mine);
					buffer[S] ! SHOWN(mine)
				:: buffer[S] ! SHOWN(mine);
					buffer[S] ! CLAIM(mine)
				fi
			fi
		:: atomic { gate != known -> skip };
#ifdef EARLY
			atomic { known = gate; real = true }
#else
			atomic { gate % 2 == 0 -> known = gate };
			real = true
#endif
		fi
	od
}

proctype receiver()
{
	byte had = 0, even = 0, shrinks = 0, tmp = 0;

	do
	:: atomic { had < MESSAGES && shown > had -> had = shown }
	:: atomic { shrinks < SHRINKS && shown == had -> shrinks++ };
		buffer[R] ! GATE(even + 1);
		fence(R);
#ifndef NO_BARRIER
		if
		:: atomic { reg -> drain(S) }
		:: atomic { !reg -> skip }
		fi;
#endif
		if
#ifndef NO_CLAIM
		:: atomic { shown == had && claim == had -> skip };
#else
		:: atomic { shown == had -> skip };
#endif
			real = false;
			even = even + 2
		:: else
		fi;
		buffer[R] ! GATE(even);
		fence(R)
	:: had == MESSAGES -> break
	od
}

init {
	atomic {
		run writeback(S);
		run writeback(R);
		run sender();
		run receiver()
	}
}
