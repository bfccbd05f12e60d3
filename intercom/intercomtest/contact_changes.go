package intercomtest

import (
	"context"
	"fmt"
	"time"
)

// The items of notifications about contacts. The form of merged_from is
// documented (webhook models), the others have been seen: see docs/intercom.md.
type (
	mergedDoc struct {
		contactDoc
		MergedFrom referenceDoc `json:"merged_from"`
	}
	referenceDoc struct {
		Type string `json:"type"`
		ID   string `json:"id"`
	}
	archivedDoc struct {
		referenceDoc
		ExternalID *string `json:"external_id"`
		Archived   bool    `json:"archived"`
	}
	deletedDoc struct {
		referenceDoc
		Deleted bool `json:"deleted"`
	}
)

func (c *contact) reference() referenceDoc { return referenceDoc{Type: "contact", ID: c.ID} }

// CreateContact is AddContact with the notification of it, as POST /contacts has
// it: from the moment on at which it is sent, or from MessageableAt, messages reach
// the contact. It returns the contact's id, and an error if the notification could
// not be queued: the contact exists then all the same.
func (s *Server) CreateContact(ctx context.Context, c Contact) (string, error) {
	doc, n := s.putContact(c, s.cfg.Now())
	return doc.ID, s.announce(ctx, n)
}

// MergeContact merges the contact from into another one, which takes its place in
// every conversation and answers its messages from now on. Messages to from are
// 404, and GET /contacts/{id} is 410 with a Link to the other one, or 404 before
// version 2.16. Its notification is contact.merged. It returns ErrNotFound if one
// of the two does not exist or was itself merged away, and an error if the
// notification could not be queued.
func (s *Server) MergeContact(ctx context.Context, from, into string) error {
	if from == into {
		return fmt.Errorf("intercomtest: contact %q cannot be merged into itself", from)
	}
	return s.changeContact(ctx, from, func(source *contact, now time.Time) (*notification, error) {
		target, err := s.live(into, now)
		if err != nil {
			return nil, err
		}
		source.mergedInto = target
		s.conversations.move(source, target)
		item := mergedDoc{contactDoc: target.doc(s.cfg.AppID), MergedFrom: source.reference()}
		return s.newNotification(topicMerged, item, now), nil
	})
}

// ArchiveContact archives a contact: messages to it are 404 until UnarchiveContact,
// but GET /contacts/{id} finds it and it can answer. Its notification is
// contact.archived. The errors are those of DeleteContact.
func (s *Server) ArchiveContact(ctx context.Context, id string) error {
	return s.setArchived(ctx, id, true, topicArchived)
}

// UnarchiveContact brings an archived contact back. Its notification is
// contact.unarchive. The errors are those of DeleteContact.
func (s *Server) UnarchiveContact(ctx context.Context, id string) error {
	return s.setArchived(ctx, id, false, topicUnarchived)
}

func (s *Server) setArchived(ctx context.Context, id string, archived bool, topic string) error {
	return s.changeContact(ctx, id, func(c *contact, now time.Time) (*notification, error) {
		if c.archived == archived {
			return nil, nil
		}
		c.archived = archived
		item := archivedDoc{referenceDoc: c.reference(), ExternalID: orNull(c.ExternalID), Archived: archived}
		return s.newNotification(topic, item, now), nil
	})
}

// DeleteContact deletes a contact for good: messages to it and GET /contacts/{id}
// are 404, and it cannot answer. Its conversations stay. Its notification is
// contact.deleted. It returns ErrNotFound for a contact that does not exist or was
// merged away, and an error if the notification could not be queued: the change
// was made then all the same.
func (s *Server) DeleteContact(ctx context.Context, id string) error {
	return s.changeContact(ctx, id, func(c *contact, now time.Time) (*notification, error) {
		c.deleted = true
		return s.newNotification(topicDeleted, deletedDoc{c.reference(), true}, now), nil
	})
}

// changeContact calls change, which holds mu, and announces what it returns.
func (s *Server) changeContact(ctx context.Context, id string, change func(*contact, time.Time) (*notification, error)) error {
	n, err := func() (*notification, error) {
		now := s.cfg.Now()
		s.mu.Lock()
		defer s.mu.Unlock()
		c, err := s.live(id, now)
		if err != nil {
			return nil, err
		}
		return change(c, now)
	}()
	if err != nil {
		return err
	}
	return s.announce(ctx, n)
}

// live returns the contact with the id, unless it was deleted or merged away. Hold
// mu.
func (s *Server) live(id string, now time.Time) (*contact, error) {
	c, ok := s.contacts.find(id, now)
	if !ok || c.mergedInto != nil {
		return nil, fmt.Errorf("%w: contact %q", ErrNotFound, id)
	}
	return c, nil
}

// move lets search find the conversations of the one under the other.
func (cs *conversations) move(from, to *contact) {
	cs.byContact[to.ID] = append(cs.byContact[to.ID], cs.byContact[from.ID]...)
	delete(cs.byContact, from.ID)
}
