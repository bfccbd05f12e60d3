package main

import (
	"fmt"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type messageCommand struct {
	Get     messageGetCommand     `cmd:"" help:"Show messages by key. Exit status 4 if one is not known."`
	List    messageListCommand    `cmd:"" help:"List messages by state, the latest first."`
	Retry   messageRetryCommand   `cmd:"" help:"Send messages once more, now."`
	Cancel  messageCancelCommand  `cmd:"" help:"Take back messages that are queued or waiting."`
	Resolve messageResolveCommand `cmd:"" help:"Decide about messages that may or may not be in Intercom."`
}

func showTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z07:00")
}

func showError(e *ledger.Error) string {
	if e == nil {
		return ""
	}
	s := e.Code
	if e.Status != 0 {
		s = fmt.Sprintf("%d %s", e.Status, s)
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}
