package ledger_test

import (
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// snapshot is everything that Redis has.
type snapshot struct {
	records []*redis.MapStringStringCmd
	lists   map[ledger.State]*redis.StringSliceCmd
	doubts  map[string]*redis.StringSliceCmd
	index   map[string][]*redis.StringCmd
	events  *redis.IntCmd
}

func (w *world) look(t *rapid.T) *snapshot {
	s := &snapshot{
		lists: map[ledger.State]*redis.StringSliceCmd{}, doubts: map[string]*redis.StringSliceCmd{},
		index: map[string][]*redis.StringCmd{},
	}
	base := strings.TrimSuffix(ledger.RecordKey(w.Workspace(), ""), "m:")
	_, err := w.rdb.Pipelined(w.ctx, func(p redis.Pipeliner) error {
		for _, m := range w.messages {
			s.records = append(s.records, p.HGetAll(w.ctx, base+"m:"+m.task.Key))
			c := m.task.ContactIDs[0]
			s.doubts[c] = p.SMembers(w.ctx, base+"unsettled:"+c)
		}
		for _, state := range ledger.Listed() {
			s.lists[state] = p.ZRange(w.ctx, base+"list:"+string(state), 0, -1)
		}
		for _, c := range w.ids {
			for _, bucket := range ledger.IndexBuckets(w.Workspace(), c.id) {
				s.index[c.id] = append(s.index[c.id], p.HGet(w.ctx, bucket, c.id))
			}
		}
		s.events = p.XLen(w.ctx, ledger.ReplyStreamKey(w.Workspace()))
		return nil
	})
	if err != nil {
		require.ErrorIs(t, err, redis.Nil)
	}
	return s
}

// check holds the ledger against what is the case.
func (w *world) check(t *rapid.T) {
	s := w.look(t)
	for i, m := range w.messages {
		was := m.record
		m.record = s.records[i].Val()
		w.checkState(t, m, ledger.State(was["s"]))
		if id := was["id"]; id != "" {
			require.Equal(t, id, m.record["id"], "the id of %s, once known, stays", m.task.Key)
		}
		w.checkCopies(t, m)
		w.checkSets(t, m, s)
	}
	for id, cmds := range s.index {
		key := ""
		for _, cmd := range cmds {
			key += ledger.IndexedKey(cmd.Val())
		}
		require.Equal(t, w.index[id], key, "the key of message id %s", id)
	}
	require.Equal(t, int64(len(w.parts)), s.events.Val(), "each part is published once")
	w.tick(t)
}

func (w *world) checkState(t *rapid.T, m *modelMessage, was ledger.State) {
	key := m.task.Key
	if was == ledger.Sent {
		require.True(t, m.sent(), "%s was sent and is %s", key, m.state())
	}
	if was == ledger.Replied {
		require.Equal(t, ledger.Replied, m.state(), "%s was replied to", key)
	}
	if m.sent() {
		require.True(t, len(m.created) > 0 || m.mistaken, "%s is said to be sent and was never created", key)
	}
	if m.state() == ledger.Expired {
		require.False(t, m.inDoubt(), "%s may have been created, and has not simply expired", key)
	}
	if last := m.lastTry(); last != nil {
		require.Equal(t, m.state() == ledger.Sending, !last.closed && !m.sent(), "whether an attempt at %s is under way: it is %s", key, m.state())
	}
	if id := m.record["id"]; id != "" {
		require.True(t, m.sent(), "%s has an id", key)
		require.True(t, slices.Contains(m.created, id) || m.mistaken, "%s has the id %s of another message", key, id)
	}
}

// checkCopies holds what Intercom has against the policy.
func (w *world) checkCopies(t *rapid.T, m *modelMessage) {
	key := m.task.Key
	if len(m.created) > 1 {
		require.False(t, m.policy == ledger.Hold && !m.decided, "%s must not be sent twice", key)
		require.Equal(t, "1", m.record["pd"], "%s exists twice", key)
	}
	known := 0
	for _, id := range m.created {
		if w.index[id] == key {
			known++
		}
	}
	if known > 1 {
		require.Equal(t, "1", m.record["pd"], "%s is known to exist twice", key)
	}
	// What the ledger has no id of must be found, or come to light.
	if known < len(m.created) && !m.mistaken && !m.inDoubt() {
		open := slices.ContainsFunc(m.tries, func(y *try) bool { return !y.closed })
		require.True(t, open, "a copy of %s is neither known nor looked for", key)
	}
}

// checkSets holds the lists against the record.
func (w *world) checkSets(t *rapid.T, m *modelMessage, s *snapshot) {
	key, state := m.task.Key, m.state()
	for listed, cmd := range s.lists {
		want := state == listed
		if listed == ledger.Sent {
			want = m.sent() && m.record["id"] == ""
		}
		require.Equal(t, want, slices.Contains(cmd.Val(), key), "whether %s, which is %s, is in the list of %s", key, state, listed)
	}
	doubt := m.inDoubt()
	require.Equal(t, doubt, m.record["us"] != "", "whether %s has an attempt in doubt", key)
	for contact, cmd := range s.doubts {
		require.Equal(t, doubt && contact == m.task.ContactIDs[0], slices.Contains(cmd.Val(), key),
			"whether %s is among the unsettled messages to %s", key, contact)
	}
	if doubt || state == ledger.Failed || state == ledger.Held || state == ledger.Expired {
		require.Equal(t, string(m.task.Payload), m.record["p"], "the payload of %s, which is %s", key, state)
	}
	if m.sent() && !doubt {
		require.Empty(t, m.record["p"], "%s keeps its text for nothing", key)
	}
	if state == ledger.Sending {
		require.Equal(t, m.lastTry().worker, m.record["w"], "the worker that has %s", key)
	}
}
