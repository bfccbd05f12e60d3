package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

const (
	// The first look comes after a thirtieth of the settle delay: 10 s by
	// default, which Intercom's index usually takes.
	firstLookShare = 30
	minFirstLook   = time.Second
	maxLookWait    = time.Minute
	// worthALook is after which time a contact may have answered a message
	// that opens no conversation by itself.
	worthALook = 30 * time.Second
	// maxLate is by how much an attempt may be late that was planned for before
	// the message is given up.
	maxLate = 10 * time.Second
)

// settle decides about an attempt that may have created the message. d.attempt
// is what the ledger says of it.
func (w *Worker) settle(ctx context.Context, d *delivery) error {
	found, err := w.look(ctx, d)
	if found != nil {
		return w.settled(ctx, d, *found)
	}
	switch {
	case w.givenUp(d):
		return w.hold(ctx, d)
	case err != nil && !errors.Is(err, errUndecided):
		return w.lookAgain(ctx, d, err)
	case settle.Searchable(d.envelope.Message) && d.attempt.Now.Before(w.believedAt(d)):
		return w.lookAgain(ctx, d, nil)
	case err != nil || d.policy(w.cfg.IfUncertain) == ledger.Hold:
		return w.hold(ctx, d)
	}
	return w.resend(ctx, d)
}

// givenUp tells whether the message has been tried for long enough. Workers may
// die of it again and again, or one may have died between recording that an
// attempt is uncertain and holding the message.
func (w *Worker) givenUp(d *delivery) bool {
	since := d.attempt.FailingSince
	return !since.IsZero() && d.attempt.Now.Sub(since) > w.cfg.GiveUpAfter+maxLate
}

// believedAt is from when on 'not found' is believed: Intercom's index has
// caught up, and a worker that only seems to be gone has ended its request.
func (w *Worker) believedAt(d *delivery) time.Time {
	at := d.attempt.UncertainAt.Add(w.cfg.SettleDelay)
	if at.Before(d.attempt.Until) {
		return d.attempt.Until
	}
	return at
}

// errUndecided says that a search does not tell whether the message exists.
var errUndecided = errors.New("a conversation may be the message's")

// errForbidden says that the token must not search.
var errForbidden = errors.New("search is not allowed")

// look searches Intercom for the message. nil, nil is "not found", which may
// be too early to believe.
func (w *Worker) look(ctx context.Context, d *delivery) (*ledger.Found, error) {
	searchable := settle.Searchable(d.envelope.Message)
	if !searchable && d.attempt.Now.Sub(d.attempt.UncertainAt) < worthALook {
		return nil, nil
	}
	found, err := w.search(ctx, d)
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, errForbidden):
		w.log.Error("Intercom does not let the token search conversations: the policy decides without",
			zap.String("key", d.task.Key), zap.Error(err))
		return nil, nil
	case errors.Is(err, settle.ErrNotComparable), !searchable:
		// The policy would decide without a search.
		w.log.Debug("not looked for", zap.String("key", d.task.Key), zap.Error(err))
		return nil, nil
	case errors.Is(err, settle.ErrUndecided), errors.Is(err, settle.ErrTooMany):
		w.log.Warn("a search does not tell whether the message exists",
			zap.String("key", d.task.Key), zap.Error(err))
		return nil, errUndecided
	}
	return nil, err
}

// search makes the request, for which it takes the leave that the message has:
// to wait for another one while that one is held could take for ever. A
// conversation that belongs to another message of ours is passed over.
func (w *Worker) search(ctx context.Context, d *delivery) (*ledger.Found, error) {
	leave := d.leave
	d.leave = nil
	searchCtx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	start := w.now()
	found, resp, err := w.finder.Find(searchCtx, w.addressed(ctx, d), d.attempt.UnsettledSince)
	if err != nil {
		return nil, w.searchFailed(ctx, leave, resp, start, err)
	}
	leave.answered(ctx, outcome{}, resp, start) // It says nothing about messages.
	for _, c := range found {
		f := ledger.Found{MessageID: string(c.Source.ID), ConversationID: string(c.ID)}
		owner, err := w.ledger.LookupMessage(ctx, f.MessageID)
		if errors.Is(err, ledger.ErrNotFound) {
			return &f, nil
		}
		if err != nil {
			return nil, err
		}
		if owner.Key == d.task.Key {
			return &f, nil
		}
	}
	return nil, nil
}

// addressed returns the message as it is addressed today: its first recipient may
// have been merged into another contact, which has the conversation now.
func (w *Worker) addressed(ctx context.Context, d *delivery) *intercom.Message {
	m := d.envelope.Message
	if len(m.To) == 0 {
		return m
	}
	former, err := w.ledger.Former(ctx, m.To[0].ID)
	if err != nil || former == nil || former.MergedInto == "" {
		return m // Where Redis did not answer, there is another search.
	}
	return settle.Readdressed(m, former.MergedInto)
}

// searchFailed tells apart what the search found out from what kept it from
// searching.
func (w *Worker) searchFailed(ctx context.Context, leave *clearance, resp *intercom.Response, sentAt time.Time, err error) error {
	for _, undecided := range []error{settle.ErrNotComparable, settle.ErrUndecided, settle.ErrTooMany} {
		if errors.Is(err, undecided) {
			leave.searched(ctx, resp, sentAt)
			return err
		}
	}
	o := classify(nil, resp, err)
	// A token may send messages and not read conversations.
	o.hold = false
	leave.answered(ctx, o, resp, sentAt)
	if o.err.Status == http.StatusForbidden {
		return fmt.Errorf("%w: %s", errForbidden, reasonText(o.err))
	}
	return fmt.Errorf("search: %s", reasonText(o.err))
}

