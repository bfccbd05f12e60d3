package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

const (
	defaultCheckTimeout    = 2 * time.Second
	defaultShutdownTimeout = 5 * time.Second

	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	// writeTimeout leaves the web UI time for actions on a whole queue.
	writeTimeout = 60 * time.Second
	idleTimeout  = 2 * time.Minute
)

// ErrAddrInUse is wrapped by the error of [Listen] when another process has
// the address.
var ErrAddrInUse = errors.New("address is in use by another process")

// Config says what a server answers. Its zero value answers /healthz, and
// /readyz without any checks.
type Config struct {
	// Checks are what /readyz runs.
	Checks []Check
	// CheckTimeout bounds each check. 2 s if zero.
	CheckTimeout time.Duration
	// Metrics are what /metrics shows. 404 if nil.
	Metrics prometheus.Gatherer
	// Root answers every other path. 404 if nil.
	Root http.Handler
	// ShutdownTimeout bounds the wait for open requests at the end. 5 s if
	// zero.
	ShutdownTimeout time.Duration
	// Log gets what goes wrong while serving. None if nil.
	Log *zap.Logger
}

// Server answers on a bound address. [Listen] makes it.
type Server struct {
	listener        net.Listener
	http            *http.Server
	shutdownTimeout time.Duration
}

// Listen binds an address, such as "127.0.0.1:8090", and returns the server
// for it. Port 0 takes a free port, which Addr tells. The caller calls Serve,
// or Close. When another process has the address, the error is an
// [ErrAddrInUse].
func Listen(ctx context.Context, addr string, cfg Config) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", addr, ErrAddrInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	cfg = cfg.withDefaults()
	s := &http.Server{
		Handler:           handler(cfg),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
	}
	// Such as a panic of a handler.
	if s.ErrorLog, err = zap.NewStdLogAt(cfg.Log, zap.WarnLevel); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &Server{listener: l, http: s, shutdownTimeout: cfg.ShutdownTimeout}, nil
}

func (c Config) withDefaults() Config {
	if c.CheckTimeout == 0 {
		c.CheckTimeout = defaultCheckTimeout
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = defaultShutdownTimeout
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func handler(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", readyz(cfg.Checks, cfg.CheckTimeout))
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError,
		}))
	}
	if cfg.Root != nil {
		mux.Handle("/", cfg.Root)
	}
	return mux
}

// Addr returns the address that was bound.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers requests until ctx ends, then waits for the open ones, for the
// shutdown timeout at most, and returns nil. It returns early only with an
// error. It is called once.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(stop); err != nil {
		// Requests that did not end in time are cut off.
		_ = s.http.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", s.Addr(), err)
	}
	return nil
}

// Close gives the address back without serving. It does no harm after Serve.
func (s *Server) Close() error {
	// The HTTP server knows the listener only once it serves on it.
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", s.Addr(), err)
	}
	return s.http.Close()
}
