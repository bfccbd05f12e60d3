package intercomtest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// call is one request on its way through the Server.
type call struct {
	r         *http.Request
	body      []byte
	requestID string
	version   version
	// message is the body of a request to /messages, with what is wrong with
	// its JSON.
	message    *messageRequest
	messageErr *failure
	fault      *Fault
	entry      Request
	header     http.Header
	answer     answer
	cut        CutPoint
}

// ServeHTTP answers as Intercom would, or as a fault has it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control.ServeHTTP(w, r)
		return
	}
	c := s.arrive(r)
	s.respond(w, c)
	// The log comes first: who has the answer finds it there.
	s.leave(c)
	c.answer.write(w, c.header, c.cut)
}

// arrive gives the request its number.
func (s *Server) arrive(r *http.Request) *call {
	c := &call{r: r, requestID: uuid.NewString(), header: make(http.Header)}
	c.header.Set("X-Request-Id", c.requestID)
	now := s.cfg.Now()
	// The clock may be a test's own, so Date must be it and not net/http's.
	c.header.Set("Date", now.UTC().Format(http.TimeFormat))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextRequest++
	s.log.Arrived++
	c.entry = Request{
		Number: s.nextRequest, At: now, Method: r.Method, Path: r.URL.Path,
		Version: r.Header.Get(versionHeader),
	}
	s.wake()
	return c
}

// leave writes the request to the log.
func (s *Server) leave(c *call) {
	c.entry.Status = c.answer.status
	if c.cut == CutBeforeCreate || c.cut == CutAfterCreate {
		c.entry.Status = 0
	}
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.Duration = now.Sub(c.entry.At)
	s.log.Requests = append(s.log.Requests, c.entry)
	s.wake()
}

// respond decides the answer: first what holds for every request, then the
// fault, if there is one, and the endpoint.
func (s *Server) respond(w http.ResponseWriter, c *call) {
	body, fail := readBody(w, c.r)
	c.body = body
	if fail == nil {
		fail = s.admit(c)
	}
	if fail != nil {
		c.answer = fail.answer(c.requestID)
		return
	}
	if c.r.Method == http.MethodPost && c.r.URL.Path == messagesPath {
		c.message, c.messageErr = decodeMessage(c.body)
		c.entry.ContactIDs = c.message.recipients().all()
	}
	if s.meetFault(c); c.fault == nil {
		c.answer = s.route(c)
		return
	}
	s.respondFaulty(c)
}

// admit checks what every request must have: a good token, room in the rate
// limit, and headers that name what it can read.
func (s *Server) admit(c *call) *failure {
	if fail := s.authenticate(c); fail != nil {
		return fail
	}
	if !accepts(c.r.Header.Values("Accept")) {
		return &failure{http.StatusNotAcceptable, "client_error", "The Accept header should send a media type of application/json", ""}
	}
	v, ok := parseVersion(c.entry.Version)
	if !ok {
		return badRequest("intercom_version_invalid", "The requested version could not be found", "")
	}
	c.version = v
	if c.r.Method == http.MethodPost && !isJSON(c.r.Header.Get("Content-Type")) {
		return badRequest("bad_request", "The Content-Type header should be application/json", "")
	}
	return nil
}

// authenticate checks the token and takes the request out of the budget. Only
// answers to requests with a good token tell the budget.
func (s *Server) authenticate(c *call) *failure {
	token, ok := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	c.entry.TokenOK = ok && token != "" && (s.token == "" || token == s.token)
	if !c.entry.TokenOK {
		return &failure{http.StatusUnauthorized, "unauthorized", "Access Token Invalid", ""}
	}
	within := s.budget.take(c.entry.At)
	s.budget.describe(c.header)
	if !within {
		return &failure{http.StatusTooManyRequests, "rate_limit_exceeded", s.budget.exceeded(), ""}
	}
	return nil
}

const (
	messagesPath      = "/messages"
	searchPath        = "/conversations/search"
	conversationsPath = "/conversations/"
	mePath            = "/me"
	contactsPath      = "/contacts"
	adminsPath        = "/admins/"
)

// route calls the endpoint. A wrong method is a path that does not exist.
func (s *Server) route(c *call) answer {
	path := c.r.URL.Path
	switch c.r.Method {
	case http.MethodPost:
		switch path {
		case messagesPath:
			return s.createMessage(c)
		case searchPath:
			return s.searchConversations(c)
		case contactsPath:
			return s.createContact(c)
		}
	case http.MethodGet:
		if path == mePath {
			return s.identify()
		}
		return s.retrieve(c, path)
	}
	return noSuchPath(c)
}

// retrieve is GET of one object by its id.
func (s *Server) retrieve(c *call, path string) answer {
	for prefix, get := range map[string]func(*call, string) answer{
		conversationsPath:  s.retrieveConversation,
		contactsPath + "/": s.retrieveContact,
		adminsPath:         s.retrieveAdmin,
	} {
		if id, ok := strings.CutPrefix(path, prefix); ok && id != "" {
			return get(c, id)
		}
	}
	return noSuchPath(c)
}

func noSuchPath(c *call) answer {
	return notFound("The requested resource does not exist; check your path and try again", "").answer(c.requestID)
}

// accepts tells whether an Accept header takes JSON.
func accepts(values []string) bool {
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		media, _, _ := strings.Cut(part, ";")
		if slices.Contains([]string{"application/json", "application/*", "*/*"}, strings.ToLower(strings.TrimSpace(media))) {
			return true
		}
	}
	return false
}

func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}
