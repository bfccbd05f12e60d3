package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

type repliesDeadCommand struct {
	redisOptions `embed:""`

	Group string `placeholder:"GROUP" help:"Only those of this group."`
	Limit int    `default:"100" placeholder:"N" help:"At most so many (${default})."`
	JSON  bool   `name:"json" help:"Print one JSON object a line."`
}

func (c *repliesDeadCommand) Run(ctx context.Context, p *program) error {
	if c.Limit < 1 {
		return &exitError{exitUsage, errors.New("--limit must be at least 1")}
	}
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	events, err := replies.DeadEvents(ctx, conn.client, replies.DeadQuery{Workspace: c.Workspace, Group: c.Group, Limit: c.Limit + 1})
	if err != nil {
		return err
	}
	return printLatest(p, events, c.Limit, c.JSON, printDeadEvents)
}

// printDeadEvents leaves out what contacts wrote.
func printDeadEvents(w io.Writer, events []replies.DeadEvent) error {
	if len(events) == 0 {
		_, err := fmt.Fprintln(w, "none")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tGROUP\tKEY\tDELIVERIES\tDEAD SINCE\tERROR")
	for _, e := range events {
		key := "-"
		if e.Event != nil {
			key = e.Event.Key
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", e.ID, e.Group, key, e.Deliveries, showTime(e.Time), oneLine(e.Error))
	}
	return t.Flush()
}

// oneLine keeps the text of a backend's error from breaking the table.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// deadSelection are the dead events that a command is about.
type deadSelection struct {
	redisOptions `embed:""`

	IDs []string `arg:"" name:"id" help:"Ids of dead events, as replies dead lists them."`
}

// each does something to each of the events and prints that it was done. It
// goes on after ids that are not known.
func (s *deadSelection) each(ctx context.Context, p *program, done string, do func(context.Context, *connection, string) error) error {
	conn, err := s.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	unknown := false
	for _, id := range s.IDs {
		err := do(ctx, conn, id)
		switch {
		case errors.Is(err, replies.ErrNoDeadEvent):
			unknown = true
			fmt.Fprintf(p.stderr, "intercom-dispatch: no dead event with id %q in workspace %q\n", id, s.Workspace)
		case err != nil:
			return err
		default:
			fmt.Fprintf(p.stdout, "%s  %s\n", done, id)
		}
	}
	if unknown {
		return &exitError{status: exitUnknown}
	}
	return nil
}

type repliesRedeliverCommand struct {
	deadSelection `embed:""`
}

func (c *repliesRedeliverCommand) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, "redelivered", func(ctx context.Context, conn *connection, id string) error {
		return replies.RedeliverDead(ctx, conn.client, c.Workspace, id, c.RecordTTL)
	})
}

type repliesDropCommand struct {
	deadSelection `embed:""`
}

func (c *repliesDropCommand) Run(ctx context.Context, p *program) error {
	return c.each(ctx, p, "dropped", func(ctx context.Context, conn *connection, id string) error {
		return replies.DropDead(ctx, conn.client, c.Workspace, id)
	})
}
