package main

import (
	"context"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageCancelCommand struct {
	redisOptions `embed:""`
	selection    `embed:""`
}

// Help is shown below the summary of the command.
func (c *messageCancelCommand) Help() string {
	return `Takes back messages that were not sent: by key those that are queued or waiting, or all that are waiting.
Those that have failed, expired, are held or uncertain are ended with "message resolve --drop".

` + selectionHelp
}

func (c *messageCancelCommand) Run(ctx context.Context, p *program) error {
	return c.work(ctx, p, &c.redisOptions, action{
		name: "cancel", verb: "cancel", past: "cancelled", to: ledger.Cancelled,
		states: []ledger.State{ledger.Waiting}, hint: `; "message resolve --drop" ends others`,
		check: checkCancel,
		do:    func(ctx context.Context, e *enqueue.Client, key string) error { return e.Cancel(ctx, key) },
	})
}

func checkCancel(_ context.Context, _ *enqueue.Client, r *ledger.Record) error {
	switch r.State {
	case ledger.Queued, ledger.Waiting, ledger.Cancelled:
		return nil
	case ledger.Failed, ledger.Held, ledger.Uncertain, ledger.Expired:
		return refusal(`it is %s; "message resolve --drop" ends it`, r.State)
	case ledger.Sending:
		return refusal("an attempt is under way")
	case ledger.Sent, ledger.Replied:
	}
	return refusal("it is %s", r.State)
}
