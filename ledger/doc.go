// Package ledger remembers in Redis what became of every message: which
// attempt is under way, which message Intercom created for it, and why the
// last attempt went wrong. It is what makes an attempt at a message safe to
// repeat, because asynq, which holds the queues, forgets a task as soon as it
// is done and may run it twice.
//
// A message has a [Record] from its first attempt on. Before an attempt's
// request leaves, [Ledger.Begin] writes that it is about to (write-ahead) and
// hands out an [Attempt]; after the answer [Ledger.CommitSent] or
// [Ledger.Commit] writes what it did. Each transition is one Lua script that
// checks the state and the attempt it starts from, so that of two workers
// with the same message one is refused, and an outcome that arrives late
// cannot undo what is known by then. Each carries a token by which Redis
// recognises a repeat, since go-redis sends a script again when a connection
// breaks before the answer: the repeat gets the first call's answer.
//
// All times are Redis' own, so workers' clocks need not agree. All keys of a
// workspace share the hash tag {workspace}, which places them in one slot of
// a Redis Cluster.
//
// The states and transitions are drawn in docs/state_machine.md.
package ledger
