package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// appearedFor is how long it is remembered that a contact has appeared: longer
// than an answer from before can be under way.
const appearedFor = 15 * time.Minute

// missing returns the key of what is known of the contact, or for none that of the
// record, which is there in the same slot.
func (l *Ledger) missing(key, contactID string) string {
	if contactID == "" {
		return RecordKey(l.workspace, key)
	}
	return missingKey(l.workspace, contactID)
}

// followArgs are what followFunc takes.
func (o *BeginOptions) followArgs(t *Task) []any {
	if o.Contact == "" {
		return []any{"", "", "", ""}
	}
	over := fmt.Sprintf("the contact did not become messageable within the contact wait of %s: ", o.ContactWait)
	return []any{millisArg(o.ContactWait.Milliseconds()), millisArg(o.FollowWait.Milliseconds()), t.waiting(), over}
}

// contactNews is what an outcome says about the contact, for noteContactFunc.
func (a *Attempt) contactNews(o Outcome) string {
	switch {
	case o.ContactMissing:
		return "missing"
	case a.Probe:
		return "probe"
	}
	return ""
}

// WaitingMessage is a message that waits for a contact.
type WaitingMessage struct{ Key, Priority string }

// waiting is the task as a member of the messages that wait for a contact.
func (t *Task) waiting() string { return t.Priority + "/" + t.Key }

func parseWaiting(members []string) []WaitingMessage {
	messages := make([]WaitingMessage, 0, len(members))
	for _, m := range members {
		priority, key, _ := strings.Cut(m, "/")
		messages = append(messages, WaitingMessage{Key: key, Priority: priority})
	}
	return messages
}

// Appeared forgets that a contact is missing, and returns the messages that wait
// for it, the first to wait first. Nothing but their tasks' times keeps them from
// being sent then. Where the answer is lost, and a repeat returns none, they come
// back by themselves.
func (l *Ledger) Appeared(ctx context.Context, contactID string) ([]WaitingMessage, error) {
	keys := []string{missingKey(l.workspace, contactID), waitingKey(l.workspace, contactID)}
	members, err := appearedScript.Run(ctx, l.rdb, keys, appearedFor.Milliseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("note that contact %s is there: %w", contactID, err)
	}
	return parseWaiting(members), nil
}

// Waiting returns the n first messages that wait for a contact. Some of them may
// have ended since.
func (l *Ledger) Waiting(ctx context.Context, contactID string, n int) ([]WaitingMessage, error) {
	members, err := l.rdb.ZRange(ctx, waitingKey(l.workspace, contactID), 0, int64(n-1)).Result()
	if err != nil {
		return nil, fmt.Errorf("look up who waits for contact %s: %w", contactID, err)
	}
	return parseWaiting(members), nil
}

// Finality says for how much an explanation is final.
type Finality string

const (
	// NotFinal leaves the message waiting.
	NotFinal Finality = ""
	// FinalForMessage says that this message will never be sent.
	FinalForMessage Finality = "message"
	// FinalForContact says that no message to the contact will ever be sent.
	FinalForContact Finality = "contact"
)

// Explain says better why the contact of the attempt is missing, after its outcome
// was committed. A message for which that is final has failed. It returns the
// state that stands, which is empty where the message has moved on, and is safe to
// repeat.
func (l *Ledger) Explain(ctx context.Context, a *Attempt, e Error, f Finality) (State, error) {
	cause, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encode error of %q: %w", a.task.Key, err)
	}
	keys := []string{l.missing(a.task.Key, a.contact)}
	state, err := l.run(ctx, explainScript, a.task.message(), keys, a.token, cause, string(f)).Text()
	if err != nil {
		return "", fmt.Errorf("explain the error of %q: %w", a.task.Key, err)
	}
	return State(state), nil
}

// Former is what became of a contact that is no more.
type Former struct {
	// MergedInto is the contact into which it was merged, empty if it was
	// deleted.
	MergedInto string
}

const (
	formerDeleted = "deleted"
	formerMerged  = "merged "
)

// Merged notes that a contact was merged into another one. It is safe to repeat.
func (l *Ledger) Merged(ctx context.Context, contactID, into string) error {
	keys := []string{
		formerKey(l.workspace, contactID), absorbedKey(l.workspace, into), absorbedKey(l.workspace, contactID),
	}
	if err := mergedScript.Run(ctx, l.rdb, keys, contactID, formerMerged+into, l.ttl.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("note that contact %s was merged: %w", contactID, err)
	}
	return nil
}

// Deleted notes that a contact was deleted.
func (l *Ledger) Deleted(ctx context.Context, contactID string) error {
	// One that was merged is deleted as well.
	err := l.rdb.SetNX(ctx, formerKey(l.workspace, contactID), formerDeleted, l.ttl).Err()
	if err != nil {
		return fmt.Errorf("note that contact %s was deleted: %w", contactID, err)
	}
	return nil
}

// Former returns what became of a contact, or nil if nothing is known. Of several
// merges, one after the other, it returns where they end.
func (l *Ledger) Former(ctx context.Context, contactID string) (*Former, error) {
	const longest = 10 // Merges in a circle would have no end.
	var found *Former
	for range longest {
		value, err := l.rdb.Get(ctx, formerKey(l.workspace, contactID)).Result()
		if errors.Is(err, redis.Nil) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look up what became of contact %s: %w", contactID, err)
		}
		into, merged := strings.CutPrefix(value, formerMerged)
		if !merged {
			return &Former{}, nil
		}
		found, contactID = &Former{MergedInto: into}, into
	}
	return found, nil
}

// Absorbed returns the contacts that were merged into a contact.
func (l *Ledger) Absorbed(ctx context.Context, contactID string) ([]string, error) {
	ids, err := l.rdb.SMembers(ctx, absorbedKey(l.workspace, contactID)).Result()
	if err != nil {
		return nil, fmt.Errorf("look up who was merged into contact %s: %w", contactID, err)
	}
	return ids, nil
}
