// Package httpserver serves HTTP until a context ends, with timeouts against
// slow clients and a bounded shutdown.
package httpserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"
)

const (
	readHeaderTimeout      = 5 * time.Second
	defaultReadTimeout     = 30 * time.Second
	writeTimeout           = 60 * time.Second
	idleTimeout            = 2 * time.Minute
	defaultShutdownTimeout = 10 * time.Second
	maxHeaderBytes         = 64 << 10
)

// Config says how to serve.
type Config struct {
	// Log gets what goes wrong while serving, such as a handler that panics.
	// None if nil.
	Log *zap.Logger
	// ReadTimeout bounds how long a request may take to arrive, its header 5 s at
	// most. 30 s if zero.
	ReadTimeout time.Duration
	// ShutdownTimeout bounds the wait for open requests at the end. 10 s if
	// zero.
	ShutdownTimeout time.Duration
}

// Listen binds an address, whose port may be 0. The error names the address.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %q: another process has the address: %w", addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	return ln, nil
}

// Serve answers requests on ln with h until ctx ends, then waits for the open
// ones, for the shutdown timeout at most, and cuts off the rest. It returns
// early only with an error. It closes ln.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, defaultReadTimeout)
	cfg.ShutdownTimeout = cmp.Or(cfg.ShutdownTimeout, defaultShutdownTimeout)
	errorLog, err := zap.NewStdLogAt(cfg.Log, zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(readHeaderTimeout, cfg.ReadTimeout),
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          errorLog,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.ShutdownTimeout)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		cfg.Log.Warn("requests were cut off at the end", zap.Stringer("addr", ln.Addr()), zap.Error(err))
		_ = srv.Close() // Nothing is left to be done about them.
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	}
	return nil
}
