package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageCommand struct {
	Get  messageGetCommand  `cmd:"" help:"Show messages by key. Exit status 4 if one is not known."`
	List messageListCommand `cmd:"" help:"List messages by state, the latest first."`
}

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

type messageListCommand struct {
	redisOptions `embed:""`

	State string `required:"" placeholder:"STATE" help:"waiting, failed, uncertain, held, expired or cancelled."`
	Limit int    `default:"100" placeholder:"N" help:"At most so many (${default})."`
	JSON  bool   `name:"json" help:"Print one JSON object a line."`
}

func (c *messageListCommand) Run(ctx context.Context, p *program) error {
	if !slices.Contains(ledger.Listed(), ledger.State(c.State)) {
		return &exitError{exitUsage, fmt.Errorf("--state %q is not one of %v", c.State, ledger.Listed())}
	}
	if c.Limit < 1 {
		return &exitError{exitUsage, errors.New("--limit must be at least 1")}
	}
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	l, err := ledger.New(conn.client, c.Workspace, c.RecordTTL)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	records, err := l.List(ctx, ledger.Query{State: ledger.State(c.State), Limit: c.Limit})
	if err != nil {
		return err
	}
	if !c.JSON {
		return printRecords(p.stdout, records)
	}
	for _, r := range records {
		if err := encodeJSON(p.stdout, r); err != nil {
			return err
		}
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

func printRecords(w io.Writer, records []*ledger.Record) error {
	if len(records) == 0 {
		_, err := fmt.Fprintln(w, "none")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tATTEMPTS\tNEXT ATTEMPT\tLAST ERROR")
	for _, r := range records {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", r.Key, r.State, r.Attempts, showTime(r.NextAttemptAt), showError(r.LastError))
	}
	return t.Flush()
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z07:00")
}

func showError(e *ledger.Error) string {
	if e == nil {
		return ""
	}
	s := e.Code
	if e.Status != 0 {
		s = fmt.Sprintf("%d %s", e.Status, s)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

func sortedNames(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
