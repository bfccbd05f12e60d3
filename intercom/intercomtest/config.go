package intercomtest

import (
	"net/http"
	"time"
)

// What the zero Config stands for.
const (
	defaultAppID             = "fake_app"
	defaultRegion            = "US"
	defaultClientSecret      = "fake_secret"
	defaultRateLimit         = 1667
	defaultRateWindow        = 10 * time.Second
	defaultWebhookRetryAfter = time.Minute
	defaultWebhookQueue      = 10_000
	defaultUnsubscribedCode  = "forbidden"
	webhookTimeout           = 5 * time.Second
)

// ContactPolicy says what happens to contacts that nobody added.
type ContactPolicy int

// The policies for contacts that nobody added.
const (
	// UnknownNotFound answers a message to them with 404 "User Not Found", as
	// Intercom does.
	UnknownNotFound ContactPolicy = iota
	// UnknownMessageable lets every contact exist. Two forms of ids differ: one
	// like "appears-in-5s-jo" becomes messageable that long after the first
	// request that names it, and one that starts with "never-" does not exist.
	UnknownMessageable
)

// Config is what a workspace is like. The zero Config is usable: each field's
// comment says what its zero value means.
type Config struct {
	// Token is the access token to ask for. Empty takes any bearer token that
	// is not empty.
	Token string
	// AppID is the workspace's id, the id_code of /me and the app_id of
	// notifications. Empty means "fake_app".
	AppID string
	// Region is what /me says. Empty means "US".
	Region string
	// ClientSecret signs notifications. Empty means "fake_secret".
	ClientSecret string
	// Admins are the teammates that messages may come from; the first one is
	// the default sender and the one behind the token. Empty means one admin
	// with the id "1".
	Admins []Admin
	// AnyAdmin lets every admin exist, so that messages may come also from those
	// that are not among Admins.
	AnyAdmin bool
	// UnknownContacts says what happens to contacts that nobody added.
	UnknownContacts ContactPolicy
	// ContactDelay is how long a contact that was created with POST /contacts
	// stays not messageable.
	ContactDelay time.Duration
	// RateLimit is the number of requests in a window. Zero means 1667.
	RateLimit int
	// RateWindow is how long a window is. Windows begin at whole multiples of it
	// in Unix time. Zero means 10 s. X-RateLimit-Reset has whole seconds, rounded
	// up, so windows that are no whole seconds end earlier than they say.
	RateWindow time.Duration
	// IndexLag is how long a new conversation, and what a reply changed in it,
	// stays invisible to search.
	IndexLag time.Duration
	// RoundDates makes search compare dates by the day in UTC, with a strict >
	// and <, as some of Intercom's date filters are said to do.
	RoundDates bool
	// UnsubscribedCode is the error code of the 403 for an email to a contact
	// that has unsubscribed. Empty means "forbidden".
	UnsubscribedCode string
	// FirstReplyTopic is the topic that carries a contact's first answer, the
	// one that opens the conversation. Empty means "conversation.user.replied".
	// Intercom does not say which one it is.
	FirstReplyTopic string
	// HTMLNotifications lets notifications have bodies as HTML, as an app whose
	// version is older than 2.15 gets them. Otherwise they are plain text.
	HTMLNotifications bool
	// WebhookURL is where notifications go. Empty sends none.
	WebhookURL string
	// WebhookRetryAfter is how long after a failed delivery the one more try
	// comes. Zero means a minute, as Intercom documents it.
	WebhookRetryAfter time.Duration
	// WebhookConcurrency is how many notifications are delivered at a time. Zero
	// means 1, so that they arrive in order.
	WebhookConcurrency int
	// HoldNotifications keeps notifications back until [Server.Release].
	HoldNotifications bool
	// HTTPClient delivers notifications. Nil means a client of its own. Each
	// delivery ends after 5 s with either.
	HTTPClient *http.Client
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Seed starts the random numbers behind Fault.Chance.
	Seed uint64
}

// Admin is a teammate of the workspace.
type Admin struct {
	ID    string
	Name  string
	Email string
}

// withDefaults returns the Config with every zero value replaced.
func (c Config) withDefaults() Config {
	setDefault(&c.AppID, defaultAppID)
	setDefault(&c.Region, defaultRegion)
	setDefault(&c.ClientSecret, defaultClientSecret)
	setDefault(&c.UnsubscribedCode, defaultUnsubscribedCode)
	setDefault(&c.FirstReplyTopic, topicReplied)
	setDefault(&c.RateLimit, defaultRateLimit)
	setDefault(&c.RateWindow, defaultRateWindow)
	setDefault(&c.WebhookRetryAfter, defaultWebhookRetryAfter)
	c.WebhookConcurrency = max(c.WebhookConcurrency, 1)
	if len(c.Admins) == 0 {
		c.Admins = []Admin{{ID: "1", Name: "Ada Admin", Email: "ada@example.com"}}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
