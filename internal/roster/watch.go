package roster

import "time"

// leaseGrain is the step of asynq's leases. A task that was dequeued again
// within a step looks the same as before.
const leaseGrain = time.Second

// snapshot is what one look at Redis has shown.
type snapshot struct {
	// active holds, by queue, the ids of the active tasks and their leases.
	active map[string]map[string]string
	// members holds the fields of the other members.
	members map[string]string
}

// watch is what a member concludes from a row of snapshots. It knows no Redis
// and no clock.
type watch struct {
	interval, deadAfter time.Duration
	// tick counts snapshots from 1; last is when the last one had come.
	tick     int
	last     time.Time
	began    time.Time
	members  map[string]*seenMember
	suspects map[string]*suspect
}

// seenMember is another member as it was seen.
type seenMember struct {
	id, value string
	// member is nil where the value cannot be read.
	member *Member
	// first, before and change are ticks: when it was seen first, and when its
	// value was seen to change for the last time and the time before.
	first, before, change int
	changed               time.Time
}

// suspect is an active task that no member speaks for.
type suspect struct {
	queue, id, lease string
	// since and at are the tick and the time when the suspicion began.
	since int
	at    time.Time
	// holder is the silent member that had the task, if one had.
	holder string
}

func newWatch(interval, deadAfter time.Duration) *watch {
	return &watch{
		interval: interval, deadAfter: deadAfter,
		members: map[string]*seenMember{}, suspects: map[string]*suspect{},
	}
}

// look takes in the members of a snapshot that was asked for at began and had
// come at ended.
func (w *watch) look(began, ended time.Time, members map[string]string) {
	if w.tick > 0 && ended.Sub(w.last) > maxGap*w.interval {
		clear(w.members)
		clear(w.suspects)
	}
	w.tick++
	w.began, w.last = began, ended
	for id := range w.members {
		if _, there := members[id]; !there {
			delete(w.members, id)
		}
	}
	for id, value := range members {
		w.lookAt(id, value, ended)
	}
}

func (w *watch) lookAt(id, value string, now time.Time) {
	m := w.members[id]
	if m == nil {
		m = &seenMember{id: id, first: w.tick}
		w.members[id] = m
	}
	if m.value == value {
		return
	}
	m.member, _ = decode(id, value)
	m.value, m.changed = value, now
	m.before, m.change = m.change, w.tick
}

// silent tells how long nothing was heard of the member, at the least.
func (w *watch) silent(m *seenMember) time.Duration { return w.began.Sub(m.changed) }

// dead returns the members that are gone.
func (w *watch) dead() []*seenMember {
	var gone []*seenMember
	for _, m := range w.members {
		if w.silent(m) >= w.deadAfter {
			gone = append(gone, m)
		}
	}
	return gone
}

// forget leaves a member out whose field was removed.
func (w *watch) forget(m *seenMember) { delete(w.members, m.id) }

// mayHave tells whether the member may still have in hand, without its having
// said so, what is suspected since that tick. Members that came later cannot:
// they would have dequeued the task, which would have another lease.
func (m *seenMember) mayHave(since int) bool {
	return since >= m.first && (m.member == nil || m.before <= since)
}

// lost returns the active tasks that are to be put back, given what is in the
// observer's own hands.
func (w *watch) lost(active map[string]map[string]string, own func(string) bool) []*suspect {
	speaking, silent := w.holders()
	there := map[string]bool{}
	var found []*suspect
	for queue, tasks := range active {
		for id, lease := range tasks {
			h := hand(queue, id)
			if speaking[h] || own(h) {
				continue
			}
			there[h] = true
			s := w.suspects[h]
			if s == nil || s.lease != lease {
				s = &suspect{queue: queue, id: id, lease: lease, since: w.tick, at: w.last}
				w.suspects[h] = s
			}
			if holder, held := silent[h]; held {
				s.holder = holder
				continue
			}
			if w.members[s.holder] != nil {
				s.holder = "" // It speaks again, and does not have the task.
			}
			if w.confirmed(s) {
				found = append(found, s)
			}
		}
	}
	for h := range w.suspects {
		if !there[h] {
			delete(w.suspects, h)
		}
	}
	return found
}

// holders returns the tasks in the hands of those that speak, and of those
// that have fallen silent, with their ids.
func (w *watch) holders() (speaking map[string]bool, silent map[string]string) {
	speaking, silent = map[string]bool{}, map[string]string{}
	for _, m := range w.members {
		if m.member == nil {
			continue
		}
		for _, h := range m.member.Hands {
			if w.silent(m) < maxGap*w.interval {
				speaking[h] = true
			} else {
				silent[h] = m.id
			}
		}
	}
	return speaking, silent
}

// confirmed tells whether all were heard and time enough has gone by.
func (w *watch) confirmed(s *suspect) bool {
	if w.tick-s.since < 2 || w.began.Sub(s.at) < leaseGrain+2*w.interval {
		return false
	}
	for _, m := range w.members {
		if m.mayHave(s.since) {
			return false
		}
	}
	return true
}
