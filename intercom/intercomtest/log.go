package intercomtest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// CreatedMessage is a message that exists in the workspace.
type CreatedMessage struct {
	ID string `json:"id"`
	// At is when it was created by the Server's clock.
	At time.Time `json:"at"`
	// MessageType is "inapp", "email" or "whatsapp".
	MessageType string     `json:"message_type"`
	Subject     string     `json:"subject,omitempty"`
	Body        string     `json:"body,omitempty"`
	Template    string     `json:"template,omitempty"`
	AdminID     string     `json:"admin_id"`
	Recipients  Recipients `json:"recipients"`
	// ConversationID is the conversation that was opened with the message.
	// Empty if none was asked for; the one that a reply opens is in ReplyInfo.
	ConversationID string `json:"conversation_id,omitempty"`
	// RequestNumber is the Number of the request that created it.
	RequestNumber int64 `json:"request_number"`
	// CreatedAt is the message's own time in Unix seconds: At, unless the
	// request asked for another.
	CreatedAt int64 `json:"created_at"`
}

// Recipients are the contacts' ids of a message, or for WhatsApp the phone
// numbers.
type Recipients struct {
	To  []string `json:"to"`
	CC  []string `json:"cc,omitempty"`
	BCC []string `json:"bcc,omitempty"`
}

func (r Recipients) all() []string { return slices.Concat(r.To, r.CC, r.BCC) }

// Request is a request that was answered, or cut.
type Request struct {
	// Number counts requests from 1 in the order of their arrival.
	Number int64 `json:"number"`
	// At is when it arrived by the Server's clock.
	At     time.Time `json:"at"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	// Status is what was answered, 0 if the connection was cut before that.
	Status int `json:"status"`
	// TokenOK tells whether the request's token was good.
	TokenOK bool `json:"token_ok"`
	// Version is the Intercom-Version header.
	Version string `json:"version,omitempty"`
	// FaultName is the fault that the request met.
	FaultName string `json:"fault_name,omitempty"`
	// Duration is from arrival until the answer was ready.
	Duration time.Duration `json:"-"`
	// CreatedMessageID is the message that the request created, also where its
	// answer did not say so.
	CreatedMessageID string `json:"created_message_id,omitempty"`
	// ContactIDs are the recipients that a request to /messages named.
	ContactIDs []string `json:"contact_ids,omitempty"`
}

// Log is what happened so far. It only grows; a Log that was handed out does
// not change, and its slices must not be changed.
type Log struct {
	// Arrived is the number of requests that came in, those that are still
	// being answered included.
	Arrived int64
	// Created are the messages in the order of their creation.
	Created []CreatedMessage
	// Requests are the requests in the order in which they ended.
	Requests []Request
	// Replies are the contacts' answers in order.
	Replies []ReplyInfo
	// Deliveries are the notifications' deliveries in order.
	Deliveries []Delivery
}

// Log returns what happened so far.
func (s *Server) Log() Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.clip()
}

// clip keeps those who append to a handed-out slice from writing into the log.
func (l Log) clip() Log {
	l.Created = slices.Clip(l.Created)
	l.Requests = slices.Clip(l.Requests)
	l.Replies = slices.Clip(l.Replies)
	l.Deliveries = slices.Clip(l.Deliveries)
	return l
}

// Created returns the messages that exist, in the order of their creation.
func (s *Server) Created() []CreatedMessage { return slices.Clone(s.Log().Created) }

// Requests returns the requests that were answered or cut, in the order in
// which that happened. A request is in it before its answer is sent.
func (s *Server) Requests() []Request { return slices.Clone(s.Log().Requests) }

// Deliveries returns the attempts to deliver a notification, in order.
func (s *Server) Deliveries() []Delivery { return slices.Clone(s.Log().Deliveries) }

// WaitFor waits until done says true of the log. It looks at once and then
// after every change. It returns an error when ctx ends first.
func (s *Server) WaitFor(ctx context.Context, done func(Log) bool) error {
	for {
		log, changed := s.observe()
		if done(log) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("intercomtest: waiting at %d created messages and %d requests: %w",
				len(log.Created), log.Arrived, context.Cause(ctx))
		}
	}
}

// WaitCreated waits until at least n messages exist.
func (s *Server) WaitCreated(ctx context.Context, n int) error {
	return s.WaitFor(ctx, func(log Log) bool { return len(log.Created) >= n })
}

// observe returns the log and a channel that is closed when it changes.
func (s *Server) observe() (Log, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.log.clip(), s.changed
}

// wake tells those who observe that the log has changed. Hold mu.
func (s *Server) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Server) recordDelivery(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Deliveries = append(s.log.Deliveries, d)
	s.wake()
}
