package fetch

import (
	"slices"
	"time"
)

// minAsk is how many tasks a queue is asked for at the least, where there is
// room: if one comes and the second does not, the queue is known to be empty.
const minAsk = 2

// queue is what is known of one of asynq's queues. Client.mu guards its
// variables.
type queue struct {
	name       string
	weight     int
	keys       []string
	taskPrefix string
	class      *class

	// ready is whether it may have tasks. If not, its watcher is at work.
	ready bool
	// size is how many tasks it is asked for.
	size int
	// credit is its claim to be asked before others of its class.
	credit int
	// futile counts the looks at it in a row that brought nothing.
	futile int
	// armed sends its watcher to work.
	armed chan reason
}

// reason is why a watcher is to wait.
type reason struct {
	// futile counts the looks in a row, each after a wake-up, that brought
	// nothing.
	futile int
	// failed is whether Redis gave no answer.
	failed bool
}

func newQueue(name string, weight int, of *class) *queue {
	return &queue{
		name: name, weight: weight, class: of, keys: queueKeys(name), taskPrefix: queuePrefix(name) + taskInfix,
		ready: true, size: minAsk, armed: make(chan reason, 1),
	}
}

// class is the first queue, or all the others.
type class struct {
	queues []*queue
	// limit is how many slots they may use, busy how many they do.
	limit, busy int
	// buffered are the tasks to hand out, in the order in which they came.
	buffered []*claim
}

func (k *class) take() *claim {
	t := k.buffered[0]
	k.buffered = k.buffered[1:]
	return t
}

func (k *class) takeAll() []*claim {
	all := k.buffered
	k.buffered = nil
	return all
}

// takeStale removes and returns the tasks that are too old.
func (k *class) takeStale(now time.Time) []*claim {
	n := 0
	for n < len(k.buffered) && k.buffered[n].stale(now) {
		n++
	}
	old := k.buffered[:n:n]
	k.buffered = k.buffered[n:]
	return old
}

// ask is how many tasks a queue is asked for.
type ask struct {
	q *queue
	n int
}

// plan says what to ask for, given the room for tasks of all classes: the most
// tasks, shared by the weights among the queues that may have some. It goes
// from one slot to the next as weighted round robin does, each time to the
// queue with most credit, so that none is starved where there is but one slot.
func (k *class) plan(room int) []ask {
	room = min(room, k.limit-k.busy, maxBatch)
	var asks []ask
	for _, q := range k.queues {
		if q.ready {
			asks = append(asks, ask{q: q})
		}
	}
	for range room {
		next := k.next(asks)
		if next < 0 {
			break
		}
		asks[next].n++
	}
	return used(asks)
}

// wants tells whether there is something to ask for.
func (k *class) wants(room int) bool {
	return min(room, k.limit-k.busy) > 0 && slices.ContainsFunc(k.queues, func(q *queue) bool { return q.ready })
}

// next is the queue that gets the next slot, or -1.
func (k *class) next(asks []ask) int {
	next, total := -1, 0
	for i, a := range asks {
		if a.n == a.q.size {
			continue
		}
		a.q.credit += a.q.weight
		total += a.q.weight
		if next < 0 || a.q.credit > asks[next].q.credit {
			next = i
		}
	}
	if next >= 0 {
		asks[next].q.credit -= total
	}
	return next
}

func used(asks []ask) []ask {
	n := 0
	for _, a := range asks {
		if a.n > 0 {
			asks[n] = a
			n++
		}
	}
	return asks[:n]
}

// settle notes what a queue gave that was asked for tasks.
func (q *queue) settle(asked, got int, failed bool) {
	if got > 0 {
		q.futile = 0
	}
	switch {
	case failed:
		q.arm(reason{failed: true})
	case got == asked:
		if asked == q.size {
			q.size = min(2*q.size, maxBatch)
		}
	default:
		if got == 0 {
			q.futile++
		}
		q.size = max(got, minAsk)
		q.arm(reason{futile: max(0, q.futile-1)})
	}
}

func (q *queue) arm(why reason) {
	q.ready, q.credit = false, 0
	q.armed <- why
}
