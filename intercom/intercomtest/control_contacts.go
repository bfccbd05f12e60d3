package intercomtest

import (
	"fmt"
	"net/http"
	"time"
)

type contactRequest struct {
	ID                     string   `json:"id"`
	Role                   string   `json:"role"`
	Name                   string   `json:"name"`
	Email                  string   `json:"email"`
	Phone                  string   `json:"phone"`
	ExternalID             string   `json:"external_id"`
	MessageableIn          duration `json:"messageable_in"`
	UnsubscribedFromEmails bool     `json:"unsubscribed_from_emails"`
	Announce               bool     `json:"announce"`
}

func (c control) contacts(r *http.Request) (int, any, error) {
	req, err := decodeControl[contactRequest](r)
	if err != nil {
		return 0, nil, err
	}
	if req.Role != "" && req.Role != roleUser && req.Role != roleLead {
		return 0, nil, fmt.Errorf("role must be %q or %q, not %q", roleUser, roleLead, req.Role)
	}
	added := Contact{
		ID: req.ID, Role: req.Role, Name: req.Name, Email: req.Email, Phone: req.Phone, ExternalID: req.ExternalID,
		MessageableAt:          c.s.cfg.Now().Add(time.Duration(req.MessageableIn)),
		UnsubscribedFromEmails: req.UnsubscribedFromEmails,
	}
	if !req.Announce {
		return http.StatusCreated, map[string]string{"id": c.s.AddContact(added)}, nil
	}
	id, err := c.s.CreateContact(r.Context(), added)
	return http.StatusCreated, map[string]string{"id": id}, err
}

func (c control) mergeContact(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		Into string `json:"into"`
	}](r)
	if err == nil {
		err = c.s.MergeContact(r.Context(), r.PathValue("id"), req.Into)
	}
	return http.StatusNoContent, nil, err
}

func (c control) archiveContact(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, c.s.ArchiveContact(r.Context(), r.PathValue("id"))
}

func (c control) unarchiveContact(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, c.s.UnarchiveContact(r.Context(), r.PathValue("id"))
}

func (c control) deleteContact(r *http.Request) (int, any, error) {
	return http.StatusNoContent, nil, c.s.DeleteContact(r.Context(), r.PathValue("id"))
}
