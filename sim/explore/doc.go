// Package explore runs the programs of package protocol in every order in which they can
// run, and says whether any of them goes wrong.
//
//  1. A [Case] is a small situation, in text: what is in memory, a few threads with the
//     programs they run, and what is expected. [BuiltIn] has those of the hazards that
//     reviewers of the series named, and the litmus tests of the literature.
//  2. [Run] explores a case with one resolver, without some rules, under one memory model
//     ([SC], [TSO], [Weak]), breadth first with every state visited once: the first
//     counterexample is one with the fewest moves. [Plan] lists the runs of a selection.
//  3. A counterexample is a list of [Row]s, and a schedule that [Replay] runs again.
//
// # What goes wrong
//
//	P1        memory is touched that is freed, or was never of that kind
//	P2        a lookup answers what no locked lookup would have, at any instant of it
//	P3        the uprobe of an answer is used after it was freed
//	P4        a lookup without the lock waits for somebody
//	P5        a thread is killed with SIGTRAP, though its breakpoint was a uprobe's
//	never     the end that the case says must not be is reached
//	deadlock  nobody can go on
//
// The answers that are right are worked out from the words in memory, at the instant at
// which an operation of the writer has happened, and not by the programs that are
// explored. Under the weak model an instant is no older than what the thread has
// to know of.
//
// # What is left out
//
// Steps that no other thread can tell are done with the one before them, and a step that
// nothing others may still do depends on is done alone ([Options].Full does neither; tests
// compare). The begin of a lookup and of a section are put off to the next step that
// others can tell, and the answer is given at once, which is the strictest. States are
// compared by 128 bits of their hash.
//
// A grace period ends as soon as it may. Numbers are below 256: a sequence of 64 bits does
// not wrap within a case, and one of 32 bits as the case says. At most 16 stores of a
// thread wait in a buffer under TSO, and at most 10 values of a word are seen at a time
// under the weak model, which has no load buffering: see weak.go.
//
// # Cases
//
// A case is read line by line; "#" begins a comment, of which the first is its
// description.
//
//	case NAME
//	hazard ID RULE[+RULE] WHO MESSAGE    what it is about, which rules prevent it, and who
//	                                     raised it; - for what there is not
//	resolvers NAME...                    by default all that are meant to be right
//	memory sc|tso|weak...                by default all three
//	wrap BITS                            the width of 32-bit sequences in the case
//	kernel without RULE...               the case is of a kernel without them
//	object NAME KIND FIELD=VALUE...      a VALUE is a number or the name of an object
//	thread NAME                          and then, indented, what it does:
//	  do PROGRAM REG=VALUE...              a program of package protocol, or of the case
//	  STEP                                 a step in its text form
//	program NAME                         a program of the case's own; it may take the place
//	  STEP                               of one of package protocol
//	never COND and COND...               THREAD:REG == VALUE, OBJECT.FIELD != VALUE
//	breaks [RESOLVER...] [without RULE[+RULE]] on MODEL...
//	holds [RESOLVER...] without RULE[+RULE]
//
// The objects g (what belongs to no other) and uprobes (the tree, whose root is the first
// uprobe) are always there, and the first mm is current->mm. What no line of breaks is
// about is expected to hold. A line about rules that names no resolver is about the
// series as posted and as merged.
package explore
