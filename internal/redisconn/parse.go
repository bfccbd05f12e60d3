package redisconn

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Forms are the URLs that [Parse] accepts. The rediss schemes are those with
// TLS. The user and password before the hosts are those of the Redis servers;
// Sentinels that ask for a password of their own get it by parameter.
const Forms = "redis://[user:password@]host[:6379][/db], " +
	"rediss:// for TLS, " +
	"redis-sentinel://[user:password@]host[:26379][,host…][/db]?master=name[&sentinel_username=…&sentinel_password=…], " +
	"redis-cluster://[user:password@]host[:6379][,host…], " +
	"rediss-sentinel:// and rediss-cluster:// for TLS"

var errEscape = errors.New("holds a % that is not followed by two hex digits: write a % itself as %25")

// Parse reads a Redis URL of one of the [Forms]. Its errors say what is wrong
// and which forms there are. They quote nothing of the URL, because what was
// misread may be the password.
func Parse(rawURL string) (*Config, error) {
	c, err := parse(strings.TrimSpace(rawURL))
	if err != nil {
		return nil, fmt.Errorf("redis URL %w; accepted are %s", err, Forms)
	}
	return c, nil
}

func parse(raw string) (*Config, error) {
	if raw == "" {
		return nil, errors.New("is empty")
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return nil, errors.New("has no scheme such as redis://")
	}
	c := &Config{}
	if err := setScheme(c, scheme); err != nil {
		return nil, err
	}
	authority, path, query, err := split(rest)
	if err != nil {
		return nil, err
	}
	hosts := authority
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		hosts = authority[i+1:]
		if err := setUser(c, authority[:i]); err != nil {
			return nil, err
		}
	}
	if err := setHosts(c, hosts); err != nil {
		return nil, err
	}
	if err := setDB(c, strings.Trim(path, "/")); err != nil {
		return nil, err
	}
	return c, setParameters(c, query)
}

func setScheme(c *Config, scheme string) error {
	name, tail, tailed := strings.Cut(strings.ToLower(scheme), "-")
	kind := Kind(tail)
	if !tailed {
		kind = Single
	}
	known := tailed && (kind == Sentinel || kind == Cluster) || !tailed
	if name != "redis" && name != "rediss" || !known {
		return errors.New("has an unknown scheme")
	}
	c.kind, c.tls = kind, name == "rediss"
	return nil
}

// split takes what follows the scheme apart. The parts are still escaped.
func split(rest string) (authority, path, query string, err error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return rest, "", "", nil
	}
	authority, tail := rest[:end], rest[end:]
	// Without this, the first half of such a password would be taken for the
	// host, and shown as one.
	if strings.ContainsRune(tail, '@') {
		return "", "", "", errors.New("holds one of / ? # @ in its user or password: write them as %2F %3F %23 %40")
	}
	if strings.ContainsRune(tail, '#') {
		return "", "", "", errors.New("holds a #, which has no meaning there")
	}
	path, query, _ = strings.Cut(tail, "?")
	return authority, path, query, nil
}

func setUser(c *Config, userinfo string) error {
	user, password, _ := strings.Cut(userinfo, ":")
	var errU, errP error
	c.username, errU = url.PathUnescape(user)
	c.password, errP = url.PathUnescape(password)
	if errU != nil || errP != nil {
		return fmt.Errorf("user or password %w", errEscape)
	}
	if c.username != "" && c.password == "" {
		return errors.New("has a user without a password: a password alone is written as :password@")
	}
	return nil
}

func setHosts(c *Config, list string) error {
	if list == "" {
		return errors.New("has no host")
	}
	port := "6379"
	if c.kind == Sentinel {
		port = "26379"
	}
	for i, h := range strings.Split(list, ",") {
		addr, err := hostPort(h, port)
		if err != nil {
			return fmt.Errorf("host %d %w", i+1, err)
		}
		c.addrs = append(c.addrs, addr)
	}
	if c.kind == Single && len(c.addrs) > 1 {
		return errors.New("has several hosts, which only redis-sentinel:// and redis-cluster:// take")
	}
	return nil
}

// hostPort completes host, host:port, [v6] and [v6]:port.
func hostPort(s, defaultPort string) (string, error) {
	s = strings.TrimSpace(s)
	// A host alone, which may have colons only in brackets.
	if !strings.Contains(s, ":") || strings.HasSuffix(s, "]") {
		s += ":" + defaultPort
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errors.New("is not a host or host:port; an IPv6 address stands in brackets")
	}
	if host == "" || strings.ContainsAny(host, " \t[]") {
		return "", errors.New("has no name, or one with a space or bracket in it")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", errors.New("has a port that is not a number from 1 to 65535")
	}
	return net.JoinHostPort(host, port), nil
}

func setDB(c *Config, path string) error {
	if path == "" {
		return nil
	}
	db, err := strconv.Atoi(path)
	if err != nil || db < 0 {
		return errors.New("has a path that is not a database number")
	}
	if c.kind == Cluster && db != 0 {
		return errors.New("has a database number, but a cluster has only database 0")
	}
	c.db = db
	return nil
}

func setParameters(c *Config, query string) error {
	var accepted []string
	if c.kind == Sentinel {
		accepted = []string{"master", "sentinel_username", "sentinel_password"}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("parameters cannot be read: one has a semicolon or %w", errEscape)
	}
	for name, v := range values {
		if !slices.Contains(accepted, name) {
			return fmt.Errorf("has an unknown parameter; known for %s:// are: %s",
				c.scheme(), cmp.Or(strings.Join(accepted, ", "), "none"))
		}
		if len(v) > 1 {
			return fmt.Errorf("has the parameter %s twice", name)
		}
	}
	c.master = values.Get("master")
	c.sentinelUsername = values.Get("sentinel_username")
	c.sentinelPassword = values.Get("sentinel_password")
	if c.kind == Sentinel && c.master == "" {
		return errors.New("has no ?master=, the name under which the Sentinels know the master")
	}
	return nil
}
