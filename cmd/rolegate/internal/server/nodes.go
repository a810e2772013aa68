package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/issuer"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// beatEvery is how often a node says that it is there and looks at the others;
// nodeTTL is how long it counts as there after that.
const (
	beatEvery = 5 * time.Second
	nodeTTL   = 6 * beatEvery
)

// leaveTime bounds how long a node that ends waits to take leave.
const leaveTime = 2 * time.Second

// openStore opens the store and, where nodes share it, joins them.
func (s *Server) openStore(ctx context.Context, c *config.Config, keys *issuer.Keys, o Options) error {
	sc, err := c.StoreConfig()
	if err != nil {
		return fmt.Errorf("server: %w", err)
	}
	sc.Now = o.Now
	sc.PurgeFailed = func(err error) { o.Logger.WarnContext(ctx, "expired rows were not removed", "error", err) }
	if s.Store, err = sqlstore.Open(ctx, sc); err != nil {
		return err
	}
	s.base = append(s.base, s.Store.Run)
	if !c.SharedStore() {
		return nil
	}
	s.node = &node{id: rand.Text(), holding: keys.Holding(), store: s.Store, log: o.Logger}
	if err := s.node.beat(ctx); err != nil {
		return err
	}
	s.base = append(s.base, s.node.run)
	return nil
}

// ready reports whether this node may be given requests.
func (s *Server) ready(ctx context.Context) error {
	if err := s.Store.Ping(ctx); err != nil {
		return err
	}
	if s.node == nil {
		return nil
	}
	return s.node.ready()
}

// node publishes which keys this node holds, and compares.
type node struct {
	id      string
	holding issuer.Holding
	store   *sqlstore.Store
	log     *slog.Logger

	mu        sync.Mutex
	lacks     []string
	published bool
}

// beat looks at the others and says that this node is there. One that comes
// with other keys does not say so: those who were there first stay ready.
func (n *node) beat(ctx context.Context) error {
	rows, err := n.store.Nodes(ctx)
	if err != nil {
		return err
	}
	var lacks []string
	for id, row := range rows {
		if id == n.id {
			continue
		}
		var other issuer.Holding
		if err := json.Unmarshal([]byte(row), &other); err != nil {
			return fmt.Errorf("server: keys of node %s: %w", id, err)
		}
		lacks = append(lacks, n.holding.Lacks(other)...)
	}
	if n.compared(lacks) {
		return nil
	}
	row, err := json.Marshal(n.holding)
	if err != nil {
		return fmt.Errorf("server: encode keys: %w", err)
	}
	return n.store.SaveNode(ctx, n.id, string(row), nodeTTL)
}

// compared keeps what came out and reports whether this node has to stay
// unpublished.
func (n *node) compared(lacks []string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lacks = lacks
	if len(lacks) == 0 {
		n.published = true
	}
	return !n.published
}

func (n *node) ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.lacks) == 0 {
		return nil
	}
	return broker.Errorf(broker.CodeUnavailable, "This node lacks keys that another node holds: %s.", strings.Join(n.lacks, ", ")).
		Fix("Copy the key folder, keys.yaml included, from the other node and start this one again.")
}

func (n *node) run(ctx context.Context) {
	t := time.NewTicker(beatEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := n.beat(ctx); err != nil && ctx.Err() == nil {
				n.log.WarnContext(ctx, "nodes were not compared", "error", err)
			}
			if err := n.ready(); err != nil {
				n.log.ErrorContext(ctx, "not ready", "error", err)
			}
		}
	}
}

// leave forgets this node, so that its keys bind nobody any more. Without it
// they do so for nodeTTL.
func (n *node) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if err := n.store.DeleteNode(ctx, n.id); err != nil {
		n.log.WarnContext(ctx, "the other nodes were not told that this one ends", "error", err)
	}
}
