package intercomtest

import (
	"cmp"
	"encoding/json"
	"net/http"
)

func (c control) parts(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		MessageID  string `json:"message_id"`
		Type       string `json:"type"`
		AuthorType string `json:"author_type"`
		AuthorID   string `json:"author_id"`
		Text       string `json:"text"`
		Topic      string `json:"topic"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	info, err := c.s.AddPart(r.Context(), req.MessageID, Part{
		Type: req.Type, AuthorType: req.AuthorType, AuthorID: req.AuthorID, Text: req.Text, Topic: req.Topic,
	})
	return http.StatusCreated, info, err
}

func (c control) notify(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		Topic string          `json:"topic"`
		Item  json.RawMessage `json:"item"`
		AppID string          `json:"app_id"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	id, err := c.s.NotifyFrom(r.Context(), cmp.Or(req.AppID, c.s.cfg.AppID), req.Topic, req.Item)
	return http.StatusCreated, map[string]string{"id": id}, err
}

func (c control) hold(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		Hold bool `json:"hold"`
	}](r)
	if err == nil {
		c.s.HoldNotifications(req.Hold)
	}
	return http.StatusNoContent, nil, err
}

func (c control) held(*http.Request) (int, any, error) {
	return http.StatusOK, map[string][]HeldNotification{"held": c.s.Held()}, nil
}

func (c control) release(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		IDs []string `json:"ids"`
	}](r)
	if err == nil {
		err = c.s.Release(r.Context(), req.IDs...)
	}
	return http.StatusNoContent, nil, err
}

// redeliver answers with the delivery, whatever the receiver said to it.
func (c control) redeliver(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		Forged bool `json:"forged"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	deliver := c.s.Redeliver
	if req.Forged {
		deliver = c.s.RedeliverForged
	}
	d, err := deliver(r.Context(), r.PathValue("id"))
	return http.StatusOK, d, err
}
