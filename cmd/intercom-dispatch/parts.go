package main

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// part is something that runs until its context ends. Whatever can go wrong
// before that, such as an address that is taken, has been tried already.
type part func(context.Context) error

// runAll runs the parts together: when one of them fails, all end.
func runAll(ctx context.Context, parts ...part) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range parts {
		g.Go(func() error { return run(ctx) })
	}
	return g.Wait()
}
