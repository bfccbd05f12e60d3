package main

import (
	"context"
	"errors"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageResolveCommand struct {
	redisOptions `embed:""`
	selection    `embed:""`

	Sent   *string `placeholder:"ID" help:"The message is in Intercom under this id. Takes one KEY."`
	Resend bool    `help:"Send it again; it may arrive twice."`
	Drop   bool    `help:"Do not send it any more. It is cancelled then."`
}

// Help is shown below the summary of the command.
func (c *messageResolveCommand) Help() string {
	return `Decides about messages of which nobody knows whether they are in Intercom: by key, or all that are held or
uncertain. --drop also ends, by key, messages that have failed, expired or are waiting, and --sent also takes ones
that were sent under an id that is not known, or that have failed, expired or were cancelled.

` + selectionHelp
}

func (c *messageResolveCommand) Run(ctx context.Context, p *program) error {
	a, err := c.action()
	if err != nil {
		return &exitError{exitUsage, err}
	}
	a.name, a.states = "resolve", []ledger.State{ledger.Held, ledger.Uncertain}
	return c.work(ctx, p, &c.redisOptions, a)
}

func (c *messageResolveCommand) action() (action, error) {
	given := 0
	for _, is := range []bool{c.Sent != nil, c.Resend, c.Drop} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return action{}, errors.New("give one of --sent ID, --resend and --drop")
	case c.Resend:
		return resend(), nil
	case c.Drop:
		return drop(), nil
	case *c.Sent == "":
		return action{}, errors.New("--sent is empty: give Intercom's id of the message")
	case len(c.Keys) != 1 || c.State != "":
		return action{}, errors.New("--sent takes exactly one KEY and no --state: an id belongs to one message")
	}
	return sent(*c.Sent), nil
}

func resend() action {
	return action{
		resolution: "resend", verb: "resend", past: "retried", to: ledger.Waiting, again: true,
		check: func(ctx context.Context, e *enqueue.Client, r *ledger.Record) error {
			if r.State != ledger.Held && r.State != ledger.Uncertain {
				return refusal(`it is %s, neither held nor uncertain; see "message retry"`, r.State)
			}
			return checkRetry(ctx, e, r)
		},
		do: func(ctx context.Context, e *enqueue.Client, key string) error { return e.Retry(ctx, key) },
	}
}

func drop() action {
	return action{
		resolution: "drop", verb: "drop", past: "dropped", to: ledger.Cancelled,
		check: checkDrop,
		do:    func(ctx context.Context, e *enqueue.Client, key string) error { return e.Drop(ctx, key) },
	}
}

func checkDrop(_ context.Context, _ *enqueue.Client, r *ledger.Record) error {
	switch r.State {
	case ledger.Held, ledger.Uncertain, ledger.Failed, ledger.Expired, ledger.Waiting, ledger.Cancelled:
		return nil
	case ledger.Queued:
		return refusal(`it is queued; "message cancel" takes it back`)
	case ledger.Sending:
		return refusal("an attempt is under way")
	case ledger.Sent, ledger.Replied:
	}
	return refusal("it is %s", r.State)
}

func sent(id string) action {
	return action{
		resolution: "sent", verb: "mark as sent", past: "marked as sent", to: ledger.Sent,
		check: func(ctx context.Context, e *enqueue.Client, r *ledger.Record) error { return checkSent(ctx, e, r, id) },
		do: func(ctx context.Context, e *enqueue.Client, key string) error {
			return e.ResolveSent(ctx, key, id)
		},
	}
}

func checkSent(ctx context.Context, e *enqueue.Client, r *ledger.Record, id string) error {
	if r.State == ledger.Sending {
		return refusal("an attempt is under way")
	}
	if r.State == ledger.Queued || r.State == ledger.Waiting {
		return refusal("it is %s: there is nothing to decide about it", r.State)
	}
	if r.MessageID != "" && r.MessageID != id {
		return refusal("it is %s under the id %s", r.State, r.MessageID)
	}
	other, err := e.ByMessageID(ctx, id)
	switch {
	case errors.Is(err, enqueue.ErrNotFound):
		return nil
	case err != nil:
		return err
	case other.Key != r.Key:
		return refusal("the id %s belongs to the message %q", id, other.Key)
	}
	return nil
}
