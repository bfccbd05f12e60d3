// Package logging builds the program's zap logger and lets the libraries below
// write to it: asynq with [Asynq] and [AsynqLevel], go-redis with [Redis].
package logging
