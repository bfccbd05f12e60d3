package intercom

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of [Config].
const (
	DefaultRegion      = "us"
	DefaultVersion     = "2.14"
	DefaultTimeout     = 30 * time.Second
	DefaultConcurrency = 64
	DefaultUserAgent   = "intercom-dispatch"
)

// Config says which Intercom to talk to, and how. Only Token is required.
type Config struct {
	// Token returns the access token. It is asked for each request, so that a
	// changed token file needs no restart, and from many goroutines at once.
	// Space around the token is cut.
	Token func() (string, error)
	// Region is where the workspace is hosted: "us" (the default), "eu" or
	// "au".
	Region string
	// BaseURL overrides Region: an absolute http or https URL, which may have
	// a path. Empty: by Region.
	BaseURL string
	// Version is the Intercom-Version header: a number such as "2.14" (the
	// default), "Preview" or "Unstable". WhatsApp messages are sent with 2.16
	// at least.
	Version string
	// Timeout bounds a whole request, from connecting to the end of the
	// answer. Default 30 s.
	Timeout time.Duration
	// Concurrency is how many idle connections are kept: as many as requests
	// are made at once. Default 64.
	Concurrency int
	// UserAgent is the User-Agent header. Default "intercom-dispatch".
	UserAgent string
	// Proxy chooses the proxy for a request, as in [http.Transport]. Nil: no
	// proxy, whatever the environment says.
	Proxy func(*http.Request) (*url.URL, error)
	// Transport replaces the client's own. It must not retry, and must call
	// the hooks of net/http/httptrace as [http.Transport] does: without them
	// each of its errors counts as "may have been sent". It stays its owner's
	// to close. Nil: a transport tuned for this client; Concurrency and Proxy
	// are for that one only.
	Transport http.RoundTripper
}

// StaticToken returns a [Config] Token that never changes.
func StaticToken(token string) func() (string, error) {
	return func() (string, error) { return token, nil }
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, DefaultRegion)
	c.Version = cmp.Or(c.Version, DefaultVersion)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	c.Concurrency = cmp.Or(c.Concurrency, DefaultConcurrency)
	c.UserAgent = cmp.Or(c.UserAgent, DefaultUserAgent)
	return c
}

func (c Config) validate() error {
	switch {
	case c.Token == nil:
		return errors.New("intercom: Token is required: use StaticToken, or a function that reads it")
	case c.Timeout < 0:
		return errors.New("intercom: Timeout must not be negative: zero means 30 s")
	case c.Concurrency < 0:
		return errors.New("intercom: Concurrency must not be negative: zero means 64")
	case strings.ContainsFunc(c.UserAgent, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("intercom: UserAgent must be one line of text")
	}
	if _, ok := parseVersion(c.Version); !ok {
		return fmt.Errorf(`intercom: Version %q must be a number such as "2.14", or "Preview" or "Unstable"`, c.Version)
	}
	return nil
}

// baseURL returns the URL that paths are appended to, without a slash at its
// end.
func (c Config) baseURL() (string, error) {
	if c.BaseURL == "" {
		switch c.Region {
		case "us":
			return "https://api.intercom.io", nil
		case "eu", "au":
			return "https://api." + c.Region + ".intercom.io", nil
		default:
			return "", fmt.Errorf("intercom: Region %q must be us, eu or au", c.Region)
		}
	}
	// The URL itself is in none of these errors: it may hold a password.
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil:
		return "", errors.New("intercom: BaseURL is not a URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.Opaque != "":
		return "", errors.New("intercom: BaseURL must begin with http:// or https:// and a host")
	case u.User != nil:
		return "", errors.New("intercom: BaseURL must hold no user or password: the token goes to Token")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(c.BaseURL, "#"):
		return "", errors.New("intercom: BaseURL must have no query and no fragment")
	}
	return strings.TrimRight(u.String(), "/"), nil
}
