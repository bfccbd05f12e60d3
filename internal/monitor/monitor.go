package monitor

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hibiken/asynqmon"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
)

// Config says what to show, and to whom.
type Config struct {
	// Redis is where the queues are. Required.
	Redis *redisconn.Config
	// ReadOnly refuses every action with 405.
	ReadOnly bool
	// RootPath is the path under which the handler is mounted, such as
	// "/monitor". Empty or "/" for the root.
	RootPath string
	// Hosts are host names, without ports, by which the UI may be reached. IP
	// addresses and localhost may always be used. "*" allows every name, for
	// where a proxy before the UI checks who comes.
	Hosts []string
	// Log gets a line for each action and each refusal. None if nil.
	Log *zap.Logger
}

// Handler is the web UI with its API. It is safe for concurrent use.
type Handler struct {
	ui   *asynqmon.HTTPHandler
	next http.Handler
}

// New returns a handler for the UI. It connects when it is first asked for
// something. The caller closes it. Errors name the field.
func New(cfg Config) (*Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	ui := asynqmon.New(asynqmon.Options{
		RootPath:         strings.TrimSuffix(cfg.RootPath, "/"),
		RedisConnOpt:     cfg.Redis.AsynqOpt(),
		PayloadFormatter: asynqmon.PayloadFormatterFunc(format),
		ResultFormatter:  asynqmon.ResultFormatterFunc(format),
		ReadOnly:         cfg.ReadOnly,
	})
	return &Handler{ui: ui, next: guard(ui, cfg.Hosts, cfg.Log)}, nil
}

// validate finds what asynqmon would panic about, or take for a pattern.
func (c *Config) validate() error {
	if c.Redis == nil {
		return errors.New("field Redis is required")
	}
	if c.RootPath != "" && !strings.HasPrefix(c.RootPath, "/") {
		return fmt.Errorf("field RootPath %q must start with a slash", c.RootPath)
	}
	if strings.ContainsAny(c.RootPath, "{}?#% ") {
		return fmt.Errorf("field RootPath %q must be a plain path, such as /monitor", c.RootPath)
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.next.ServeHTTP(w, r) }

// RootPath returns the path under which the handler is to be mounted, without
// a slash at its end: "" for the root.
func (h *Handler) RootPath() string { return h.ui.RootPath() }

// Close closes the connections to Redis.
func (h *Handler) Close() error {
	if err := h.ui.Close(); err != nil {
		return fmt.Errorf("monitor: close: %w", err)
	}
	return nil
}
