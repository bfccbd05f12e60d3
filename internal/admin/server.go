package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
)

const (
	defaultCheckTimeout    = 2 * time.Second
	defaultShutdownTimeout = 5 * time.Second
)

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
	listener net.Listener
	handler  http.Handler
	serving  httpserver.Config
}

// Listen binds an address, such as "127.0.0.1:8090", and returns the server
// for it. Port 0 takes a free port, which Addr tells. The caller calls Serve,
// or Close. The error names the address.
func Listen(ctx context.Context, addr string, cfg Config) (*Server, error) {
	l, err := httpserver.Listen(ctx, addr)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	return &Server{
		listener: l, handler: handler(cfg),
		serving: httpserver.Config{Log: cfg.Log, ShutdownTimeout: cfg.ShutdownTimeout},
	}, nil
}

func (c Config) withDefaults() Config {
	if c.CheckTimeout == 0 {
		c.CheckTimeout = defaultCheckTimeout
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = defaultShutdownTimeout
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
	return httpserver.Serve(ctx, s.listener, s.handler, s.serving)
}

// Close gives the address back without serving. It does no harm after Serve.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", s.Addr(), err)
	}
	return nil
}
