// Package onhold puts a workspace on hold while Intercom refuses its
// credentials, its plan or its configuration, and lets it go on by itself.
//
// A workspace is in one of three phases. While it is not on hold,
// [Guard.Enter] lets every attempt through. The first refused answer,
// [Pass.Blocked], makes it [Held]: its asynq queues are paused, which stops all
// processes at once, and no attempt may be made. One process at a time asks a
// probe now and then. When that succeeds the workspace is on [Trial]: the
// queues are resumed, but of all messages in all processes only one at a time
// may be tried, since a probe of the token says nothing about the plan. An
// answer about the message, [Pass.Answered], ends the hold; another refusal
// makes it Held again, with a longer wait.
//
// The phase is a hash in Redis, [ledger.HoldKey]. Each process has a [Guard]
// that looks at it every half second and does what another process may have
// left undone. Transitions are Lua scripts that name the hold and the round
// they are about, so that one that comes late or twice does nothing. A round
// is the time from one refusal to the end of the trial that follows it.
//
// asynq's pause is a key for each queue, in a slot of its own on a cluster, so
// it cannot change in one step with the hash. The value of the key tells whose
// it is: this package's names the hold and the round, anything else is an
// operator's and is left alone. The hash comes first when a hold begins and
// remembers the queues that were paused for its round, so another process
// pauses what is missing, but not what an operator has resumed meanwhile. It
// comes first as well when a round ends: a key of this package's for a round
// that is over is removed by any process, at any time.
package onhold
