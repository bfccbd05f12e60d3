package fetch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

const (
	// maxBatch is the most tasks that one pipeline asks for.
	maxBatch = 64
	// blockFor is how long a call waits that finds nothing. It must be far
	// shorter than asynq's lease, which asynq counts from the call's beginning.
	blockFor = time.Second
	// maxAge is how old a task may be when it is handed out. asynq believes in
	// a lease of 30 s from then on, and extends it after 5 s at the latest.
	maxAge = 10 * time.Second
	// putBackTimeout bounds what is done about tasks that are not handed out.
	putBackTimeout = 2 * time.Second
	// reserveShare is the part of the concurrency that the first queue has besides.
	reserveShare = 8
)

// Config configures a Client.
type Config struct {
	// Redis is the connection. Required; stays the caller's to close.
	Redis redis.UniversalClient
	// Scripts runs the scripts that do not fetch tasks. It is Redis if nil.
	Scripts redis.Scripter
	// Queues are the server's queues and their weights. Required.
	Queues map[string]int
	// First is the queue that comes before all others; empty for none.
	First string
	// Concurrency is how many tasks are run at a time, but for what the first
	// queue has besides: see Handlers. Required.
	Concurrency int
	// Member keeps account of the tasks. Required.
	Member Member
	// Log is told what an operator should know. Required.
	Log asynq.Logger
	// Now is time.Now if nil.
	Now func() time.Time
}

// Member is the server's member of the roster, as *roster.Roster is.
type Member interface {
	// Hold says that the task is in hand until release is called.
	Hold(queue, taskID string) (release func())
	// PutBack makes active tasks of the queue pending again, as the next to be
	// taken. They are in the order in which they were taken.
	PutBack(ctx context.Context, queue string, tasks []roster.Active) error
}

func (c Config) withDefaults() (Config, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Scripts == nil {
		c.Scripts = c.Redis
	}
	switch {
	case c.Redis == nil:
		return c, errors.New("the field Redis is required")
	case len(c.Queues) == 0:
		return c, errors.New("the field Queues is required")
	case c.Concurrency < 1:
		return c, errors.New("the field Concurrency must be at least 1")
	case c.Member == nil:
		return c, errors.New("the field Member is required")
	case c.Log == nil:
		return c, errors.New("the field Log is required")
	}
	for name, weight := range c.Queues {
		if weight < 1 {
			return c, fmt.Errorf("the field Queues: the weight of %s must be at least 1", name)
		}
	}
	if _, ok := c.Queues[c.First]; !ok && c.First != "" {
		return c, fmt.Errorf("the field First: %s is none of the queues", c.First)
	}
	return c, nil
}

// Handlers is how many handlers the server has to run at a time: an eighth more
// than Concurrency, and at least one, for the first queue alone. Its tasks need
// not wait where all others wait for something. With a Concurrency of 1 there is
// one: who sets that wants one task at a time.
func (c Config) Handlers() int {
	if c.First == "" || len(c.Queues) == 1 || c.Concurrency == 1 {
		return c.Concurrency
	}
	return c.Concurrency + max(1, c.Concurrency/reserveShare)
}
