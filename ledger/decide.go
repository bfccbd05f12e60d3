package ledger

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Cancel takes back a message that is queued or waiting. It returns a
// *FencedError with the state of a message that is neither, and is safe to
// repeat.
func (l *Ledger) Cancel(ctx context.Context, t Task) error {
	return l.enterOnly(t.Key, Cancelled, l.run(ctx, cancelScript, t.message(), nil, t.createArgs()...))
}

// Drop ends a message that is not to be sent any more: one that has failed,
// is held, uncertain, expired or waiting. It returns a *FencedError with the
// state of a message that is none of these, and is safe to repeat.
func (l *Ledger) Drop(ctx context.Context, r *Record) error {
	return l.enterOnly(r.Key, Cancelled, l.run(ctx, dropScript, r.message(), nil))
}

// Reopen lets a message be sent once more that has failed, is held, uncertain,
// expired or cancelled: it is Waiting then, with every deadline counted anew,
// and needs a task. One that is expired, held or uncertain is sent though its
// time is over. One that may have been created is a possible duplicate from
// then on. A message that is Waiting stays so. It returns a *FencedError
// with the state of any other message, and is safe to repeat.
func (l *Ledger) Reopen(ctx context.Context, r *Record) error {
	var keys []string
	if len(r.ContactIDs) == 1 {
		keys = append(keys, missingKey(l.workspace, r.ContactIDs[0]))
	}
	return l.enterOnly(r.Key, Waiting, l.run(ctx, reopenScript, r.message(), keys))
}

func (r *Record) message() message { return message{r.Key, firstContact(r.ContactIDs)} }

// enterOnly reads the result of a script that returns the state that stands.
func (l *Ledger) enterOnly(key string, want State, cmd *redis.Cmd) error {
	s, err := cmd.Text()
	if err != nil {
		return fmt.Errorf("make %q %s: %w", key, want, err)
	}
	if State(s) != want {
		return &FencedError{State: State(s)}
	}
	return nil
}
