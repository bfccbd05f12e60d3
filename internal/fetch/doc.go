// Package fetch has one asynq server take its tasks in batches, in the order
// of their priorities, and without polling for them.
//
// asynq v0.26.0 dequeues in one goroutine, a task for each round trip, and
// sleeps where it finds nothing. A [Client] stands between the server and its
// Redis. It recognises the server's calls of the dequeue script by their keys
// (asynq's internal/rdb/rdb.go, Dequeue) and answers them by itself: asynq does
// not care which queue a message is of that it is given. Every other call
// passes unchanged, so that with an asynq that dequeues in another way all is
// as slow, and as right, as without the Client.
//
// # What is fetched
//
// A fetch is one pipeline of asynq's own script. It asks for at most as many
// tasks as handlers could start at once. The first queue is asked alone and
// before all others; these share what is left by their weights. Some slots
// only the first queue may use. How many tasks a queue is asked for grows while
// it has all of them, and shrinks to what it had.
//
// # Whose the tasks are
//
// What was fetched is active in Redis, and in the hands of the server's member
// of the roster until its handler returns. What is not handed out in time, or
// not at all because the server stops, is put back to the front of its queue.
// Pipelines are not repeated by go-redis: a task that the first run took, and
// whose answer was lost, is put back by the roster.
//
// # When there is nothing
//
// A call that finds nothing blocks for up to a second. For each queue that was
// found empty a watcher waits with BLMOVE from the end of the pending list to
// the same end of the same list. That changes nothing, but Redis answers when
// there is an element. It is a command that writes, so each wake-up goes to
// the append only file and to replicas, and a user with read rights alone may
// not send it: then the length of the list is asked for instead, now and again.
package fetch
