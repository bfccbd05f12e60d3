package replies

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// CheckApp returns an error unless the app id could be one, and the workspace
// is fit for one.
func CheckApp(appID, workspace string) error {
	if appID == "" || strings.ContainsFunc(appID, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return fmt.Errorf("app id %.80q must be what Intercom calls the workspace's id code, such as abc12def", appID)
	}
	return ledger.CheckWorkspace(workspace)
}

// AnnounceApp tells all receivers on this Redis that notifications of an
// Intercom app are for a workspace. The app id is what GET /me calls the app's
// id_code and notifications app_id; it is that of the Intercom workspace. It
// returns the other workspace that had the app before, or "". It is for
// whoever runs a workspace's workers, and the last one to call counts.
func AnnounceApp(ctx context.Context, rdb redis.UniversalClient, appID, workspace string) (former string, err error) {
	if err := CheckApp(appID, workspace); err != nil {
		return "", fmt.Errorf("replies: announce the app: %w", err)
	}
	var before *redis.StringCmd
	var set *redis.IntCmd
	// A repeat of the two finds its own workspace, and no other to tell of.
	_, _ = rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		before = p.HGet(ctx, ledger.AppsKey(), appID)
		set = p.HSet(ctx, ledger.AppsKey(), appID, workspace)
		return nil
	})
	if err := set.Err(); err != nil {
		return "", fmt.Errorf("replies: announce app %s: %w", appID, err)
	}
	if former := before.Val(); former != workspace {
		return former, nil
	}
	return "", nil
}

// RestoreApp announces the app again where Redis does not know it any more, and
// leaves it to another workspace that has announced it since.
func RestoreApp(ctx context.Context, rdb redis.UniversalClient, appID, workspace string) error {
	if err := rdb.HSetNX(ctx, ledger.AppsKey(), appID, workspace).Err(); err != nil {
		return fmt.Errorf("replies: announce app %s again: %w", appID, err)
	}
	return nil
}

// apps knows the workspaces of apps.
type apps struct {
	redis redis.UniversalClient
	own   string
	told  map[string]string
	log   *zap.Logger
	// turn has the one who reads from Redis.
	turn chan struct{}

	mu      sync.Mutex
	learned map[string]string // never changed, but replaced
	readAt  time.Time
}

func newApps(cfg AppQueueConfig) *apps {
	a := &apps{
		redis: cfg.Redis, own: cfg.Workspace, told: maps.Clone(cfg.Apps), log: cfg.Log, turn: make(chan struct{}, 1),
	}
	if a.log == nil {
		a.log = zap.NewNop()
	}
	return a
}

// newAppAge is how old what is known may be when it is asked for an app that is
// not known.
const newAppAge = time.Second

// workspaceOf returns ErrOtherApp for an app that is nobody's here. It asks Redis
// only about an app that is not known, and then no more often than once in
// newAppAge.
func (a *apps) workspaceOf(ctx context.Context, appID string) (string, error) {
	if appID == "" {
		return a.own, nil
	}
	if w, ok := a.known(appID); ok {
		return w, nil
	}
	if err := a.refresh(ctx, newAppAge); err != nil {
		return "", fmt.Errorf("find the workspace of app %.80q: %w", appID, err)
	}
	if w, ok := a.known(appID); ok {
		return w, nil
	}
	if a.ownKnown() {
		return "", ErrOtherApp
	}
	return a.own, nil
}

func (a *apps) known(appID string) (workspace string, ok bool) {
	if w, ok := a.told[appID]; ok {
		return w, true
	}
	w, ok := a.snapshot()[appID]
	return w, ok
}

// ownKnown tells whether the own workspace has an app.
func (a *apps) ownKnown() bool {
	is := func(m map[string]string) bool { return slices.Contains(slices.Collect(maps.Values(m)), a.own) }
	return is(a.told) || is(a.snapshot())
}

func (a *apps) snapshot() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.learned
}

// refresh reads what workers have announced, unless that was done within age.
func (a *apps) refresh(ctx context.Context, age time.Duration) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if a.fresh(age) {
		return nil
	}
	read, err := a.redis.HGetAll(ctx, ledger.AppsKey()).Result()
	if redis.HasErrorPrefix(err, "NOPERM") {
		// Nobody can have announced anything to us. It was all the same before.
		a.log.Warn("Redis does not let us read the apps of workspaces", zap.String("key", ledger.AppsKey()), zap.Error(err))
		err = nil
	}
	if err != nil {
		return err
	}
	a.take(read)
	return nil
}

func (a *apps) fresh(age time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.readAt.IsZero() && time.Since(a.readAt) < age
}

// take replaces what was learned, and says what is new.
func (a *apps) take(read map[string]string) {
	before := a.snapshot()
	for _, app := range slices.Sorted(maps.Keys(read)) {
		workspace := read[app]
		if err := CheckApp(app, workspace); err != nil {
			a.log.Warn("an app in Redis is no use", zap.String("key", ledger.AppsKey()), zap.Error(err))
			delete(read, app)
			continue
		}
		if before[app] != workspace {
			a.log.Info("learnt the workspace of an Intercom app",
				zap.String("app_id", app), zap.String("workspace", workspace))
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learned, a.readAt = read, time.Now()
}
