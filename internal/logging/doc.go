// Package logging builds the program's zap logger and lets the libraries below
// write to it: asynq with [Asynq], go-redis with [Redis].
package logging
