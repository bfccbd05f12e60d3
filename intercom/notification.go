package intercom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Topics of the notifications that matter to dispatch. Which of
// TopicConversationUserCreated and TopicConversationUserReplied carries the first
// answer to a message of the API is not documented: look at the conversation's
// source in both. TopicContactUnarchived is spelt as in Intercom's list of topics.
const (
	TopicPing                           = "ping"
	TopicConversationUserCreated        = "conversation.user.created"
	TopicConversationUserReplied        = "conversation.user.replied"
	TopicConversationAdminSingleCreated = "conversation.admin.single.created"
	TopicContactUserCreated             = "contact.user.created"
	TopicContactLeadCreated             = "contact.lead.created"
	TopicContactMerged                  = "contact.merged"
	TopicContactArchived                = "contact.archived"
	TopicContactUnarchived              = "contact.unarchive"
	TopicContactDeleted                 = "contact.deleted"
	TopicContactUnsubscribed            = "contact.unsubscribed"
)

// Notification is the envelope of what Intercom posts to a webhook. Intercom
// delivers each at least once, in no order.
type Notification struct {
	// ID names the notification. It is empty for a ping, where Intercom sends
	// null.
	ID ID `json:"id"`
	// AppID is the workspace's id code: one webhook URL gets the
	// notifications of all workspaces in which the app is installed.
	AppID            string           `json:"app_id"`
	Topic            string           `json:"topic"`
	CreatedAt        UnixTime         `json:"created_at"`
	DeliveryAttempts int              `json:"delivery_attempts"`
	FirstSentAt      UnixTime         `json:"first_sent_at"`
	Data             NotificationData `json:"data"`
}

// NotificationData is what a notification is about.
type NotificationData struct {
	// Item depends on the topic: a conversation, a contact.
	Item json.RawMessage `json:"item"`
}

// ParseNotification reads a webhook's body. Unknown fields are ignored. It
// returns an error, which quotes nothing, for a body that is not one JSON
// object with a topic.
func ParseNotification(b []byte) (*Notification, error) {
	// Shadows the count, which like all numbers may come as a string.
	var wire struct {
		Notification
		DeliveryAttempts ID `json:"delivery_attempts"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return nil, fmt.Errorf("intercom: read the notification: %w", withoutText(err))
	}
	n := wire.Notification
	if n.Topic == "" {
		return nil, errors.New("intercom: the notification has no topic")
	}
	n.DeliveryAttempts, _ = strconv.Atoi(string(wire.DeliveryAttempts)) // informs people only
	return &n, nil
}

// Conversation reads the notification's item as a conversation. It returns an
// error, which quotes nothing, if the item is none.
func (n *Notification) Conversation() (*Conversation, error) {
	if len(n.Data.Item) == 0 {
		return nil, errors.New("intercom: the notification has no item")
	}
	var c Conversation
	if err := json.Unmarshal(n.Data.Item, &c); err != nil {
		return nil, fmt.Errorf("intercom: read the notification's conversation: %w", withoutText(err))
	}
	if c.ID == "" {
		return nil, errors.New("intercom: the notification's conversation has no id")
	}
	return &c, nil
}

// Contact reads the notification's item as a contact, or where the item is about
// one, as a tag of a contact is, the contact in it. Items of [TopicContactArchived]
// and [TopicContactDeleted] have little more than the id. It returns an error,
// which quotes nothing, if there is no contact with an id.
func (n *Notification) Contact() (*Contact, error) {
	if len(n.Data.Item) == 0 {
		return nil, errors.New("intercom: the notification has no item")
	}
	c, err := contactIn(n.Data.Item)
	if err != nil {
		return nil, fmt.Errorf("intercom: read the notification's contact: %w", withoutText(err))
	}
	if c.Type != "" && c.Type != "contact" && !isRole(c.Type) {
		return nil, errors.New("intercom: the notification's item is no contact")
	}
	if c.ID == "" {
		return nil, errors.New("intercom: the notification's contact has no id")
	}
	return c, nil
}

func contactIn(item json.RawMessage) (*Contact, error) {
	var around struct {
		Contact *Contact `json:"contact"`
	}
	if err := json.Unmarshal(item, &around); err != nil || around.Contact != nil {
		return around.Contact, err
	}
	var c Contact
	err := json.Unmarshal(item, &c)
	return &c, err
}
