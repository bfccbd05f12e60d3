package intercom

import (
	"context"
	"net/http"
	"time"
)

// Client makes requests to one Intercom workspace. It is safe for concurrent
// use.
//
// Its methods return a [*Response] whenever an HTTP answer came, also beside
// an error. The errors are [*ValidationError] (nothing was sent),
// [*TransportError], [*APIError] and [*BodyError]. None of them holds the
// token or a message's text. An ended context is found with errors.Is.
type Client struct {
	token     func() (string, error)
	base      string
	version   version
	timeout   time.Duration
	userAgent string
	transport http.RoundTripper
	// own is nil if the transport was handed in.
	own *http.Transport
}

// New returns a client, or an error that names the field of the configuration
// that cannot be used. It makes no request: see [Client.Me] for trying the
// token.
func New(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	base, err := cfg.baseURL()
	if err != nil {
		return nil, err
	}
	v, _ := parseVersion(cfg.Version) // validate has read it already
	c := &Client{
		token:     cfg.Token,
		base:      base,
		version:   v,
		timeout:   cfg.Timeout,
		userAgent: cfg.UserAgent,
		transport: cfg.Transport,
	}
	if c.transport == nil {
		c.own = newTransport(cfg.Concurrency, cfg.Proxy, dial)
		c.transport = c.own
	}
	return c, nil
}

// Close closes the idle connections of the client's own transport. Requests
// under way are not disturbed.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// CreatedMessage is Intercom's answer to a create-message request.
type CreatedMessage struct {
	Type        string   `json:"type"`
	ID          ID       `json:"id"`
	CreatedAt   UnixTime `json:"created_at"`
	Subject     string   `json:"subject"`
	Body        string   `json:"body"`
	MessageType string   `json:"message_type"`
	// ConversationID is empty unless the message asked for a conversation
	// without the contact's reply, and perhaps not always set then.
	ConversationID ID `json:"conversation_id"`
}

// CreateMessage validates the message and sends it once. There is no second
// try of any kind: Intercom has no idempotency keys. A [*BodyError] means that
// the message was created, but its id is unknown.
func (c *Client) CreateMessage(ctx context.Context, m *Message) (*CreatedMessage, *Response, error) {
	body, err := m.Encode()
	if err != nil {
		return nil, nil, err
	}
	v, err := c.version.versionFor(m)
	if err != nil {
		return nil, nil, err
	}
	created, res, err := fetch[CreatedMessage](ctx, c, call{
		method: http.MethodPost, path: "/messages", version: v, body: body, limit: shortAnswer,
	})
	if err != nil {
		return nil, res, err
	}
	if created.ID == "" {
		return nil, res, &BodyError{Response: *res, Err: errNoID}
	}
	return created, res, nil
}

// Me is the admin that a token belongs to.
type Me struct {
	Type  string `json:"type"`
	ID    ID     `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
	App   App    `json:"app"`
}

// App is a workspace.
type App struct {
	// IDCode is what notifications call app_id.
	IDCode   string `json:"id_code"`
	Name     string `json:"name"`
	Region   string `json:"region"`
	Timezone string `json:"timezone"`
}

// Me asks who the token belongs to: the check that the token works, and for
// which workspace and region.
func (c *Client) Me(ctx context.Context) (*Me, *Response, error) {
	me, res, err := fetch[Me](ctx, c, call{
		method: http.MethodGet, path: "/me", version: c.version, limit: shortAnswer,
	})
	if err != nil {
		return nil, res, err
	}
	if me.ID == "" {
		return nil, res, &BodyError{Response: *res, Err: errNoID}
	}
	return me, res, nil
}
