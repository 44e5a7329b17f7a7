package engines

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// StartNodes starts an engine of each version on one network, which leads
// nowhere else, at the same time. They are named name-1, name-2 and so on, and
// are in no swarm; [FormSwarm] makes them one. Lab.Close removes the network.
func (l *Lab) StartNodes(ctx context.Context, name string, versions ...string) ([]*Engine, error) {
	nodes := make([]*Engine, len(versions))
	failed := make([]error, len(versions))
	var group sync.WaitGroup
	for i, version := range versions {
		group.Go(func() {
			nodes[i], failed[i] = l.startNode(ctx, name, fmt.Sprintf("%s-%d", name, i+1), version, fmt.Sprintf("10.99.0.%d", 11+i))
		})
	}
	group.Wait()
	return nodes, errors.Join(failed...)
}

func (l *Lab) startNode(ctx context.Context, network, name, version, addr string) (*Engine, error) {
	if err := l.runScript(ctx, "plug", network, name, addr); err != nil {
		return nil, fmt.Errorf("engines: plug in %s: %w", name, err)
	}
	return l.startAt(ctx, version, name, addr)
}

// FormSwarm makes a swarm of nodes of one network: the first ones its managers,
// the others workers.
func FormSwarm(ctx context.Context, managers int, nodes ...*Engine) error {
	if err := nodes[0].InitSwarm(ctx); err != nil {
		return err
	}
	var swarm struct {
		JoinTokens struct{ Worker, Manager string }
	}
	if err := nodes[0].Call(ctx, http.MethodGet, "/swarm", nil, &swarm); err != nil {
		return fmt.Errorf("engines: %s: %w", nodes[0].Name, err)
	}
	for i, node := range nodes[1:] {
		token := swarm.JoinTokens.Worker
		if i+1 < managers {
			token = swarm.JoinTokens.Manager
		}
		body := map[string]any{"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": node.Addr, "RemoteAddrs": []string{nodes[0].Addr}, "JoinToken": token}
		if err := node.Call(ctx, http.MethodPost, "/swarm/join", body, nil); err != nil {
			return fmt.Errorf("engines: %s: %w", node.Name, err)
		}
	}
	return nil
}

// Cut pulls the network cable of an engine of [Lab.StartNodes]. Its API can still
// be reached.
func (e *Engine) Cut(ctx context.Context) error { return e.cable(ctx, "cut") }

// Heal puts the cable back.
func (e *Engine) Heal(ctx context.Context) error { return e.cable(ctx, "heal") }

func (e *Engine) cable(ctx context.Context, how string) error {
	if !e.Owned() {
		return errNotOurs
	}
	if err := e.lab.runScript(ctx, how, e.Name); err != nil {
		return fmt.Errorf("engines: %s %s: %w", how, e.Name, err)
	}
	return nil
}

// Remove kills the engine and forgets its data, and its place on a network.
func (e *Engine) Remove(ctx context.Context) error { return e.end(ctx, "rm") }
