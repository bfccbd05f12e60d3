package worker

import (
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// WatchEvery has the worker notice sooner that another one is gone. It is
// called before Run.
func (w *Worker) WatchEvery(interval, deadAfter time.Duration) (err error) {
	w.roster, err = roster.New(roster.Config{
		Redis: w.cfg.Redis, Workspace: w.cfg.Workspace, Queues: w.queueNames(), Log: w.cfg.Log,
		Interval: interval, DeadAfter: deadAfter,
	})
	return err
}
