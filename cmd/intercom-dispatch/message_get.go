package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageGetCommand struct {
	redisOptions `embed:""`

	Keys []string `arg:"" name:"key" help:"Keys of messages."`
	JSON bool     `name:"json" help:"Print one JSON object a line."`
}

func (c *messageGetCommand) Run(ctx context.Context, p *program) error {
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	producer, err := c.producer(conn)
	if err != nil {
		return err
	}
	unknown := false
	for _, key := range c.Keys {
		r, err := producer.Get(ctx, key)
		switch {
		case errors.Is(err, enqueue.ErrNotFound):
			unknown = true
			fmt.Fprintf(p.stderr, "intercom-dispatch: no message with key %q in workspace %q\n", key, c.Workspace)
			continue
		case err != nil:
			return err
		case c.JSON:
			err = encodeJSON(p.stdout, r)
		default:
			err = printRecord(p.stdout, r)
		}
		if err != nil {
			return err
		}
	}
	if unknown {
		return &exitError{status: exitUnknown}
	}
	return nil
}

// printRecord prints a record for people, a fact a line.
func printRecord(w io.Writer, r *ledger.Record) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n", r.Key)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "  %s\t%s\n", name, value)
		}
	}
	line("state", string(r.State))
	line("attempts", fmt.Sprint(r.Attempts))
	line("message id", r.MessageID)
	line("conversation id", r.ConversationID)
	line("contacts", strings.Join(r.ContactIDs, ", "))
	line("order key", r.OrderKey)
	line("queued at", showTime(r.QueuedAt))
	line("next attempt at", showTime(r.NextAttemptAt))
	line("sent at", showTime(r.SentAt))
	line("replied at", showTime(r.RepliedAt))
	line("last error", showError(r.LastError))
	for _, name := range sortedNames(r.Metadata) {
		line("metadata "+name, r.Metadata[name])
	}
	if r.PossibleDuplicate {
		line("possible duplicate", "yes: it was sent again after an attempt that may have created it")
	}
	return t.Flush()
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
