package onhold

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// pausePrefix begins the values of the pauses that this package makes. asynq
// itself writes the time, and looks only at whether the key is there
// (v0.26.0: dequeueCmd, Pause and CurrentStats in internal/rdb).
const pausePrefix = "intercom-dispatch:"

// markPrefix begins the fields that remember which queues were paused.
const markPrefix = "paused:"

func queueOf(field string) (string, bool) { return strings.CutPrefix(field, markPrefix) }

// pauseKey is asynq's key for a paused queue (v0.26.0: base.PausedKey).
func pauseKey(queue string) string { return "asynq:{" + queue + "}:paused" }

func (h *hold) pauseValue() string {
	if h.Phase != Held {
		return ""
	}
	return fmt.Sprintf("%s%s/%d", pausePrefix, h.ID, h.round)
}

// pauses returns the values of this package's pauses, by queue.
func (s store) pauses(ctx context.Context, queues []string) (map[string]string, error) {
	cmds := make([]*redis.StringCmd, len(queues))
	// The error is one of the commands', which are looked at below.
	_, _ = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, q := range queues {
			cmds[i] = p.Get(ctx, pauseKey(q))
		}
		return nil
	})
	ours := map[string]string{}
	for i, q := range queues {
		v, err := cmds[i].Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("look whether queue %q is paused: %w", q, err)
		}
		if strings.HasPrefix(v, pausePrefix) {
			ours[q] = v
		}
	}
	return ours, nil
}

// pause pauses queues for the round that h tells of, and remembers it.
func (s store) pause(ctx context.Context, h *hold, queues []string) error {
	if h.Phase != Held || len(queues) == 0 {
		return nil
	}
	args := []any{h.ID, h.round}
	for _, q := range queues {
		if err := pauseScript.Run(ctx, s.rdb, []string{pauseKey(q)}, h.pauseValue(), pausePrefix).Err(); err != nil {
			return fmt.Errorf("pause queue %q: %w", q, err)
		}
		args = append(args, q)
	}
	_, err := s.run(ctx, markScript, args...)
	return err
}

// repair makes the pauses what h, read after them, wants them to be. A pause
// for another round than h's is for one that is over: rounds do not come back.
func (s store) repair(ctx context.Context, h *hold, queues []string, ours map[string]string) error {
	for q, value := range ours {
		if value == h.pauseValue() {
			continue
		}
		if err := replaceScript.Run(ctx, s.rdb, []string{pauseKey(q)}, value, h.pauseValue()).Err(); err != nil {
			return fmt.Errorf("resume queue %q: %w", q, err)
		}
	}
	var missing []string
	for _, q := range queues {
		if !h.paused[q] {
			missing = append(missing, q)
		}
	}
	return s.pause(ctx, h, missing)
}
