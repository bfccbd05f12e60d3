package intercomtest

import (
	"strconv"
	"strings"
)

const versionHeader = "Intercom-Version"

// version is a version of the API, such as 2.14.
type version struct{ major, minor int }

// The versions that changed something here.
var (
	defaultVersion    = version{2, 14}
	severalRecipients = version{2, 14}
	whatsAppMessages  = version{2, 16}
	// numberedAssignees is the first version in which assignees are 0 instead of
	// null, and priorities have other names: no later than this one.
	numberedAssignees = version{2, 16}
	goneWhenMerged    = version{2, 16}
	createdAtParam    = version{2, 11}
	newest            = version{2, 17}
	// Intercom calls its coming version Unstable; nothing is newer.
	unstable = version{99, 0}
)

// lastMinor is the newest version of each major one.
var lastMinor = map[int]int{1: 4, newest.major: newest.minor}

// parseVersion reads a version header, where an empty one means the default,
// and tells whether Intercom knows that version.
func parseVersion(s string) (version, bool) {
	switch s {
	case "":
		return defaultVersion, true
	case "Unstable":
		return unstable, true
	}
	a, b, dotted := strings.Cut(s, ".")
	major, errMajor := strconv.Atoi(a)
	minor, errMinor := strconv.Atoi(b)
	v := version{major, minor}
	if !dotted || errMajor != nil || errMinor != nil || s != v.String() {
		return version{}, false
	}
	last, known := lastMinor[major]
	return v, known && minor >= 0 && minor <= last
}

func (v version) String() string { return strconv.Itoa(v.major) + "." + strconv.Itoa(v.minor) }

func (v version) before(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}
