package redisconn

import (
	"crypto/tls"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	dialTimeout = 5 * time.Second
	// readTimeout leaves room for a script on a busy server. Commands that
	// block in Redis get their own time on top from go-redis.
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
)

// Kind is the way in which Redis is run.
type Kind string

// The kinds of Redis that a URL can name.
const (
	Single   Kind = "single"
	Sentinel Kind = "sentinel"
	Cluster  Kind = "cluster"
)

// Config is a parsed Redis URL. [Parse] makes it. It is safe for concurrent
// use as long as PoolSize is left alone.
type Config struct {
	// PoolSize is the number of connections to each server. Zero means
	// go-redis' default, 10 for each CPU.
	PoolSize int

	kind             Kind
	addrs            []string
	tls              bool
	username         string
	password         string
	db               int
	master           string
	sentinelUsername string
	sentinelPassword string
}

// Kind returns the way in which Redis is run.
func (c Config) Kind() Kind { return c.kind }

// NewClient returns a new client. It does not connect before its first
// command. The caller closes it.
func (c Config) NewClient() redis.UniversalClient {
	switch c.kind {
	case Sentinel:
		return redis.NewFailoverClient(c.options().Failover())
	case Cluster:
		return redis.NewClusterClient(c.options().Cluster())
	case Single:
	}
	return redis.NewClient(c.options().Simple())
}

// AsynqOpt returns what asynq takes to make a client of its own, which it
// closes itself.
func (c Config) AsynqOpt() asynq.RedisConnOpt { return asynqOpt{c} }

type asynqOpt struct{ config Config }

// MakeRedisClient implements [asynq.RedisConnOpt].
func (o asynqOpt) MakeRedisClient() any { return o.config.NewClient() }

// String returns the URL with the passwords hidden.
func (c Config) String() string {
	const hidden = "xxxxx"
	var b strings.Builder
	b.WriteString(c.scheme() + "://")
	if c.username != "" || c.password != "" {
		b.WriteString(url.PathEscape(c.username))
		if c.password != "" {
			b.WriteString(":" + hidden)
		}
		b.WriteString("@")
	}
	b.WriteString(strings.Join(c.addrs, ","))
	if c.kind != Cluster {
		b.WriteString("/" + strconv.Itoa(c.db))
	}
	if c.kind != Sentinel {
		return b.String()
	}
	b.WriteString("?master=" + url.QueryEscape(c.master))
	if c.sentinelUsername != "" {
		b.WriteString("&sentinel_username=" + url.QueryEscape(c.sentinelUsername))
	}
	if c.sentinelPassword != "" {
		b.WriteString("&sentinel_password=" + hidden)
	}
	return b.String()
}

// GoString is String, so that %#v shows no password either.
func (c Config) GoString() string { return c.String() }

func (c Config) scheme() string {
	s := "redis"
	if c.tls {
		s = "rediss"
	}
	if c.kind != Single {
		s += "-" + string(c.kind)
	}
	return s
}

// options are what the three kinds of client have in common, and what each of
// them has besides.
func (c Config) options() *redis.UniversalOptions {
	return &redis.UniversalOptions{
		Addrs:                 c.addrs,
		MasterName:            c.master,
		SentinelUsername:      c.sentinelUsername,
		SentinelPassword:      c.sentinelPassword,
		Username:              c.username,
		Password:              c.password,
		DB:                    c.db,
		PoolSize:              c.PoolSize,
		TLSConfig:             c.tlsConfig(),
		DialTimeout:           dialTimeout,
		ReadTimeout:           readTimeout,
		WriteTimeout:          writeTimeout,
		ContextTimeoutEnabled: true,
		// Only Redis' hosted services know this command.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// tlsConfig leaves the server's name open: each connection checks the host it
// was made to, of which Sentinel and a cluster have several.
func (c Config) tlsConfig() *tls.Config {
	if !c.tls {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}
