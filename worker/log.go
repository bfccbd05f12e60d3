package worker

import "github.com/hibiken/asynq"

// asynqLogger keeps asynq from writing to standard error by itself.
func asynqLogger(l asynq.Logger) asynq.Logger {
	if l == nil {
		return discard{}
	}
	return l
}

type discard struct{}

func (discard) Debug(...any) {}
func (discard) Info(...any)  {}
func (discard) Warn(...any)  {}
func (discard) Error(...any) {}
func (discard) Fatal(...any) {}
