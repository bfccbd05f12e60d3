package worker

import (
	"context"
	"sync"
	"time"
)

const (
	// maxUnknown is how many messages at a time may be under way to a contact of
	// which this process does not know whether Intercom has it: each of them may
	// get the answer that it has not.
	maxUnknown = 2
	// crowdWait is how long a message waits for what the others are answered, and
	// crowdAway how long it stays away then: it takes a place of those that can be
	// sent.
	crowdWait = 2 * time.Second
	crowdAway = time.Second
	// maxKnown is how many contacts are remembered at least: as many as messages
	// come in a burst. To ask anew costs the others one request's time.
	maxKnown = 5_000
)

// crowds keeps many messages from being sent to a contact at the same time that
// Intercom may not know. It is safe for concurrent use.
type crowds struct {
	mu      sync.Mutex
	unknown map[string]*crowd
	// known has the contacts to which a message was sent, and former those of a
	// while ago.
	known, former map[string]struct{}
}

// crowd is the messages that are under way to a contact.
type crowd struct {
	inFlight int
	// changed is closed when one of them has ended; nil if nobody waits for that.
	changed chan struct{}
}

func newCrowds() *crowds {
	return &crowds{unknown: map[string]*crowd{}, known: map[string]struct{}{}}
}

// enter tells whether a message may go. If so, leave must be called; if not,
// changed is closed when it is worth asking again.
func (c *crowds) enter(contact string) (entered bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.knows(contact) {
		return true, nil
	}
	here := c.unknown[contact]
	if here == nil {
		here = &crowd{}
		c.unknown[contact] = here
	}
	if here.inFlight >= maxUnknown {
		if here.changed == nil {
			here.changed = make(chan struct{})
		}
		return false, here.changed
	}
	here.inFlight++
	return true, nil
}

func (c *crowds) knows(contact string) bool {
	if _, ok := c.known[contact]; ok {
		return true
	}
	if _, ok := c.former[contact]; !ok {
		return false
	}
	c.remember(contact)
	return true
}

func (c *crowds) remember(contact string) {
	if len(c.known) >= maxKnown {
		c.known, c.former = map[string]struct{}{}, c.known
	}
	c.known[contact] = struct{}{}
}

// leave says that a message has ended, and what its answer says about the contact:
// KindSent, KindContactMissing or anything else for nothing.
func (c *crowds) leave(contact string, answer Kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer == KindSent || answer == KindSentUnknownID {
		c.remember(contact)
	}
	if answer == KindContactMissing {
		delete(c.known, contact)
		delete(c.former, contact)
	}
	here := c.unknown[contact]
	if here == nil {
		return // It was known when the message has entered.
	}
	if here.changed != nil {
		close(here.changed)
		here.changed = nil
	}
	if here.inFlight--; here.inFlight <= 0 || c.knows(contact) {
		delete(c.unknown, contact)
	}
}

// crowd waits until few messages are under way to a contact that may be missing.
// Of those that are sent at once, each would get Intercom's answer that it is.
func (w *Worker) crowd(ctx context.Context, d *delivery) error {
	contact := d.contact()
	if contact == "" {
		return nil
	}
	end := w.now().Add(crowdWait)
	for {
		entered, changed := w.crowds.enter(contact)
		if entered {
			d.entered = true
			return nil
		}
		left := end.Sub(w.now())
		if left <= 0 {
			return &snoozeError{until: w.now().Add(crowdAway), reason: "waits for what other messages to its contact are answered"}
		}
		if err := w.waitFor(ctx, changed, left); err != nil {
			return err
		}
	}
}

// disperse is the end of a message that has entered.
func (w *Worker) disperse(d *delivery) {
	if d.entered {
		w.crowds.leave(d.contact(), d.outcome.kind)
	}
}

// contact returns the contact of a message that has one only. Of several, an
// answer does not say which one is missing.
func (d *delivery) contact() string {
	if len(d.task.ContactIDs) != 1 {
		return ""
	}
	return d.task.ContactIDs[0]
}
