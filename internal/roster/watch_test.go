package roster

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// said is what another member's field holds: its number and its hands.
type said struct {
	seq   int64
	hands []string
}

// sight is one look at Redis, some seconds after the first.
type sight struct {
	at      int
	members map[string]said
	// lease is the lease of the task "1"; it is not active where it is "-".
	lease string
	own   bool
	// gone and lost are what is concluded.
	gone []string
	lost bool
}

func says(seq int64, hands ...string) map[string]said { return map[string]said{"a": {seq, hands}} }

func value(t *testing.T, id string, s said) string {
	t.Helper()
	if s.seq < 0 {
		return "{"
	}
	b, err := (&Member{ID: id, Seq: s.seq, Hands: s.hands}).encode()
	require.NoError(t, err)
	return string(b)
}

const has = "q/1"

// With an interval of 1 s a suspicion takes 3 s at the least.
var sights = map[string][]sight{
	"nobody has it": {
		{at: 0, members: says(1), lease: "50"},
		{at: 1, members: says(2), lease: "50"},
		{at: 2, members: says(3), lease: "50"},
		{at: 3, members: says(4), lease: "50", lost: true},
	},
	"there is nobody else": {
		{at: 0, lease: "50"}, {at: 1, lease: "50"}, {at: 2, lease: "50"}, {at: 3, lease: "50", lost: true},
	},
	"two looks are too few, whatever the time between": {
		{at: 0, lease: "50"}, {at: 3, lease: "50"}, {at: 6, lease: "50", lost: true},
	},
	"it has no lease": {
		{at: 0}, {at: 1}, {at: 2}, {at: 3, lost: true},
	},
	"one newer list is not enough": {
		{at: 0, members: says(1), lease: "50"},
		{at: 1, members: says(1), lease: "50"},
		{at: 2, members: says(1), lease: "50"},
		{at: 3, members: says(2), lease: "50"},
		{at: 4, members: says(3), lease: "50", lost: true},
	},
	"a member takes it in hand, and lets go": {
		{at: 0, members: says(1), lease: "50"},
		{at: 1, members: says(2), lease: "50"},
		{at: 2, members: says(3, has), lease: "50"},
		{at: 3, members: says(4), lease: "50"},
		{at: 4, members: says(5), lease: "50"},
		{at: 5, members: says(6), lease: "50"},
		{at: 6, members: says(7), lease: "50", lost: true},
	},
	"the observer takes it in hand, and lets go": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, lease: "50", own: true},
		{at: 3, lease: "50"},
		{at: 4, lease: "50"},
		{at: 5, lease: "50"},
		{at: 6, lease: "50", lost: true},
	},
	"its lease changes": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, lease: "51"},
		{at: 3, lease: "51"},
		{at: 4, lease: "51"},
		{at: 5, lease: "51", lost: true},
	},
	"its lease is lost": {
		{at: 0, lease: "50"}, {at: 1, lease: "50"}, {at: 2}, {at: 3}, {at: 4}, {at: 5, lost: true},
	},
	"it was not active for a moment": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, lease: "-"},
		{at: 3, lease: "50"},
		{at: 4, lease: "50"},
		{at: 5, lease: "50"},
		{at: 6, lease: "50", lost: true},
	},
	"a silent member has it": {
		{at: 0, members: says(1, has), lease: "50"},
		{at: 2, members: says(1, has), lease: "50"},
		{at: 4, members: says(1, has), lease: "50"},
		{at: 6, members: says(1, has), lease: "50"},
		{at: 7, members: says(1, has), lease: "50"},
		{at: 8, members: says(1, has), lease: "50", gone: []string{"a"}, lost: true},
	},
	"a silent member speaks again and still has it": {
		{at: 0, members: says(1, has), lease: "50"},
		{at: 3, members: says(1, has), lease: "50"},
		{at: 6, members: says(1, has), lease: "50"},
		{at: 7, members: says(2, has), lease: "50"},
		{at: 9, members: says(3, has), lease: "50"},
		{at: 11, members: says(4, has), lease: "50"},
	},
	"a silent member may have it": {
		{at: 0, members: says(1), lease: "50"},
		{at: 2, members: says(1), lease: "50"},
		{at: 4, members: says(1), lease: "50"},
		{at: 6, members: says(1), lease: "50"},
		{at: 8, members: says(1), lease: "50", gone: []string{"a"}, lost: true},
	},
	"a member that cannot be read may have it": {
		{at: 0, members: says(-1), lease: "50"},
		{at: 3, members: says(-1), lease: "50"},
		{at: 6, members: says(-1), lease: "50"},
		{at: 8, members: says(-1), lease: "50", gone: []string{"a"}, lost: true},
	},
	"a member that had it has left, or others found it gone": {
		{at: 0, members: says(1, has), lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, lease: "50"},
		{at: 3, lease: "50"},
		{at: 4, lease: "50", lost: true},
	},
	"a member that came later cannot have it": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, members: says(1), lease: "50"},
		{at: 3, members: says(1), lease: "50", lost: true},
	},
	"a member that came later has it": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, members: says(1), lease: "50"},
		{at: 3, members: says(2, has), lease: "50"},
	},
	"after a gap the suspicion begins anew": {
		{at: 0, lease: "50"},
		{at: 1, lease: "50"},
		{at: 2, lease: "50"},
		{at: 6, lease: "50"},
		{at: 7, lease: "50"},
		{at: 8, lease: "50"},
		{at: 9, lease: "50", lost: true},
	},
	"after a gap the silence begins anew": {
		{at: 0, members: says(1), lease: "-"},
		{at: 3, members: says(1), lease: "-"},
		{at: 6, members: says(1), lease: "-"},
		{at: 10, members: says(1), lease: "-"},
		{at: 13, members: says(1), lease: "-"},
		{at: 16, members: says(1), lease: "-"},
		{at: 18, members: says(1), lease: "-", gone: []string{"a"}},
	},
}

