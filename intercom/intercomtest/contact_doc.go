package intercomtest

import (
	"net/http"
	"net/url"
	"time"
)

type contactDoc struct {
	Type                   string     `json:"type"`
	ID                     string     `json:"id"`
	WorkspaceID            string     `json:"workspace_id"`
	ExternalID             *string    `json:"external_id"`
	Role                   string     `json:"role"`
	Email                  string     `json:"email,omitempty"`
	Phone                  *string    `json:"phone"`
	Name                   *string    `json:"name"`
	Avatar                 *struct{}  `json:"avatar"`
	OwnerID                *int64     `json:"owner_id"`
	SocialProfiles         listDoc    `json:"social_profiles"`
	HasHardBounced         bool       `json:"has_hard_bounced"`
	MarkedEmailAsSpam      bool       `json:"marked_email_as_spam"`
	UnsubscribedFromEmails bool       `json:"unsubscribed_from_emails"`
	CreatedAt              int64      `json:"created_at"`
	UpdatedAt              int64      `json:"updated_at"`
	SignedUpAt             *int64     `json:"signed_up_at"`
	LastSeenAt             *int64     `json:"last_seen_at"`
	LastRepliedAt          *int64     `json:"last_replied_at"`
	LastContactedAt        *int64     `json:"last_contacted_at"`
	CustomAttributes       struct{}   `json:"custom_attributes"`
	Tags                   subListDoc `json:"tags"`
	Notes                  subListDoc `json:"notes"`
	Companies              subListDoc `json:"companies"`
}

type listDoc struct {
	Type string     `json:"type"`
	Data []struct{} `json:"data"`
}

type subListDoc struct {
	listDoc
	URL        string `json:"url"`
	TotalCount int    `json:"total_count"`
	HasMore    bool   `json:"has_more"`
}

func (c *contact) doc(appID string) contactDoc {
	empty := listDoc{Type: "list", Data: []struct{}{}}
	sub := func(name string) subListDoc {
		return subListDoc{listDoc: empty, URL: contactsPath + "/" + c.ID + "/" + name}
	}
	at := c.createdAt.Unix()
	return contactDoc{
		Type: "contact", ID: c.ID, WorkspaceID: appID, ExternalID: orNull(c.ExternalID), Role: c.Role,
		Email: c.Email, Phone: orNull(c.Phone), Name: orNull(c.Name),
		UnsubscribedFromEmails: c.UnsubscribedFromEmails,
		CreatedAt:              at, UpdatedAt: at,
		SocialProfiles: empty, Tags: sub("tags"), Notes: sub("notes"), Companies: sub("companies"),
	}
}

// createContact is POST /contacts. The contact exists at once, is messageable
// after Config.ContactDelay, and is announced by a notification.
func (s *Server) createContact(c *call) answer {
	doc, fail := decodeObject(c.body)
	if fail != nil {
		return fail.answer(c.requestID)
	}
	d := decoder{doc: doc}
	created := Contact{
		Role: read[string](&d, "role"), Name: read[string](&d, "name"), Email: read[string](&d, "email"),
		Phone: read[string](&d, "phone"), ExternalID: read[string](&d, "external_id"),
		UnsubscribedFromEmails: read[bool](&d, "unsubscribed_from_emails"),
	}
	if fail = d.fail; fail == nil {
		fail = created.check()
	}
	if fail != nil {
		return fail.answer(c.requestID)
	}
	return s.addCreated(c, created)
}

func (c Contact) check() *failure {
	switch {
	case c.Role != "" && c.Role != roleUser && c.Role != roleLead:
		return invalid("role", "Role must be user or lead")
	case c.Role == "" && c.Email == "" && c.ExternalID == "":
		return invalid("", "One of role, email and external_id is required")
	}
	return nil
}

func (s *Server) addCreated(c *call, created Contact) answer {
	now := s.cfg.Now()
	created.MessageableAt = now.Add(s.cfg.ContactDelay)
	doc, n := s.putContact(created, now)
	// That its notification was lost is in the log, and no reason to say that the
	// contact was not created.
	_ = s.announce(c.r.Context(), n)
	return document(http.StatusOK, doc)
}

// putContact adds a contact to the workspace and returns it with the notification
// of its creation.
func (s *Server) putContact(c Contact, now time.Time) (contactDoc, *notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doc := s.contacts.put(c, now).doc(s.cfg.AppID)
	return doc, s.newNotification("contact."+doc.Role+".created", doc, now)
}

// retrieveContact is GET /contacts/{id}.
func (s *Server) retrieveContact(c *call, id string) answer {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.contacts.find(id, now)
	if ok && found.mergedInto != nil && !c.version.before(goneWhenMerged) {
		return merged(c.requestID, found.canonical().ID)
	}
	if !ok || found.mergedInto != nil {
		return notFound("User Not Found", "").answer(c.requestID)
	}
	return document(http.StatusOK, found.doc(s.cfg.AppID))
}

func merged(requestID, into string) answer {
	const message = "This contact has been merged. See the 'Link' header for the canonical contact."
	a := (&failure{http.StatusGone, "contact_merged", message, ""}).answer(requestID)
	a.header.Set("Link", "<"+contactsPath+"/"+url.PathEscape(into)+`>; rel="canonical"`)
	return a
}
