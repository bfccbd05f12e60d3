package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
)

type doctorCommand struct {
	redisOptions    `embed:""`
	intercomOptions `embed:""`
	secretOptions   `embed:""`

	WebhookURL string `name:"webhook-url" placeholder:"URL" help:"Public address of the webhook receiver, to try it: a HEAD, a ping with a wrong signature, and a signed one if a client secret is given."`
	JSON       bool   `name:"json" help:"Print one JSON object a line."`
}

func (c *doctorCommand) Run(ctx context.Context, p *program) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if cfg.Intercom != nil {
		defer cfg.Intercom.Close()
	}
	results, err := doctor.Run(ctx, *cfg)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	counts := map[doctor.Status]int{}
	for r := range results {
		counts[r.Status]++
		if c.JSON {
			err = encodeJSON(p.stdout, r)
		} else {
			err = printResult(p.stdout, r)
		}
		if err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !c.JSON {
		fmt.Fprintf(p.stdout, "\n%d ok, %d warn, %d fail, %d skipped\n",
			counts[doctor.OK], counts[doctor.Warn], counts[doctor.Fail], counts[doctor.Skipped])
	}
	if counts[doctor.Fail] > 0 {
		return &exitError{status: exitFailed}
	}
	return nil
}

// config returns what to check, or an error that names the flag to mend.
func (c *doctorCommand) config() (*doctor.Config, error) {
	rdb, err := c.parse()
	if err != nil {
		return nil, err
	}
	if err := checkWebhookURL(c.WebhookURL); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	cfg := &doctor.Config{Redis: rdb, Workspace: c.Workspace, RecordTTL: c.RecordTTL, WebhookURL: c.WebhookURL}
	if len(c.Secrets) > 0 || c.SecretFile != "" {
		if cfg.Secrets, err = c.secrets(); err != nil {
			return nil, &exitError{exitUsage, err}
		}
	}
	if cfg.Intercom, err = c.intercom(); err != nil {
		return nil, err
	}
	if c.BaseURL == "" {
		cfg.Region = c.Region
	}
	return cfg, nil
}

// intercom returns nil where no token is given.
func (c *doctorCommand) intercom() (*intercom.Client, error) {
	if c.Token == "" && c.TokenFile == "" {
		return nil, nil //nolint:nilnil // The check of Intercom is left out then.
	}
	return c.client(doctor.DefaultTimeout, 1)
}

// checkWebhookURL quotes nothing of the URL, which may hold a password.
func checkWebhookURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errors.New("--webhook-url must begin with http:// or https:// and a host")
	}
	return nil
}

// printResult prints a check for people: what was found, and below it what to
// do.
func printResult(w io.Writer, r doctor.Result) error {
	const width = 90
	begin := fmt.Sprintf("%-*s  %-7s  ", doctor.NameWidth, r.Check, r.Status)
	var b strings.Builder
	for _, text := range []string{r.Found, r.Advice} {
		for _, line := range wrap(text, width) {
			b.WriteString(begin + line + "\n")
			begin = strings.Repeat(" ", len(begin))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wrap breaks text between words into lines of at most width bytes, as far as
// words let it.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if n := len(lines); n > 0 && len(lines[n-1])+1+len(word) <= width {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
