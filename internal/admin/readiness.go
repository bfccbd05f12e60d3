package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Check tells whether something that the process needs is there.
type Check struct {
	// Name is the key under which the result is shown.
	Name string
	// Run returns nil if all is well. It is called in a goroutine for each
	// question, several at a time if several ask, and must end with its
	// context. Its error is shown to whoever asks.
	Run func(ctx context.Context) error
}

type readiness struct {
	Status string            `json:"status"`
	Checks map[string]result `json:"checks"`
}

type result struct {
	OK    bool   `json:"ok"`
	Error string `json:"error,omitzero"`
}

// readyz runs all checks at once and answers 200 if all are well, else 503.
func readyz(checks []Check, timeout time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeoutCause(r.Context(), timeout,
			fmt.Errorf("no result within %s", timeout))
		defer cancel()
		answer := runChecks(ctx, checks)
		status := http.StatusOK
		if answer.Status != "ok" {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		// It fails only when the asker is gone.
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func runChecks(ctx context.Context, checks []Check) readiness {
	results := make([]result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { results[i] = runCheck(ctx, c) })
	}
	wg.Wait()
	answer := readiness{Status: "ok", Checks: make(map[string]result, len(checks))}
	for i, c := range checks {
		answer.Checks[c.Name] = results[i]
		if !results[i].OK {
			answer.Status = "unavailable"
		}
	}
	return answer
}

func runCheck(ctx context.Context, c Check) result {
	err := c.Run(ctx)
	if err == nil {
		return result{OK: true}
	}
	// "context deadline exceeded" would not say whose deadline it was.
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return result{Error: err.Error()}
}
