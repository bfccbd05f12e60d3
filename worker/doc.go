// Package worker delivers messages: it takes them from asynq's queues, sends
// each with one request to Intercom and records in the ledger what came of it.
//
// A delivery goes through these stages:
//
//	due      wait for the part of a second that asynq leaves out
//	turn     come back later if others are before it in its order
//	crowd    wait while a few ask whether its contact is there
//	permit   wait until the rate limit lets the message leave
//	begin    write to the ledger that an attempt is about to be made
//	send     POST /messages, and classify what came back
//	commit   write the outcome to the ledger, then tell asynq
//
// What comes back decides about the message:
//
//	                    ┌──────────── waiting ◄────────────┐
//	                    ▼                                  │ not sent, contact
//	queued ─────────► sending ─────────────────────────────┤ missing, throttled
//	                    │  │  └── may have been sent ─► uncertain ─► held
//	                    │  │                              │ resend
//	                    │  └── refused, gave up ─► failed └──► sending
//	                    ▼
//	                   sent ─────► replied
//
// The whole picture, with every answer and what follows from it, is in
// docs/state_machine.md.
//
// No outcome counts as a failure for asynq, whose retries would run out;
// messages that need another attempt come back at a time that the worker
// chooses, and the ledger, not asynq, says whether an attempt may be made.
package worker
