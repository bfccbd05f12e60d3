package fetch

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// What asynq v0.26.0 names its keys, in internal/base/base.go.
const (
	pendingSuffix = ":pending"
	pausedSuffix  = ":paused"
	activeSuffix  = ":active"
	leaseSuffix   = ":lease"
	taskInfix     = ":t:"
	serversPrefix = "asynq:servers:{"
	workersPrefix = "asynq:workers:{"
)

func queuePrefix(queue string) string { return "asynq:{" + queue + "}" }

// queueKeys are the keys of the dequeue script.
func queueKeys(queue string) []string {
	p := queuePrefix(queue)
	return []string{p + pendingSuffix, p + pausedSuffix, p + activeSuffix, p + leaseSuffix}
}

// isDequeue tells whether a script with these keys and arguments dequeues a
// task of one of the queues, and returns the lease that it is to write.
func (c *Client) isDequeue(keys []string, args []any) (lease int64, ok bool) {
	if len(keys) != 4 || len(args) != 2 {
		return 0, false
	}
	q := c.byPending[keys[0]]
	if q == nil || keys[1] != q.keys[1] || keys[2] != q.keys[2] || keys[3] != q.keys[3] {
		return 0, false
	}
	lease, ok = args[0].(int64)
	return lease, ok && args[1] == q.taskPrefix
}

// isServerState tells whether a script with these keys and arguments writes
// what a server is at work on: a time to live, the server, and then an id and a
// description for each task.
func isServerState(keys []string, args []any) bool {
	return len(keys) == 2 && strings.HasPrefix(keys[0], serversPrefix) && strings.HasPrefix(keys[1], workersPrefix) &&
		len(args) > 2 && len(args)%2 == 0
}

// The fields of asynq's protobuf messages (internal/proto/asynq.proto).
const (
	taskMessageID     = 3
	workerInfoPayload = 6
)

// taskID returns the id in an encoded TaskMessage.
func taskID(msg string) (string, bool) {
	b := []byte(msg)
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", false
		}
		b = b[n:]
		if num == taskMessageID && typ == protowire.BytesType {
			id, n := protowire.ConsumeString(b)
			return id, n > 0 && id != ""
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return "", false
		}
		b = b[n:]
	}
	return "", false
}

// withoutPayloads leaves the payloads of the tasks out of a server's state:
// asynq writes them all every 5 s, and nobody has use for them.
func withoutPayloads(args []any) []any {
	short := append([]any(nil), args...)
	for i := 3; i < len(short); i += 2 {
		if info, ok := short[i].([]byte); ok {
			short[i] = withoutPayload(info)
		}
	}
	return short
}

// withoutPayload returns an encoded WorkerInfo without its payload, or as it
// is where it cannot be read.
func withoutPayload(info []byte) []byte {
	var short []byte
	for b := info; len(b) > 0; {
		num, typ, n := protowire.ConsumeField(b)
		if n < 0 {
			return info
		}
		if num != workerInfoPayload || typ != protowire.BytesType {
			short = append(short, b[:n]...)
		}
		b = b[n:]
	}
	return short
}
