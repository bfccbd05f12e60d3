package main

import (
	"context"
	"fmt"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
)

type fakeCommand struct {
	Addr         string        `default:"127.0.0.1:8070" placeholder:"ADDR" help:"Where to listen (${default})."`
	Token        string        `placeholder:"TOKEN" help:"Access token to ask for. Without one every token is taken."`
	ClientSecret string        `default:"fake_secret" placeholder:"SECRET" help:"Signs webhook notifications (${default})."`
	WebhookURL   string        `placeholder:"URL" help:"Where notifications go, such as http://127.0.0.1:8080/webhooks/intercom."`
	Contacts     string        `enum:"any,known" default:"any" placeholder:"any|known" help:"any: every contact exists, but appears-in-5s-NAME only after 5 s and never-NAME never. known: only those created with POST /contacts."`
	ContactDelay time.Duration `default:"0s" placeholder:"DURATION" help:"How long a contact created with POST /contacts is not messageable."`
	Admins       []string      `placeholder:"IDS" help:"Ids of the admins that messages may come from, separated by commas. Any by default."`
	RateLimit    int           `default:"1667" placeholder:"N" help:"Requests in a window of 10 s (${default})."`
	IndexLag     time.Duration `default:"0s" placeholder:"DURATION" help:"How long a conversation is invisible to search."`
}

func (c *fakeCommand) Run(ctx context.Context, p *program) error {
	log, err := p.log()
	if err != nil {
		return err
	}
	cfg := intercomtest.Config{
		Token: c.Token, ClientSecret: c.ClientSecret, WebhookURL: c.WebhookURL,
		ContactDelay: c.ContactDelay, RateLimit: c.RateLimit, IndexLag: c.IndexLag,
	}
	if c.Contacts == "any" {
		cfg.UnknownContacts = intercomtest.UnknownMessageable
	}
	cfg.AnyAdmin = len(c.Admins) == 0
	for _, id := range c.Admins {
		cfg.Admins = append(cfg.Admins, intercomtest.Admin{ID: id, Name: "Admin " + id, Email: "admin" + id + "@example.com"})
	}
	fake := intercomtest.New(cfg)
	defer fake.Close()
	ln, err := httpserver.Listen(ctx, c.Addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	fmt.Fprintf(p.stderr, "fake Intercom: http://%s, its log: http://%[1]s/_fake/log\n", ln.Addr())
	return httpserver.Serve(ctx, ln, fake, httpserver.Config{Log: log})
}
