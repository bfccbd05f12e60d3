// Package roster brings asynq's tasks back whose worker is gone.
//
// asynq notices a killed worker by the leases of its tasks: 30 s until they
// end, 30 s more for clocks that differ, and then the next run of its
// recoverer, once a minute. A task without an entry among the leases
// (hibiken/asynq issue 1144) it does not find at all. Here each process that
// runs tasks is a [Member] of its workspace's roster, a hash in Redis. Every
// [Config.Interval] it writes its field anew, with a number that grows and the
// tasks that it has in hand, and looks at the others' fields and at the active
// tasks of its own queues. There is no leader: members come to the same
// verdicts, and each change is a script that only the first of them gets done.
//
// # Who is gone
//
// A member is gone when its field has stayed the same for [Config.DeadAfter]
// of the observer's own time. The observer must have written its own field and
// read the others' all that while: after a longer gap, because Redis was away
// or the observer stood still, its observations begin anew. The field is
// removed if it is still the same, and a member that was only slow writes it
// again.
//
// # What nobody has
//
// A task that is active and in the hands of no member is suspected. That is
// usual for a moment: between its being dequeued and the answer's coming, and
// between the handler's end and asynq's saying so to Redis. It is put
// back when every member that was there when the suspicion began has written
// two newer lists, neither of which has the task, so that the newer of them was
// made wholly after the suspicion began. asynq's lease of the task is
// part of its identity: dequeueing the task again, or extending its lease, as
// each living asynq server does every 5 s for its tasks, ends the suspicion.
//
// A member that has written nothing for three intervals no longer refutes a
// suspicion, but its tasks are put back only when it is gone. Then they are
// put back at once.
//
// # What asynq has lost
//
// Asynq's scripts that end a task (done, complete, requeue, retry and archive
// in internal/rdb/rdb.go of v0.26.0) take it from the active list, then its
// entry from the leases, and stop with NOT FOUND where there is none. Of such a
// task only the hash is left, in the state active. No worker will ever see it,
// and its id is taken for ever. Whoever has the turn, every
// [Config.SweepEvery], scans the hashes of a queue and makes such tasks
// pending, after a second look some seconds later, unless a member has them in
// hand.
//
// By these scripts no other task is lost: all the rest of them write hash and
// list in the same run or neither. Two of asynq's other ways to lose a task
// are left alone, because somebody meant it to go: those that the inspector
// deletes, of which nothing is left, and those that it trims from a full
// archive, whose hashes stay in the state archived.
//
// # What becomes of the old run
//
// A task may be put back once too often, if its worker was taken for dead or
// was slow to take it in hand. It runs twice then, which the ledger has to
// refuse. The run that asynq has forgotten ends with NOT FOUND in asynq's
// scripts, which asynq logs and gives up at the end of its lease. If another
// worker has the task by then, asynq cannot tell the two apart, and the first
// run to end decides about the task.
package roster
