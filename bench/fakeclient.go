package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// fakeProcess is the fake in its own process.
type fakeProcess struct {
	*child
	url    string
	client *http.Client
}

func (b *bench) startFake(ctx context.Context, s spec) (*fakeProcess, error) {
	c, err := start(ctx, b.dir, roleFake, s)
	if err != nil {
		return nil, err
	}
	return &fakeProcess{child: c, url: "http://" + c.addr, client: &http.Client{}}, nil
}

// waitCreated returns once n messages were created, however many there are
// then.
func (f *fakeProcess) waitCreated(ctx context.Context, n int) (creation, error) {
	var c creation
	err := f.get(ctx, "/bench/created?n="+strconv.Itoa(n), &c)
	if err != nil {
		err = fmt.Errorf("wait for %d messages: %w", n, err)
	}
	return c, err
}

// checkOnce returns an error unless n messages were created, once each.
func (f *fakeProcess) checkOnce(ctx context.Context, n int) error {
	c, err := f.waitCreated(ctx, n)
	if err == nil && (c.Created != n || c.Duplicates != 0) {
		err = fmt.Errorf("%d messages were created, and %d of them again, instead of %d once", c.Created, c.Duplicates, n)
	}
	return err
}

// arrival waits for a message and returns when it arrived, in Unix
// nanoseconds.
func (f *fakeProcess) arrival(ctx context.Context, number int) (int64, error) {
	var at int64
	err := f.get(ctx, "/bench/arrival?number="+strconv.Itoa(number), &at)
	return at, err
}

// arrivals returns when each message arrived, by number, in Unix nanoseconds.
func (f *fakeProcess) arrivals(ctx context.Context) ([]int64, error) {
	var at []int64
	err := f.get(ctx, "/bench/arrivals", &at)
	return at, err
}

func (f *fakeProcess) get(ctx context.Context, path string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+path, http.NoBody) //nolint:gosec // It is a process of our own.
	if err != nil {
		return err
	}
	answer, err := f.client.Do(req) //nolint:gosec // As above.
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the fake answers %s", answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(v)
}