func TestWhatAMemberConcludes(t *testing.T) {
	t.Parallel()
	for name, looks := range sights {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatch(time.Second, 8*time.Second)
			begin := time.Unix(1_700_000_000, 0)
			for _, l := range looks {
				gone, lost := l.conclude(t, w, begin.Add(time.Duration(l.at)*time.Second))
				require.Equal(t, l.gone, gone, "gone after %d s", l.at)
				require.Equal(t, l.lost, lost, "lost after %d s", l.at)
			}
		})
	}
}

func (l sight) conclude(t *testing.T, w *watch, now time.Time) (gone []string, lost bool) {
	t.Helper()
	members := map[string]string{}
	for id, s := range l.members {
		members[id] = value(t, id, s)
	}
	w.look(now, now, members)
	for _, m := range w.dead() {
		gone = append(gone, m.id)
		w.forget(m)
	}
	slices.Sort(gone)
	active := map[string]map[string]string{"q": {"1": l.lease}}
	if l.lease == "-" {
		delete(active["q"], "1")
	}
	return gone, len(w.lost(active, func(h string) bool { return l.own && h == has })) == 1
}

func TestAMemberThatSpeaksAgainIsNotTheReason(t *testing.T) {
	t.Parallel()
	w := newWatch(time.Second, 8*time.Second)
	begin := time.Unix(1_700_000_000, 0)
	var found []*suspect
	for i, s := range []said{{1, []string{has}}, {1, []string{has}}, {1, []string{has}}, {1, []string{has}}, {2, nil}, {3, nil}, {4, nil}} {
		now := begin.Add(time.Duration(i) * time.Second)
		w.look(now, now, map[string]string{"a": value(t, "a", s)})
		found = w.lost(map[string]map[string]string{"q": {"1": "50"}}, func(string) bool { return false })
	}
	require.Len(t, found, 1)
	require.Equal(t, "no worker has it", found[0].reason())
}
