// Package admin serves what operators and their tools ask a process: whether
// it lives (/healthz), whether it can work (/readyz), its metrics (/metrics),
// and a handler of the caller's, such as the web UI, for everything else.
package admin
