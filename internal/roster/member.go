package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Member is a process, or a part of one, that runs tasks.
type Member struct {
	ID string `json:"-"`
	// Seq grows by one each time the member says that it is there.
	Seq     int64     `json:"seq"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Hands are the tasks that it had in hand then, each as "queue/id".
	Hands []string `json:"hands"`
}

// hand names a task in a member's hands. Queue names hold no slash.
func hand(queue, taskID string) string { return queue + "/" + taskID }

func (m *Member) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode member: %w", err)
	}
	return b, nil
}

func decode(id, value string) (*Member, error) {
	m := Member{ID: id}
	if err := json.Unmarshal([]byte(value), &m); err != nil {
		return nil, fmt.Errorf("decode member %s: %w", id, err)
	}
	return &m, nil
}

// Members returns the members that Redis knows, in the order of their ids.
// Some may be gone: a member that still has the same Seq some seconds later
// is. With an error about a field that cannot be read come those that can be.
func Members(ctx context.Context, rdb redis.UniversalClient, workspace string) ([]Member, error) {
	fields, err := rdb.HGetAll(ctx, ledger.WorkersKey(workspace)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the members of %s: %w", workspace, err)
	}
	var unread error
	members := make([]Member, 0, len(fields))
	for id, value := range fields {
		m, err := decode(id, value)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		members = append(members, *m)
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members, unread
}
