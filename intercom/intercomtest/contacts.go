package intercomtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	roleUser = "user"
	roleLead = "lead"
)

// Contact is a user or a lead of the workspace.
type Contact struct {
	// ID is Intercom's id of the contact. Empty means that the Server makes one.
	ID string
	// Role is "user" or "lead". Empty means "user". A message must name it, so
	// a lead that is addressed as a user is not found.
	Role string
	// Name, Email, Phone and ExternalID may be empty.
	Name       string
	Email      string
	Phone      string
	ExternalID string
	// MessageableAt is from when on messages reach the contact. Until then it
	// gets the 404 of a contact that does not exist. Zero means at once.
	MessageableAt time.Time
	// UnsubscribedFromEmails makes an email to the contact a 403.
	UnsubscribedFromEmails bool
}

// contact is a Contact with what the workspace knows of it. One that was deleted
// stays, so that no policy brings it back.
type contact struct {
	Contact
	// anyRole is a contact that nobody added, so nobody said what it is.
	anyRole   bool
	createdAt time.Time
	archived  bool
	deleted   bool
	// mergedInto is the contact that took its place.
	mergedInto *contact
}

// canonical is the contact at the end of the chain of merges.
func (c *contact) canonical() *contact {
	for c.mergedInto != nil {
		c = c.mergedInto
	}
	return c
}

// canonicals returns who is left of the contacts, each once, in order.
func canonicals(list []*contact) []*contact {
	left := make([]*contact, 0, len(list))
	for _, c := range list {
		if c = c.canonical(); !slices.Contains(left, c) {
			left = append(left, c)
		}
	}
	return left
}

// contacts are the workspace's contacts. The Server's mutex guards them.
type contacts struct {
	policy  ContactPolicy
	byID    map[string]*contact
	byPhone map[string]*contact
	next    int64
}

func newContacts(cfg Config) contacts {
	return contacts{policy: cfg.UnknownContacts, byID: make(map[string]*contact), byPhone: make(map[string]*contact)}
}

func (cs *contacts) put(c Contact, now time.Time) *contact {
	if c.ID == "" {
		cs.next++
		c.ID = fmt.Sprintf("6762f0dd1bb69f9f%08x", cs.next)
	}
	setDefault(&c.Role, roleUser)
	entry, ok := cs.byID[c.ID]
	if !ok || entry.mergedInto != nil {
		// What the merged one took part in stays with the other contact.
		entry = new(contact)
		cs.byID[c.ID] = entry
	}
	*entry = contact{Contact: c, createdAt: now}
	if c.Phone != "" {
		cs.byPhone[c.Phone] = entry
	}
	return entry
}

// find returns the contact with the id, also one that was merged or archived, and
// under UnknownMessageable makes it if it never existed.
func (cs *contacts) find(id string, now time.Time) (*contact, bool) {
	if c, ok := cs.byID[id]; ok {
		return c, !c.deleted
	}
	if cs.policy != UnknownMessageable || strings.HasPrefix(id, "never-") {
		return nil, false
	}
	c := cs.put(Contact{ID: id, MessageableAt: appearsAt(id, now)}, now)
	c.anyRole = true
	return c, true
}

// messageable returns the contact that a recipient names, if a message can go
// to it.
func (cs *contacts) messageable(r recipient, now time.Time) (*contact, bool) {
	if r.phone != "" {
		c := cs.withPhone(r, now)
		return c, !c.archived
	}
	c, ok := cs.find(r.id, now)
	if !ok || c.mergedInto != nil || c.archived || now.Before(c.MessageableAt) {
		return nil, false
	}
	if c.anyRole {
		c.Role = r.typ
	}
	return c, c.Role == r.typ
}

// withPhone returns the contact with a WhatsApp number. Numbers need not be
// known beforehand.
func (cs *contacts) withPhone(r recipient, now time.Time) *contact {
	if c, ok := cs.byPhone[r.phone]; ok && !c.canonical().deleted {
		return c.canonical()
	}
	return cs.put(Contact{Name: r.name, Phone: r.phone}, now)
}

// appearsAt reads the time from an id like "appears-in-5s-jo". Other ids, and
// those without a valid duration, are there at once.
func appearsAt(id string, now time.Time) time.Time {
	rest, ok := strings.CutPrefix(id, "appears-in-")
	if !ok {
		return time.Time{}
	}
	text, _, _ := strings.Cut(rest, "-")
	d, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}
	}
	return now.Add(d)
}
