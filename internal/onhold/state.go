package onhold

import (
	"fmt"
	"net/http"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Phase is where a workspace stands.
type Phase string

const (
	// Free workspaces are not on hold.
	Free Phase = ""
	// Held workspaces have their queues paused, and nothing is sent.
	Held Phase = "held"
	// Trial is after a good probe: one message at a time is tried.
	Trial Phase = "trial"
)

// State is what is known of a workspace's hold. The zero State is that of a
// workspace that is not on hold. Times are by Redis' clock.
type State struct {
	Phase Phase `json:"phase,omitempty"`
	// ID names the hold.
	ID    string    `json:"id,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Reason is the last refused answer: Intercom's code and message.
	Reason ledger.Error `json:"reason,omitzero"`
	// Probes counts those that were begun.
	Probes int `json:"probes,omitempty"`
	// NextProbe is when the next probe is due, or when one that is under way
	// is given up. Zero on Trial.
	NextProbe time.Time `json:"next_probe,omitzero"`

	// round counts the refused answers that made the workspace Held.
	round int64
}

// OnHold tells whether messages have to wait: on Trial all do but one.
func (s State) OnHold() bool { return s.Phase != Free }

// String is a sentence for people: what is wrong, since when, and what to do.
func (s State) String() string {
	if !s.OnHold() {
		return "the workspace is not on hold"
	}
	text := fmt.Sprintf("the workspace is on hold since %s: %s (%s)",
		s.Since.UTC().Format(time.RFC3339), s.wrong(), reasonText(s.Reason))
	if s.Phase == Trial {
		return text + "; a probe of Intercom succeeded, so one message at a time is tried, and all go on once one gets through"
	}
	return text + "; " + s.remedy() + "; no message is lost, and the workspace goes on by itself"
}

func (s State) wrong() string {
	switch s.Reason.Status {
	case 0:
		return "requests to Intercom cannot be made"
	case http.StatusUnauthorized:
		return "Intercom refuses the access token"
	case http.StatusForbidden:
		return "Intercom's plan or the permissions of the access token do not allow messages"
	default:
		return "what answers is not Intercom's API, or refuses every message"
	}
}

func (s State) remedy() string {
	switch s.Reason.Status {
	case 0:
		return "check the configured access token and base URL"
	case http.StatusUnauthorized:
		return "give the workers a valid access token"
	case http.StatusForbidden:
		return "check the plan and what the app of the access token is allowed to do"
	default:
		return "check the configured base URL, the region and any proxy"
	}
}

func reasonText(e ledger.Error) string {
	text := e.Code
	if e.Status != 0 {
		text = fmt.Sprintf("%d %s", e.Status, e.Code)
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += ", request " + e.RequestID
	}
	return text
}

// HeldError refuses an attempt: the workspace is on hold, or another message
// is being tried.
type HeldError struct {
	State State
}

func (e *HeldError) Error() string { return e.State.String() }