// settled records that the message exists.
func (w *Worker) settled(ctx context.Context, d *delivery, f ledger.Found) error {
	err := w.persist(ctx, d, func(ctx context.Context) error { return w.ledger.SettleAttempt(ctx, d.attempt, f) })
	log := w.log.With(zap.String("key", d.task.Key), zap.Int("attempt", d.attempt.Number),
		zap.String("message_id", f.MessageID), zap.String("conversation_id", f.ConversationID))
	if _, taken := errors.AsType[*ledger.TakenError](err); taken {
		// Another message was quicker. The next look passes it over.
		return w.lookAgain(ctx, d, err)
	}
	if fenced, ok := errors.AsType[*ledger.FencedError](err); ok {
		return w.overtaken(log, fenced)
	}
	if err != nil {
		log.Error("message that was found is not recorded", zap.Error(err))
		return err
	}
	waking, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistTry)
	defer cancel()
	if err := w.wakes.Parked(waking, f.MessageID); err != nil {
		log.Warn("replies to the message are matched later", zap.Error(err))
	}
	w.metrics.settled.WithLabelValues("search").Inc()
	log.Info("settled: the message was found in Intercom", zap.String("state", string(ledger.Sent)))
	return errDone
}

// lookAgain brings the task back for the next look.
func (w *Worker) lookAgain(ctx context.Context, d *delivery, cause error) error {
	at := w.nextLook(d)
	reason := "looks for the message in Intercom"
	if cause != nil {
		reason = cause.Error()
		w.log.Warn("cannot tell yet whether the message exists", zap.String("key", d.task.Key), zap.Error(cause))
	}
	d.backAt = task.CeilSecond(w.now().Add(at.Sub(d.attempt.Now)))
	if d.attempt.State == ledger.Uncertain {
		err := w.ledger.LookAgain(ctx, d.attempt, d.attempt.Now.Add(d.backAt.Sub(w.now())))
		if fenced, ok := errors.AsType[*ledger.FencedError](err); ok {
			return w.overtaken(w.log.With(zap.String("key", d.task.Key)), fenced)
		}
		if err != nil {
			w.metrics.ledgerErrors.Inc() // It is only for people to see.
		}
	}
	return &snoozeError{until: d.backAt, reason: reason}
}

// nextLook doubles the time since the attempt became uncertain. The last look
// falls on the time from which 'not found' is believed.
func (w *Worker) nextLook(d *delivery) time.Time {
	now := d.attempt.Now
	next := now.Add(min(max(now.Sub(d.attempt.UncertainAt), w.firstLook()), maxLookWait))
	if believed := w.believedAt(d); now.Before(believed) && next.After(believed) {
		return believed
	}
	return next
}

func (w *Worker) firstLook() time.Duration {
	return min(max(w.cfg.SettleDelay/firstLookShare, minFirstLook), maxLookWait)
}

// resend begins another attempt, after one that may have created the message.
func (w *Worker) resend(ctx context.Context, d *delivery) error {
	if d.leave == nil { // The search has used it.
		var err error
		// It has waited for its turn already.
		if d.leave, err = w.leave(ctx, ratelimit.Urgent); err != nil {
			return err
		}
	}
	a, err := w.beginAttempt(ctx, d, ledger.BeginOptions{Settled: d.attempt.Number})
	if err != nil {
		return err
	}
	if a.Verdict == ledger.Begun {
		w.metrics.resent.Inc()
		w.log.Warn("sending again after an attempt that may have created the message",
			zap.String("key", d.task.Key), zap.Int("attempt", a.Number))
	}
	return w.afterBegin(d, a)
}

// heldReason is what asynq's web UI shows of a held message.
const heldReason = "held: an attempt may have created the message, and a person has to decide about it"

// hold keeps the message from being sent again until a person has decided, and
// archives its task.
func (w *Worker) hold(ctx context.Context, d *delivery) error {
	err := w.persist(ctx, d, func(ctx context.Context) error { return w.ledger.Hold(ctx, d.attempt) })
	log := w.log.With(zap.String("key", d.task.Key), zap.Int("attempt", d.attempt.Number))
	if fenced, ok := errors.AsType[*ledger.FencedError](err); ok && fenced.State != ledger.Held {
		return w.overtaken(log, fenced)
	}
	if err != nil {
		return fmt.Errorf("hold %q: %w", d.task.Key, err)
	}
	w.metrics.messages.WithLabelValues(string(ledger.Held)).Inc()
	log.Warn("held: a person has to decide whether the message was created")
	return archived(heldReason)
}

// identify looks for the id of a message that exists.
func (w *Worker) identify(ctx context.Context, d *delivery) error {
	if !settle.Searchable(d.envelope.Message) {
		return errDone
	}
	found, err := w.look(ctx, d)
	switch {
	case found != nil:
		return w.settled(ctx, d, *found)
	case errors.Is(err, errUndecided), err == nil && !d.attempt.Now.Before(w.believedAt(d)), w.givenUp(d):
		w.log.Warn("the message was created and its id is not found: a person can tell it",
			zap.String("key", d.task.Key), zap.String("state", string(ledger.Sent)))
		return errDone
	}
	return w.lookAgain(ctx, d, err)
}
