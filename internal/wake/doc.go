// Package wake makes tasks run at once that asynq has put off: those of messages
// whose contact has appeared, or whose turn it is, and those of notifications
// whose message is known by now.
//
// A task is taken out of asynq's retry set and put to the front of its queue,
// because it has been there before. Tasks that are scheduled, archived or pending
// are left alone. A task that a worker has in hand may be about to be put off: it
// is looked at again and again for some seconds, by the goroutine of [Waker.Run].
//
// Nothing depends on a wake but how soon a task runs: each comes back by itself.
package wake
