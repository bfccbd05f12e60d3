package intercomtest

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
)

// Where the counters of ids begin. The ranges are apart, so that an id that
// was taken for another kind of id is found by nobody.
const (
	firstMessageID      = 403_918_001
	firstConversationID = 50_001
	firstPartID         = 7_000_001
)

// Server is a fake Intercom with one workspace in memory. It is an
// [http.Handler] and safe for concurrent use.
type Server struct {
	cfg      Config
	control  http.Handler
	webhooks *webhooks

	// mu guards everything below. No call that can block is made under it.
	mu            sync.Mutex
	token         string
	admins        map[string]Admin
	budget        budget
	contacts      contacts
	messages      map[string]*message
	conversations conversations
	faults        []*faultState
	random        *rand.Rand
	log           Log
	changed       chan struct{}
	nextMessage   counter
	nextConv      counter
	nextPart      counter
	nextRequest   int64
}

// New returns a Server for the workspace that cfg describes. Close ends it.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:           cfg,
		token:         cfg.Token,
		admins:        make(map[string]Admin, len(cfg.Admins)),
		budget:        budget{limit: cfg.RateLimit, window: cfg.RateWindow},
		contacts:      newContacts(cfg),
		messages:      make(map[string]*message),
		conversations: newConversations(),
		random:        rand.New(rand.NewPCG(cfg.Seed, 1)), //nolint:gosec // Faults must repeat with their seed.
		nextMessage:   firstMessageID,
		nextConv:      firstConversationID,
		nextPart:      firstPartID,
	}
	for _, a := range cfg.Admins {
		s.admins[a.ID] = a
	}
	s.webhooks = newWebhooks(cfg, s.recordDelivery)
	s.control = newControl(s)
	return s
}

// Close ends the delivery of notifications, those that wait for another try
// included, and waits for it. Requests are still answered afterwards. It may be
// called more than once.
func (s *Server) Close() { s.webhooks.close() }

// SetToken changes the access token that requests must carry: another one
// revokes the one in use, an empty one takes any.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
}

// SetRateLimit changes the number of requests in a window, from now on.
func (s *Server) SetRateLimit(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.limit = limit
}

// SpendOther takes n requests out of the current window, as another app that
// shares the workspace's budget would.
func (s *Server) SpendOther(n int) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.spend(now, n)
}

// AddContact adds a contact to the workspace, or replaces the one with its ID, in
// its conversations as well; one that was merged away is not in any. A contact
// without an ID gets one. It returns the contact's id.
func (s *Server) AddContact(c Contact) string {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contacts.put(c, now).ID
}

// SetWebhookURL changes where notifications go, without asking the receiver.
// Empty sends none. [Server.Subscribe] does it the way Intercom does.
func (s *Server) SetWebhookURL(url string) { s.webhooks.setURL(url) }

// counter gives out ids.
type counter int64

func (c *counter) next() string {
	id := strconv.FormatInt(int64(*c), 10)
	*c++
	return id
}
