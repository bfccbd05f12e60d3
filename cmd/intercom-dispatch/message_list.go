package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageListCommand struct {
	redisOptions `embed:""`

	State string `required:"" placeholder:"STATE" help:"failed, held, uncertain, waiting, expired, cancelled, or sent: those in Intercom under an id that is not known."`
	Code  string `placeholder:"CODE" help:"Only those whose last error has this code."`
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
	records, err := l.List(ctx, ledger.Query{State: ledger.State(c.State), Code: c.Code, Limit: c.Limit + 1})
	if err != nil {
		return err
	}
	return printLatest(p, records, c.Limit, c.JSON, printRecords)
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
