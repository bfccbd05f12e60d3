package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// unreadableWait is how long a task that cannot be read stays away.
const unreadableWait = time.Minute

// errDone ends a delivery early: nothing is left to do for the task.
var errDone = errors.New("done")

// delivery is one run of a task through the stages.
type delivery struct {
	envelope *task.Envelope
	task     ledger.Task
	attempt  *ledger.Attempt
	leave    *clearance

	outcome    outcome
	answeredAt time.Time
	took       time.Duration
	// backAt is when the task comes back, by the worker's clock.
	backAt time.Time
	// entered tells that it is one of those under way to its contact.
	entered bool
}

// stage is a step of a delivery. nil goes on to the next; an error ends the
// delivery and is what asynq is told, except for errDone.
type stage func(context.Context, *delivery) error

// stages is the order of a delivery.
func (w *Worker) stages() []stage {
	return []stage{w.due, w.turn, w.crowd, w.permit, w.begin, w.send, w.commit}
}

// ProcessTask delivers the message of a task. It is called by asynq.
func (w *Worker) ProcessTask(ctx context.Context, t *asynq.Task) error {
	key, _ := asynq.GetTaskID(ctx)
	envelope, err := task.Decode(t.Payload())
	if err != nil {
		w.log.Error("task cannot be read", zap.String("key", key), zap.Error(err))
		if !json.Valid(t.Payload()) {
			return archived(err.Error())
		}
		// A newer producer may write what this worker does not know. The task
		// waits for a worker that does.
		return &snoozeError{until: w.now().Add(unreadableWait), reason: err.Error()}
	}
	w.metrics.inFlight.Inc()
	defer w.metrics.inFlight.Dec()
	d := &delivery{envelope: envelope, task: envelope.LedgerTask(key, t.Payload())}
	defer func() { d.leave.cancel(ctx) }()
	defer w.disperse(d)
	verdict := w.run(ctx, d)
	if _, snooze := errors.AsType[*snoozeError](verdict); !snooze || d.attempt != nil {
		w.passOn(ctx, d)
	}
	return verdict
}

func (w *Worker) run(ctx context.Context, d *delivery) error {
	for _, run := range w.stages() {
		if err := run(ctx, d); err != nil {
			return w.verdict(d, err)
		}
	}
	return nil
}

func (w *Worker) verdict(d *delivery, err error) error {
	var snooze *snoozeError
	switch {
	case errors.Is(err, errDone):
		return nil
	case errors.As(err, &snooze), errors.Is(err, asynq.SkipRetry):
		return err
	}
	w.log.Warn("task comes back", zap.String("key", d.task.Key), zap.Error(err))
	return fmt.Errorf("task comes back: %w", err)
}

func (d *delivery) policy(byDefault ledger.Policy) ledger.Policy {
	if p := ledger.Policy(d.envelope.IfUncertain); p != "" {
		return p
	}
	return byDefault
}

// latency is the time in seconds from when the message was due to its answer,
// by the producer's and the worker's clocks.
func (d *delivery) latency() float64 {
	due := max(d.envelope.QueuedAt, d.envelope.At)
	return max(d.answeredAt.Sub(time.UnixMilli(due)).Seconds(), 0)
}

func (w *Worker) limits(d *delivery) limits {
	l := limits{contactWait: *w.cfg.ContactWait, giveUpAfter: w.cfg.GiveUpAfter}
	if d.envelope.ContactWait != nil {
		l.contactWait = time.Duration(*d.envelope.ContactWait) * time.Millisecond
	}
	if settle.Searchable(d.envelope.Message) {
		l.firstLook = w.firstLook()
	}
	return l
}
