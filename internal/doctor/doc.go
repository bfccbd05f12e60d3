// Package doctor checks what a workspace depends on: Redis and its settings,
// the access token, the clocks, the queues, the webhook. It looks and changes
// nothing: it writes no key and creates no message. What it says holds no
// token, secret or password.
package doctor
