package replies

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// ErrNoDeadEvent is returned where there is no dead event with the id.
var ErrNoDeadEvent = errors.New("no such dead event")

// deadPage is how many dead events are read at a time.
const deadPage = 100

// DeadEvent is an event that a group has given up. Other groups may have
// handled it.
type DeadEvent struct {
	// ID is the dead event's own. Event.ID is the one it had in the stream.
	ID    string `json:"id"`
	Group string `json:"group"`
	// Event is nil if it cannot be read. Data is what there is in its place.
	Event *Event `json:"event,omitempty"`
	Data  string `json:"data,omitempty"`
	// Deliveries is how often it was delivered to the group.
	Deliveries int `json:"deliveries"`
	// Error is the last error of the handler, cut to 500 bytes, or says that
	// the handler panicked or that its consumer ended.
	Error string `json:"error"`
	// Time is when it was given up.
	Time time.Time `json:"time"`
}

// DeadQuery says which dead events to list.
type DeadQuery struct {
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// Group is empty for those of all groups.
	Group string
	// Limit is how many to return at most, 0 for all.
	Limit int
}

// DeadEvents returns dead events, the latest first. They are kept for the
// record TTL.
func DeadEvents(ctx context.Context, rdb redis.UniversalClient, q DeadQuery) ([]DeadEvent, error) {
	stream := ledger.DeadRepliesKey(cmp.Or(q.Workspace, ledger.DefaultWorkspace))
	var events []DeadEvent
	for end := "+"; ; {
		page, err := rdb.XRevRangeN(ctx, stream, end, "-", deadPage).Result()
		if err != nil {
			return nil, fmt.Errorf("list dead reply events: %w", err)
		}
		for _, entry := range page {
			e := parseDead(entry)
			if q.Group != "" && e.Group != q.Group {
				continue
			}
			events = append(events, e)
			if len(events) == q.Limit {
				return events, nil
			}
		}
		if len(page) < deadPage {
			return events, nil
		}
		end = "(" + page[len(page)-1].ID
	}
}

func parseDead(entry redis.XMessage) DeadEvent {
	field := func(name string) string {
		s, _ := entry.Values[name].(string)
		return s
	}
	e := DeadEvent{ID: entry.ID, Group: field("group"), Error: field("error"), Time: publishedAt(entry.ID).UTC()}
	e.Deliveries, _ = strconv.Atoi(field("deliveries"))
	var err error
	if e.Event, err = (delivery{id: field("id"), data: field("event")}).event(); err != nil {
		e.Data = field("event")
	}
	return e
}

// RedeliverDead has a dead event delivered to its group once more, and to no
// other; its deliveries count anew. It returns ErrNoDeadEvent if there is none
// with the id. The group's consumers get it within a second or so. Where there
// are none it waits for them, for recordTTL at most, ledger.DefaultTTL if zero.
func RedeliverDead(ctx context.Context, rdb redis.UniversalClient, workspace, id string, recordTTL time.Duration) error {
	workspace = cmp.Or(workspace, ledger.DefaultWorkspace)
	entries, err := rdb.XRange(ctx, ledger.DeadRepliesKey(workspace), id, id).Result()
	if err != nil {
		return deadError("redeliver", id, err)
	}
	if len(entries) == 0 || entries[0].ID != id {
		return ErrNoDeadEvent
	}
	name, _ := entries[0].Values["group"].(string)
	event, _ := entries[0].Values["id"].(string)
	g := group{rdb: rdb, workspace: workspace, name: name, ttl: cmp.Or(recordTTL, ledger.DefaultTTL)}
	n, err := g.run(ctx, redeliverScript, id, event, "redelivered."+rand.Text()).Int()
	switch {
	case err != nil:
		return deadError("redeliver", id, err)
	case n == 0:
		return ErrNoDeadEvent
	}
	return nil
}

// DropDead removes a dead event. It returns ErrNoDeadEvent if there is none
// with the id.
func DropDead(ctx context.Context, rdb redis.UniversalClient, workspace, id string) error {
	n, err := rdb.XDel(ctx, ledger.DeadRepliesKey(cmp.Or(workspace, ledger.DefaultWorkspace)), id).Result()
	switch {
	case err != nil:
		return deadError("drop", id, err)
	case n == 0:
		return ErrNoDeadEvent
	}
	return nil
}

// deadError takes what Redis says of something that is no id for "there is none".
func deadError(doing, id string, err error) error {
	if strings.Contains(err.Error(), "Invalid stream ID") {
		return ErrNoDeadEvent
	}
	return fmt.Errorf("%s dead reply event %s: %w", doing, id, err)
}
