// Package task is the form in which messages and webhook notifications pass
// through asynq: queue names, task types and payloads. Producers and workers
// of neighbouring versions meet here, so fields are only ever added.
package task
