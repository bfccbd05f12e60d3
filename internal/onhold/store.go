package onhold

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// rememberEnded is longer than go-redis goes on repeating a command.
const rememberEnded = 10 * time.Minute

// hold is what a script told of the workspace.
type hold struct {
	State

	// now is Redis' time.
	now     time.Time
	granted bool
	// paused has the queues that were paused for the round.
	paused map[string]bool
}

// store runs the scripts of a workspace. It is safe for concurrent use.
type store struct {
	rdb       redis.UniversalClient
	workspace string
}

// Read returns the state of a workspace, for those who only want to know.
func Read(ctx context.Context, rdb redis.UniversalClient, workspace string) (State, error) {
	h, err := store{rdb, workspace}.run(ctx, readScript)
	return h.State, err
}

func (s store) run(ctx context.Context, script *redis.Script, args ...any) (hold, error) {
	keys := []string{ledger.HoldKey(s.workspace), ledger.HoldKey(s.workspace) + ":ended"}
	res, err := script.Run(ctx, s.rdb, keys, args...).Slice()
	if err != nil {
		return hold{}, fmt.Errorf("hold of workspace %q: %w", s.workspace, err)
	}
	h, err := parse(res)
	if err != nil {
		return hold{}, fmt.Errorf("hold of workspace %q: %w", s.workspace, err)
	}
	return h, nil
}

func parse(res []any) (hold, error) {
	if len(res) != 3 {
		return hold{}, fmt.Errorf("script returned %d values", len(res))
	}
	verdict, _ := res[0].(string)
	now, _ := res[1].(string)
	flat, ok := res[2].([]any)
	if !ok || len(flat)%2 != 0 {
		return hold{}, errors.New("script returned no hash")
	}
	fields := make(map[string]string, len(flat)/2)
	for i := 0; i < len(flat); i += 2 {
		name, _ := flat[i].(string)
		fields[name], _ = flat[i+1].(string)
	}
	h, err := parseFields(fields)
	if err != nil {
		return hold{}, err
	}
	h.granted = verdict == "yes"
	if h.now, err = parseMillis(now); err != nil {
		return hold{}, err
	}
	return h, nil
}

func parseFields(f map[string]string) (hold, error) {
	h := hold{State: State{ID: f["id"], Phase: Phase(f["phase"])}, paused: map[string]bool{}}
	if h.ID == "" {
		return hold{}, nil
	}
	if h.Phase != Held && h.Phase != Trial {
		return hold{}, fmt.Errorf("the phase %q is not known", f["phase"])
	}
	if err := json.Unmarshal([]byte(f["reason"]), &h.Reason); err != nil {
		return hold{}, fmt.Errorf("its reason: %w", err)
	}
	var errs [4]error
	h.Since, errs[0] = parseMillis(f["since"])
	h.NextProbe, errs[1] = parseMillis(f["next_probe"])
	h.Probes, errs[2] = strconv.Atoi(f["probes"])
	h.round, errs[3] = strconv.ParseInt(f["round"], 10, 64)
	for name, value := range f {
		if queue, ok := queueOf(name); ok && value == f["round"] {
			h.paused[queue] = true
		}
	}
	return h, errors.Join(errs[:]...)
}

func parseMillis(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("the time %q is not a number", s)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// newToken names one call, so that a script that is sent again is recognised.
func newToken() string { return rand.Text()[:13] }
