package doctor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// onMasters looks at every master: all of a cluster's, since queues and
// records are in different slots, or the one server that there is otherwise.
// What is not the same on all is told with their addresses.
func (e *examination) onMasters(ctx context.Context, look func(context.Context, *redis.Client) ([]finding, error)) ([]finding, error) {
	switch c := e.rdb.(type) {
	case *redis.Client: // also with Sentinel
		return look(ctx, c)
	case *redis.ClusterClient:
		var seen nodeFindings
		err := c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			all, err := look(ctx, node)
			if err != nil {
				return err
			}
			seen.add(node.Options().Addr, all)
			return nil
		})
		return seen.merged(), err
	}
	return nil, errors.New("unknown kind of Redis client")
}

// nodeFindings collects what was found on the masters of a cluster, which are
// looked at side by side.
type nodeFindings struct {
	mu    sync.Mutex
	nodes int
	all   []nodeFinding
}

type nodeFinding struct {
	finding

	addrs []string
}

func (n *nodeFindings) add(addr string, all []finding) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes++
	for _, f := range all {
		i := slices.IndexFunc(n.all, func(have nodeFinding) bool { return have.finding == f })
		if i < 0 {
			n.all = append(n.all, nodeFinding{f, []string{addr}})
			continue
		}
		n.all[i].addrs = append(n.all[i].addrs, addr)
	}
}

func (n *nodeFindings) merged() []finding {
	var all []finding
	advised := map[string]bool{}
	for _, f := range n.all {
		if len(f.addrs) < n.nodes {
			slices.Sort(f.addrs)
			f.found += " (" + strings.Join(f.addrs, ", ") + ")"
		}
		if advised[f.advice] {
			f.advice = ""
		}
		advised[f.advice] = true
		all = append(all, f.finding)
	}
	slices.SortStableFunc(all, func(a, b finding) int { return cmp.Compare(rank(b.status), rank(a.status)) })
	return all
}

// settings is what a server tells of itself. What it does not tell is empty.
type settings struct {
	info   map[string]string
	config map[string]string
}

// names of settings, as CONFIG GET takes them.
const (
	appendOnly    = "appendonly"
	appendFsync   = "appendfsync"
	saveRules     = "save"
	maxPolicy     = "maxmemory-policy"
	minReplicas   = "min-replicas-to-write"
	minReplicaLag = "min-replicas-max-lag"
)

// ask reads INFO and some settings. A server that refuses either, as hosted
// ones do with CONFIG, is no error.
func ask(ctx context.Context, node *redis.Client, names ...string) (settings, error) {
	s := settings{info: map[string]string{}, config: map[string]string{}}
	text, err := node.Info(ctx).Result()
	if err != nil && !isRefusal(err) {
		return s, err
	}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			s.info[name] = value
		}
	}
	for _, name := range names {
		got, err := node.ConfigGet(ctx, name).Result()
		if isRefusal(err) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if value, ok := got[name]; ok {
			s.config[name] = value
		}
	}
	return s, nil
}

// isRefusal tells whether Redis has answered, but with an error.
func isRefusal(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}
