package intercom

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// version is a value of the Intercom-Version header.
type version struct {
	name         string
	major, minor int
	// newest is set for Preview and Unstable, which know everything.
	newest bool
}

var (
	versionPattern = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}$`)

	createdAtSince  = version{name: "2.11", major: 2, minor: 11}
	recipientsSince = version{name: "2.14", major: 2, minor: 14}
	whatsAppSince   = version{name: "2.16", major: 2, minor: 16}
	mergedSince     = version{name: "2.16", major: 2, minor: 16}
)

func parseVersion(s string) (version, bool) {
	if strings.EqualFold(s, "preview") || strings.EqualFold(s, "unstable") {
		return version{name: s, newest: true}, true
	}
	if !versionPattern.MatchString(s) {
		return version{}, false
	}
	major, minor, _ := strings.Cut(s, ".")
	v := version{name: s}
	v.major, _ = strconv.Atoi(major) // the pattern leaves no other error
	v.minor, _ = strconv.Atoi(minor)
	return v, true
}

// before compares as numbers: 2.9 is older than 2.11.
func (v version) before(w version) bool {
	if v.newest || w.newest {
		return w.newest && !v.newest
	}
	return cmp.Or(cmp.Compare(v.major, w.major), cmp.Compare(v.minor, w.minor)) < 0
}

func (v version) atLeast(w version) version {
	if v.before(w) {
		return w
	}
	return v
}

// versionFor returns the version to send the message with, or says what the
// configured version lacks for it. Intercom would not reject such a message:
// it would leave out what it does not know.
func (v version) versionFor(m *Message) (version, error) {
	if m.MessageType == WhatsApp {
		v = v.atLeast(whatsAppSince)
	}
	if m.CreatedAt != 0 && v.before(createdAtSince) {
		return v, v.tooOld("created_at", createdAtSince, "leave it out")
	}
	if v.before(recipientsSince) {
		switch {
		case len(m.To) > 1:
			return v, v.tooOld("to", recipientsSince, "send one message to each recipient")
		case len(m.CC) > 0:
			return v, v.tooOld("cc", recipientsSince, "leave it out")
		case len(m.BCC) > 0:
			return v, v.tooOld("bcc", recipientsSince, "leave it out")
		}
	}
	return v, nil
}

func (v version) tooOld(field string, since version, wayOut string) error {
	what := "is"
	if field == "to" {
		what = "with several recipients is"
	}
	return &ValidationError{Field: field, Reason: what + " known to Intercom since version " + since.name +
		", and the client is set to " + v.name + ": raise the version, or " + wayOut}
}
