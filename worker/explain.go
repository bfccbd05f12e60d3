package worker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

const (
	// explainAfter is the number of the answer that a contact is missing after
	// which it is looked up what that means. A contact that is only new has
	// mostly appeared by then.
	explainAfter   = 3
	explainTimeout = 5 * time.Second
)

// The codes of what a 404 has turned out to mean.
const (
	codeMerged       = "contact_merged"
	codeDeleted      = "contact_deleted"
	codeAdminMissing = "admin_not_found"
)

// directory is what a worker's Intercom may have besides: it looks up who is
// missing. *intercom.Client has it.
type directory interface {
	Contact(ctx context.Context, id string) (*intercom.Contact, *intercom.Response, error)
	Admin(ctx context.Context, id int64) (*intercom.Admin, *intercom.Response, error)
}

// explanation is what a 404 means.
type explanation struct {
	ledger.Error

	final ledger.Finality
}

// explain finds out what the answer means that the contact is missing, and writes
// it into the record, which has the outcome already.
func (w *Worker) explain(ctx context.Context, d *delivery, next *ledger.Outcome) {
	if d.contact() == "" {
		return
	}
	x := w.meaning(ctx, d, next)
	if x == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), persistTry)
	defer cancel()
	state, err := w.ledger.Explain(ctx, d.attempt, x.Error, x.final)
	log := w.log.With(zap.String("key", d.task.Key), zap.String("contact_id", d.contact()))
	if err != nil {
		log.Warn("what the answer means is not recorded", zap.Error(err))
		return
	}
	if state == "" {
		return // Somebody has decided otherwise meanwhile.
	}
	next.Error = x.Error
	if state == ledger.Failed {
		next.State, next.NextAttemptAt = ledger.Failed, time.Time{}
	}
	if x.final == ledger.FinalForMessage {
		// The contact may be there: others ask for themselves.
		if _, err := w.wakes.Contact(ctx, d.contact(), d.task.Key); err != nil {
			log.Warn("messages that wait for the contact are not woken and come back later", zap.Error(err))
		}
	}
}

// meaning returns nil where there is nothing to say.
func (w *Worker) meaning(ctx context.Context, d *delivery, next *ledger.Outcome) *explanation {
	former, err := w.ledger.Former(ctx, d.contact())
	if err != nil {
		w.log.Warn("cannot look up what became of the contact", zap.String("contact_id", d.contact()), zap.Error(err))
	}
	switch {
	case former != nil && former.MergedInto != "":
		return merged(next.Error, former.MergedInto)
	case former != nil:
		return &explanation{changed(next.Error, codeDeleted, "the contact was deleted"), ledger.FinalForContact}
	case next.ContactTries != explainAfter && next.State != ledger.Failed:
		return nil
	}
	known, ok := w.cfg.Intercom.(directory)
	if !ok {
		return nil
	}
	if x := w.lookUpAdmin(ctx, known, d, next); x != nil {
		return x
	}
	return w.lookUpContact(ctx, known, d, next)
}

func (w *Worker) lookUpAdmin(ctx context.Context, known directory, d *delivery, next *ledger.Outcome) *explanation {
	from := d.envelope.Message.From
	if from == nil {
		return nil
	}
	err := w.ask(ctx, func(ctx context.Context) (*intercom.Response, error) {
		_, resp, err := known.Admin(ctx, from.ID)
		return resp, err
	})
	// Only Intercom's own word for it is final.
	if e, ok := errors.AsType[*intercom.APIError](err); !ok || e.Code() != codeAdminMissing {
		return nil
	}
	text := fmt.Sprintf("there is no admin %d, from whom the message is", from.ID)
	return &explanation{changed(next.Error, codeAdminMissing, text), ledger.FinalForMessage}
}

func (w *Worker) lookUpContact(ctx context.Context, known directory, d *delivery, next *ledger.Outcome) *explanation {
	var contact *intercom.Contact
	err := w.ask(ctx, func(ctx context.Context) (resp *intercom.Response, err error) {
		contact, resp, err = known.Contact(ctx, d.contact())
		return resp, err
	})
	e, answered := errors.AsType[*intercom.APIError](err)
	switch {
	case err == nil:
		return &explanation{Error: added(next.Error, w.whyNot(d, contact))}
	case !answered || !e.Listed:
		return nil
	case e.Response.Canonical != "":
		if err := w.ledger.Merged(ctx, d.contact(), e.Response.Canonical); err != nil {
			w.log.Warn("a merge is not recorded", zap.String("contact_id", d.contact()), zap.Error(err))
		}
		return merged(next.Error, e.Response.Canonical)
	case e.Response.Status == http.StatusNotFound:
		return &explanation{Error: added(next.Error, "there is no such contact: not yet, or no more")}
	case e.Response.Status == http.StatusGone:
		return &explanation{Error: added(next.Error, "the contact is gone")}
	}
	return nil
}

// whyNot says why a contact that exists cannot be written to.
func (w *Worker) whyNot(d *delivery, c *intercom.Contact) string {
	to := d.envelope.Message.To[0]
	if c.Role != "" && to.Type != "" && c.Role != to.Type && to.Type != "contact" {
		return fmt.Sprintf("the contact is a %s, and the message is addressed to a %s", c.Role, to.Type)
	}
	return "the contact exists, and is not messageable yet"
}

func merged(e ledger.Error, into string) *explanation {
	text := fmt.Sprintf("the contact was merged into %s: enqueue the message for that one", into)
	return &explanation{changed(e, codeMerged, text), ledger.FinalForContact}
}

// changed has another code and text, and Intercom's own text behind that.
func changed(e ledger.Error, code, text string) ledger.Error {
	e.Code, e.Message = code, text+" (Intercom: "+e.Message+")"
	return e
}

func added(e ledger.Error, text string) ledger.Error {
	e.Message += "; " + text
	return e
}

// ask makes a request besides those for messages.
func (w *Worker) ask(ctx context.Context, request func(context.Context) (*intercom.Response, error)) error {
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	permit, err := w.acquire(ctx, ratelimit.Normal)
	if err != nil {
		return err
	}
	start := w.now()
	resp, err := request(ctx)
	permit.Answered(resp, start)
	return err
}
