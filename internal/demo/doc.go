// Package demo tells the story of a handful of messages as it happens, in
// plain sentences with times, on a stack of its own: embedded Redis, the fake
// Intercom, a worker and the webhook receiver.
package demo
