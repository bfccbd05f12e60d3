package intercomtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Notify sends a notification with any topic and item, which encoding/json must be
// able to write, and returns its id. It returns an error if no webhook URL is set
// or ctx ends while the queue of notifications is full.
func (s *Server) Notify(ctx context.Context, topic string, item any) (string, error) {
	return s.NotifyFrom(ctx, s.cfg.AppID, topic, item)
}

// NotifyFrom is Notify from another workspace, the one with this id, signed with
// the same secret: an app that several workspaces have installed gets the
// notifications of all of them at one URL.
func (s *Server) NotifyFrom(ctx context.Context, appID, topic string, item any) (string, error) {
	if topic == "" {
		return "", errors.New("intercomtest: a notification needs a topic")
	}
	raw, err := json.Marshal(item)
	if err != nil {
		return "", fmt.Errorf("intercomtest: item of notification %s: %w", topic, err)
	}
	n := s.newNotification(topic, json.RawMessage(raw), s.cfg.Now())
	if n == nil {
		return "", errNoWebhook
	}
	n.appID = appID
	return n.id, s.announce(ctx, n)
}
