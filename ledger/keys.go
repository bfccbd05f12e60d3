package ledger

import (
	"fmt"
	"hash/fnv"
)

// DefaultWorkspace is the workspace where none is named.
const DefaultWorkspace = "main"

// MaxWorkspaceLength is the longest name of a workspace, in bytes.
const MaxWorkspaceLength = 64

// CheckWorkspace returns an error unless name is fit for Redis keys and asynq
// queue names: 1 to 64 lower-case letters, digits, '-' or '_'.
func CheckWorkspace(name string) error {
	if name == "" || len(name) > MaxWorkspaceLength {
		return fmt.Errorf("workspace %.80q must have 1 to %d characters", name, MaxWorkspaceLength)
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return fmt.Errorf("workspace %q may only have lower-case letters, digits, '-' and '_'", name)
		}
	}
	return nil
}

// RecordKey returns the Redis key of a message's record. It is exported for
// the enqueue package, whose script looks at the record in the same step in
// which it enqueues.
func RecordKey(workspace, key string) string { return prefix(workspace) + "m:" + key }

// ReplyStreamKey returns the Redis key of the stream of reply events.
func ReplyStreamKey(workspace string) string { return prefix(workspace) + "replies" }

// DeadRepliesKey returns the Redis key of the stream of the reply events that
// their groups have given up.
func DeadRepliesKey(workspace string) string { return prefix(workspace) + "replies:dead" }

// RetryRepliesKeys returns the Redis keys of the reply events that are
// delivered to a group more than once: a sorted set of their ids by the time of
// the next delivery, in ms, and a hash that holds them.
func RetryRepliesKeys(workspace, group string) (due, events string) {
	due = prefix(workspace) + "replies:retry:" + group
	return due, due + ":events"
}

// TakenRepliesKey returns the Redis key of what a consumer of the group has last
// taken from there, by which a repeated call is recognised.
func TakenRepliesKey(workspace, group, consumer string) string {
	return prefix(workspace) + "replies:taken:" + group + ":" + consumer
}

// WorkersKey returns the Redis key of the hash of the workers that are there.
// A field is a worker's id; while it is there, its attempts are under way.
func WorkersKey(workspace string) string { return prefix(workspace) + "workers" }

// HoldKey returns the Redis key that says whether the workspace is on hold.
func HoldKey(workspace string) string { return prefix(workspace) + "hold" }

// RateLimitKey returns the Redis key under which the processes of the workspace
// share Intercom's rate limit.
func RateLimitKey(workspace string) string { return prefix(workspace) + "rate" }

// OrderKey returns the Redis key of the messages that are sent one after the
// other: a sorted set of messages' keys, the first to be sent first. It is
// exported for the enqueue package, whose script adds to it in the same step in
// which it enqueues. Scores are Redis' time in ms, or one more than the last.
func OrderKey(workspace, orderKey string) string { return prefix(workspace) + "order:" + orderKey }

// AppsKey returns the Redis key of the hash that says which workspace has which
// Intercom app. It is the one key that all workspaces share: a field is an app
// id, its value the name of the workspace.
func AppsKey() string { return "dispatch:apps" }

// PollKey returns the Redis key of the messages whose replies are looked for in
// Intercom: a sorted set by the time of the next look, in ms.
func PollKey(workspace string) string { return prefix(workspace) + "poll" }

// pollPaceKey is there while somebody looks for replies; see claimPollsScript.
func pollPaceKey(workspace string) string { return PollKey(workspace) + ":pace" }

// The index has so many buckets of each kind, as powers of two. They fit in with
// the 128 entries of indexFunc: up to half a million ids are in the coarse ones,
// beyond that in the fine ones, and Redis keeps hashes of that size compact.
const (
	coarseBits = 12
	fineBits   = 16
)

// indexKeys returns the coarse and the fine bucket of a message id. They are part
// of the format of what is stored.
func indexKeys(workspace, messageID string) (coarse, fine string) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(messageID))
	sum := h.Sum32()
	// The low bits of a hash of digits are not as evenly spread as all of them.
	sum ^= sum >> fineBits
	base := prefix(workspace) + "ids:"
	return fmt.Sprintf("%s%03x", base, sum&(1<<coarseBits-1)), fmt.Sprintf("%s%04x", base, sum&(1<<fineBits-1))
}

// formerIndexKey is an index entry of the versions that had one key for each id.
func formerIndexKey(workspace, messageID string) string {
	return prefix(workspace) + "id:" + messageID
}

func unsettledKey(workspace, contactID string) string {
	return prefix(workspace) + "unsettled:" + contactID
}

// missingKey says that Intercom does not know a contact.
func missingKey(workspace, contactID string) string {
	return prefix(workspace) + "missing:" + contactID
}

// waitingKey has the messages that wait for a contact.
func waitingKey(workspace, contactID string) string {
	return prefix(workspace) + "waiting:" + contactID
}

// formerKey says what became of a contact that is no more.
func formerKey(workspace, contactID string) string { return prefix(workspace) + "former:" + contactID }

// absorbedKey has the contacts that were merged into a contact.
func absorbedKey(workspace, contactID string) string {
	return prefix(workspace) + "absorbed:" + contactID
}

// parkedKey has the notifications about a message whose id is not known yet.
func parkedKey(workspace, messageID string) string {
	return prefix(workspace) + "parked:" + messageID
}

func partsKey(workspace, messageID string) string { return prefix(workspace) + "parts:" + messageID }

func listKey(workspace string, s State) string { return prefix(workspace) + "list:" + string(s) }

func prefix(workspace string) string { return "dispatch:{" + workspace + "}:" }
