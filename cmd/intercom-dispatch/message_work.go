package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// selection says which messages to work on.
type selection struct {
	Keys   []string `arg:"" optional:"" name:"key" help:"Keys of messages."`
	State  string   `placeholder:"STATE" help:"All messages of this state, in place of keys."`
	Code   string   `placeholder:"CODE" help:"With --state: only those whose last error has this code."`
	Limit  *int     `placeholder:"N" help:"With --state: at most so many, the latest."`
	DryRun bool     `help:"Tell what would be done and change nothing."`
	JSON   bool     `name:"json" help:"Print one JSON object a line."`
}

const selectionHelp = `Exit status 0 if all was done, 4 if only keys were not known, else 1.`

// action is what a command does to each message.
type action struct {
	// name and resolution are those of the JSON form.
	name, resolution string
	verb, past       string
	// to is the state of a message with which it was done.
	to ledger.State
	// states are those that --state may name. hint says what to do about others.
	states []ledger.State
	hint   string
	// again tells that a message that is in Intercom already arrives twice.
	again bool
	// check says why it cannot be done, and changes nothing.
	check func(context.Context, *enqueue.Client, *ledger.Record) error
	do    func(context.Context, *enqueue.Client, string) error
}

// refusedError says in what state a message would have to be. Its text stands
// behind the key.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

func refusal(format string, args ...any) error { return &refusedError{fmt.Sprintf(format, args...)} }

func (s *selection) validate(a action) error {
	switch {
	case len(s.Keys) > 0 && s.State != "":
		return errors.New("give keys or --state, not both")
	case len(s.Keys) == 0 && s.State == "":
		return errors.New("give keys of messages or --state")
	case s.State == "" && s.Code != "":
		return errors.New("--code goes with --state, not with keys")
	case s.State == "" && s.Limit != nil:
		return errors.New("--limit goes with --state, not with keys")
	case s.Limit != nil && *s.Limit < 1:
		return errors.New("--limit must be at least 1")
	case s.State != "" && !slices.Contains(a.states, ledger.State(s.State)):
		return fmt.Errorf("--state %q is not one of %v%s", s.State, a.states, a.hint)
	}
	return nil
}

// work does the action with every message, one after the other.
func (s *selection) work(ctx context.Context, p *program, o *redisOptions, a action) error {
	if err := s.validate(a); err != nil {
		return &exitError{exitUsage, err}
	}
	conn, err := o.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	producer, err := o.producer(conn)
	if err != nil {
		return err
	}
	keys, err := s.list(ctx, o, conn)
	if err != nil {
		return err
	}
	out := newWorkPrinter(p, a, s, keys)
	for i, key := range keys {
		result := s.one(ctx, producer, a, key)
		if ctx.Err() != nil {
			out.summary()
			return fmt.Errorf("interrupted before the message %q: %d of %d are left", key, len(keys)-i, len(keys))
		}
		if err := out.result(result); err != nil {
			return err
		}
	}
	out.summary()
	return out.exit()
}

// list returns the keys to work on, as they are now.
func (s *selection) list(ctx context.Context, o *redisOptions, conn *connection) ([]string, error) {
	if s.State == "" {
		var keys []string
		for _, key := range s.Keys {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
		return keys, nil
	}
	l, err := ledger.New(conn.client, o.Workspace, o.RecordTTL)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	q := ledger.Query{State: ledger.State(s.State), Code: s.Code}
	if s.Limit != nil {
		q.Limit = *s.Limit
	}
	records, err := l.List(ctx, q)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(records))
	for i, r := range records {
		keys[i] = r.Key
	}
	return keys, nil
}

// workResult is what became of one message. Its JSON is what --json prints. Of
// a dry run it is what would be.
type workResult struct {
	Key         string       `json:"key"`
	Action      string       `json:"action"`
	Resolution  string       `json:"resolution,omitempty"`
	Done        bool         `json:"done"`
	StateBefore ledger.State `json:"state_before,omitempty"`
	State       ledger.State `json:"state,omitempty"`
	// PossibleDuplicate tells that the message may arrive twice.
	PossibleDuplicate bool   `json:"possible_duplicate,omitempty"`
	DryRun            bool   `json:"dry_run,omitempty"`
	Error             string `json:"error,omitempty"`

	lastError *ledger.Error
	err       error
}

func (s *selection) one(ctx context.Context, producer *enqueue.Client, a action, key string) workResult {
	result := workResult{Key: key, Action: a.name, Resolution: a.resolution, DryRun: s.DryRun}
	r, err := producer.Get(ctx, key)
	if err != nil {
		return result.failed(err)
	}
	result.StateBefore, result.State, result.lastError = r.State, r.State, r.LastError
	if err = s.stillSelected(r); err == nil {
		err = a.check(ctx, producer, r)
	}
	if err == nil && !s.DryRun {
		err = a.do(ctx, producer, key)
	}
	if err != nil {
		return result.failed(err)
	}
	result.Done = true
	if r.State != ledger.Queued || a.to != ledger.Waiting { // A queued one stays so.
		result.State = a.to
	}
	result.PossibleDuplicate = a.again && mayBeThere(r)
	return result
}

// stillSelected refuses a message that has moved on since it was listed: a
// failed one that is held by now must not be sent again unasked.
func (s *selection) stillSelected(r *ledger.Record) error {
	if s.State != "" && r.State != ledger.State(s.State) {
		return refusal("it is %s by now", r.State)
	}
	if s.Code != "" && (r.LastError == nil || r.LastError.Code != s.Code) {
		return refusal("its last error has another code by now")
	}
	return nil
}

func mayBeThere(r *ledger.Record) bool {
	return r.State == ledger.Held || r.State == ledger.Uncertain || r.PossibleDuplicate || !r.UnsettledSince.IsZero()
}

func (r workResult) failed(err error) workResult {
	r.err, r.Error = err, err.Error()
	return r
}

func (r workResult) unknown() bool { return errors.Is(r.err, enqueue.ErrNotFound) }

// refused tells that the message is at fault, and not Redis.
func (r workResult) refused() bool {
	if r.unknown() || errors.Is(r.err, enqueue.ErrNoPayload) {
		return true
	}
	return is[*refusedError](r.err) || is[*enqueue.NotRetryableError](r.err) ||
		is[*enqueue.NotCancellableError](r.err) || is[*enqueue.NotResolvableError](r.err) ||
		is[*ledger.TakenError](r.err) || is[*intercom.ValidationError](r.err)
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
