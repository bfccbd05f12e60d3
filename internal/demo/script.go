package demo

import (
	"strconv"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

const (
	demoAdmin = 1
	// newcomerDelay is when the newcomer appears: after two or three 404s.
	newcomerDelay = 3500 * time.Millisecond
	// thinkingTime is how long the contact takes to answer.
	thinkingTime = 1200 * time.Millisecond
)

// script is a story: its messages and the workspace they go to.
type script struct {
	requests []enqueue.Request
	// intro says what a message is there to show, by key.
	intro map[string]string
	// answers are the texts with which contacts answer, by key.
	answers map[string]string
	// answerFirst answers the first message that is delivered.
	answerFirst string
	fake        intercomtest.Config
	contacts    []intercomtest.Contact
}

// builtIn is the story of the README.
func builtIn(now time.Time) script {
	inApp := func(contact, body string) *intercom.Message {
		return &intercom.Message{
			MessageType: intercom.InApp, Body: body,
			From: intercom.FromAdmin(demoAdmin), To: intercom.ToUser(contact),
		}
	}
	email := func(contact, subject, body string) *intercom.Message {
		m := inApp(contact, body)
		m.MessageType, m.Subject, m.Template = intercom.Email, subject, "plain"
		return m
	}
	return script{
		requests: []enqueue.Request{
			{Key: "welcome", Message: inApp("ada", "Welcome aboard, Ada!")},
			{Key: "receipt", Message: email("ada", "Your receipt", "Thank you for your order.")},
			{Key: "newcomer", Message: inApp("grace", "Nice to meet you, Grace!")},
			{Key: "newsletter", Message: email("linus", "News of the week", "All the news.")},
			{
				Key: "question", Message: inApp("ada", "Shall we ship your order today?"),
				Metadata: map[string]string{"order": "1042"},
			},
		},
		intro: map[string]string{
			"welcome":    "an in-app message to Ada",
			"receipt":    "an email to Ada",
			"newcomer":   "an in-app message to Grace, who signed up a moment ago: Intercom does not know her yet",
			"newsletter": "an email to Linus, who has unsubscribed",
			"question":   "a question to Ada, with our own order number as metadata",
		},
		answers: map[string]string{"question": "Yes, please ship it!"},
		contacts: []intercomtest.Contact{
			{ID: "ada", Name: "Ada"},
			{ID: "grace", Name: "Grace", MessageableAt: now.Add(newcomerDelay)},
			{ID: "linus", Name: "Linus", UnsubscribedFromEmails: true},
		},
	}
}

// ownStory makes a story of the caller's messages, in a workspace where every
// contact and every admin exists.
func ownStory(requests []enqueue.Request) script {
	s := script{
		requests: requests, intro: map[string]string{}, answerFirst: "Thank you!",
		fake: intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable, AnyAdmin: true},
	}
	for i, r := range requests {
		if r.Key == "" {
			s.requests[i].Key = "line-" + strconv.Itoa(i+1)
		}
	}
	return s
}
