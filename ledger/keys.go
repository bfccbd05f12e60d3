package ledger

import "fmt"

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

// WorkersKey returns the Redis key of the hash of the workers that are there.
// A field is a worker's id; while it is there, its attempts are under way.
func WorkersKey(workspace string) string { return prefix(workspace) + "workers" }

// HoldKey returns the Redis key that says whether the workspace is on hold.
func HoldKey(workspace string) string { return prefix(workspace) + "hold" }

// RateLimitKey returns the Redis key under which the processes of the workspace
// share Intercom's rate limit.
func RateLimitKey(workspace string) string { return prefix(workspace) + "rate" }

func indexKey(workspace, messageID string) string { return prefix(workspace) + "id:" + messageID }

func unsettledKey(workspace, contactID string) string {
	return prefix(workspace) + "unsettled:" + contactID
}

func partsKey(workspace, messageID string) string { return prefix(workspace) + "parts:" + messageID }

func listKey(workspace string, s State) string { return prefix(workspace) + "list:" + string(s) }

func prefix(workspace string) string { return "dispatch:{" + workspace + "}:" }
