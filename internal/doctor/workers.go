package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// twoAnnouncements is in which time a worker that lives says so at least once,
// also where it is slow.
const twoAnnouncements = 2500 * time.Millisecond

// workers tells who delivers messages. A worker that was killed stays on the
// roster until another one removes it, so it is looked at twice.
func (e *examination) workers(ctx context.Context) []finding {
	before, err := roster.Members(ctx, e.rdb, e.Workspace)
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	if len(before) == 0 {
		return []finding{warn("none is running", fmt.Sprintf("Start one for workspace %q: intercom-dispatch worker.", e.Workspace))}
	}
	timer := time.NewTimer(twoAnnouncements)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return []finding{e.unreachable(ctx, ctx.Err())}
	}
	after, err := roster.Members(ctx, e.rdb, e.Workspace)
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	return []finding{compareMembers(before, after)}
}

// process is one that delivers messages or matches replies: a member of the
// roster for each.
type process struct {
	host string
	pid  int
}

func compareMembers(before, after []roster.Member) finding {
	spoke := map[process]bool{}
	hands := map[process]int{}
	var order []process
	for _, m := range after {
		p := process{m.Host, m.PID}
		if _, known := hands[p]; !known {
			order = append(order, p)
		}
		hands[p] += len(m.Hands)
		old := slices.IndexFunc(before, func(b roster.Member) bool { return b.ID == m.ID })
		spoke[p] = spoke[p] || old < 0 || before[old].Seq != m.Seq
	}
	var alive, silent []string
	for _, p := range order {
		name := fmt.Sprintf("%s (process %d, %d in hand)", p.host, p.pid, hands[p])
		if spoke[p] {
			alive = append(alive, name)
		} else {
			silent = append(silent, name)
		}
	}
	switch {
	case len(alive) == 0:
		return warn("none says that it is there; silent: "+strings.Join(silent, ", "),
			"They were killed or cannot reach Redis: start a worker, it takes over what they had in hand.")
	case len(silent) > 0:
		return warn(fmt.Sprintf("%s; silent: %s", strings.Join(alive, ", "), strings.Join(silent, ", ")),
			"The others take over within 20 seconds what the silent ones had in hand.")
	}
	return ok("%s", strings.Join(alive, ", "))
}

// hold tells whether Intercom refuses the workspace.
func (e *examination) hold(ctx context.Context) []finding {
	s, err := onhold.Read(ctx, e.rdb, e.Workspace)
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	e.onHold = s.OnHold()
	if !e.onHold {
		return []finding{ok("%s", s.String())}
	}
	return []finding{fail(s.String(), "See what Intercom says of the token with the check intercom above.")}
}
