package settle

import (
	"slices"
	"strconv"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// ClockMargin is how far Intercom's clock may be behind ours.
const ClockMargin = time.Minute

// verdict is an answer. What is missing from a conversation is no proof that it
// is another's.
type verdict int

const (
	no verdict = iota
	maybe
	yes
)

// Searchable tells whether a conversation exists as soon as the message does,
// so that [Finder.Find] finding none means that there is no message, once the
// search index has caught up. Not for WhatsApp, whose text Intercom keeps. A
// message without this may still be found, once its contact has replied.
func Searchable(m *intercom.Message) bool {
	return recognisable(m) && m.CreateConversationWithoutContactReply
}

// Readdressed returns the message with another first recipient: the contact into
// which the one was merged to whom it was sent.
func Readdressed(m *intercom.Message, contactID string) *intercom.Message {
	to := slices.Clone(m.To)
	to[0].ID = contactID
	changed := *m
	changed.To = to
	return &changed
}

// recognisable tells whether a conversation can be recognised as the message's.
func recognisable(m *intercom.Message) bool {
	return m != nil && m.MessageType != intercom.WhatsApp && len(m.To) > 0 && m.To[0].ID != ""
}

// Fits tells whether the conversation is one that the message can have opened
// if it was sent at since or later. The conversation is one of a search's
// results or a notification's item. What is needed to tell must be there: the
// author, the contact, the time and the body.
func Fits(m *intercom.Message, c *intercom.Conversation, since time.Time) bool {
	return judge(m, c, since) == yes
}

// judge returns the least that the parts of the conversation say.
func judge(m *intercom.Message, c *intercom.Conversation, since time.Time) verdict {
	if !recognisable(m) || c == nil {
		return no
	}
	answer := min(
		compareAuthor(m.From, c.Source.Author),
		compareKind(c.Source.DeliveredAs),
		compareContacts(m, c),
		compareTime(earliest(m, since), c.CreatedAt),
		compareSubjects(m.Subject, c.Source.Subject),
	)
	if answer == no {
		return no
	}
	return min(answer, compareBodies(m.Body, c.Source.Body))
}

func compareAuthor(from *intercom.Sender, a intercom.Author) verdict {
	switch {
	case a.Type != "" && a.Type != "admin":
		return no
	case from != nil && a.ID != "":
		return when(string(a.ID) == strconv.FormatInt(from.ID, 10))
	case from == nil && a.Type != "":
		return yes
	}
	return maybe
}

func compareKind(deliveredAs string) verdict {
	return when(deliveredAs == "" || deliveredAs == intercom.DeliveredAsAdminInitiated)
}

// compareContacts looks for the first recipient. A notification that names no
// contacts has at least the author of the new part.
func compareContacts(m *intercom.Message, c *intercom.Conversation) verdict {
	if len(c.Contacts.Contacts) > 0 {
		return when(slices.ContainsFunc(c.Contacts.Contacts, func(r intercom.ContactReference) bool {
			return string(r.ID) == m.To[0].ID
		}))
	}
	answer := maybe
	for _, p := range c.ConversationParts.Parts {
		if !p.Author.IsContact() || p.Author.ID == "" {
			continue
		}
		if !isRecipient(m, string(p.Author.ID)) {
			return no
		}
		answer = yes
	}
	return answer
}

func isRecipient(m *intercom.Message, id string) bool {
	return slices.ContainsFunc(slices.Concat(m.To, m.CC), func(r intercom.Recipient) bool { return r.ID == id })
}

// earliest is when the message's conversation can have begun.
func earliest(m *intercom.Message, since time.Time) time.Time {
	if at := time.Unix(m.CreatedAt, 0); m.CreatedAt > 0 && at.Before(since) {
		since = at
	}
	return since.Add(-ClockMargin)
}

// compareTime compares whole seconds, which is what Intercom has.
func compareTime(from time.Time, at intercom.UnixTime) verdict {
	if at == 0 {
		return maybe
	}
	return when(int64(at) >= from.Unix())
}

func compareSubjects(ours, theirs string) verdict {
	if ours == "" || theirs == "" {
		return yes
	}
	return compareBodies(ours, theirs)
}

func when(fits bool) verdict {
	if fits {
		return yes
	}
	return no
}
