package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageRetryCommand struct {
	redisOptions `embed:""`
	selection    `embed:""`
}

// Help is shown below the summary of the command.
func (c *messageRetryCommand) Help() string {
	return `Sends messages once more now: by key, or all of a state, which may be failed, held, uncertain, expired,
cancelled or waiting. It also works where asynq has forgotten the task. All time limits count anew.

Messages that are held or uncertain may be in Intercom already, and then arrive twice.

` + selectionHelp
}

func (c *messageRetryCommand) Run(ctx context.Context, p *program) error {
	return c.work(ctx, p, &c.redisOptions, action{
		name: "retry", verb: "retry", past: "retried", to: ledger.Waiting, again: true,
		states: []ledger.State{
			ledger.Failed, ledger.Held, ledger.Uncertain, ledger.Expired, ledger.Cancelled, ledger.Waiting,
		},
		check: checkRetry,
		do:    func(ctx context.Context, e *enqueue.Client, key string) error { return e.Retry(ctx, key) },
	})
}

// checkRetry says why a message cannot be retried, if it cannot.
func checkRetry(ctx context.Context, e *enqueue.Client, r *ledger.Record) error {
	switch r.State {
	case ledger.Sent, ledger.Replied:
		return refusal("it is %s", r.State)
	case ledger.Sending:
		return refusal("an attempt is under way")
	case ledger.Queued, ledger.Waiting, ledger.Failed, ledger.Uncertain, ledger.Held, ledger.Expired, ledger.Cancelled:
	}
	err := e.CheckRetry(ctx, r.Key)
	if errors.Is(err, enqueue.ErrNoPayload) {
		return &refusedError{fmt.Sprintf("it is %s, and %s", r.State, enqueue.ErrNoPayload)}
	}
	return err
}
