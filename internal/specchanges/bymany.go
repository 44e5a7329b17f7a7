package specchanges

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/swarm-go/swarm"
)

// ByMany has clients change one service at the same time, each a label and a
// variable of its own. It returns how often each has tried, in order. It is an error
// if one of them fails, if something of theirs is missing or there twice, or if a
// byte of anything else in the spec has changed.
func ByMany(ctx context.Context, id string, clients []*swarm.Client) (attempts []int, err error) {
	before, err := readParts(ctx, clients[0], id)
	if err != nil {
		return nil, err
	}
	attempts = make([]int, len(clients))
	failed := make([]error, len(clients))
	var group sync.WaitGroup
	for i, client := range clients {
		group.Go(func() {
			_, failed[i] = client.Services.Modify(ctx, id, func(s *swarm.Service) error {
				attempts[i]++
				s.Spec.PutLabel(theirName(i), "x")
				s.Spec.PutEnv(theirName(i), "x")
				return nil
			}, nil)
		})
	}
	group.Wait()
	slices.Sort(attempts)
	if err := errors.Join(failed...); err != nil {
		return attempts, err
	}
	after, err := readParts(ctx, clients[0], id)
	if err != nil {
		return attempts, err
	}
	return attempts, compareParts(before, after, len(clients))
}

func theirName(i int) string { return fmt.Sprintf("C%03d", i) }

// parts are a spec that was read.
type parts struct {
	labels map[string]string
	env    []string
	// rest is all else, byte for byte: the members of the spec, of its TaskTemplate
	// and of its ContainerSpec.
	rest map[string]string
}

func readParts(ctx context.Context, client *swarm.Client, id string) (parts, error) {
	service, err := client.Services.Inspect(ctx, id)
	if err != nil {
		return parts{}, err
	}
	p := parts{labels: service.Spec.Labels, env: service.Spec.TaskTemplate.ContainerSpec.Env, rest: map[string]string{}}
	var read struct{ Spec json.RawMessage }
	if err := json.Unmarshal(service.Raw, &read); err != nil {
		return parts{}, err
	}
	err = p.take("", read.Spec)
	delete(p.rest, "/Labels")
	delete(p.rest, "/TaskTemplate/ContainerSpec/Env")
	return p, err
}

func (p parts) take(path string, object json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		return err
	}
	for name, value := range members {
		at := path + "/" + name
		switch at {
		case "/TaskTemplate", "/TaskTemplate/ContainerSpec":
			if err := p.take(at, value); err != nil {
				return err
			}
		default:
			p.rest[at] = string(value)
		}
	}
	return nil
}

func compareParts(before, after parts, clients int) error {
	labels, env := maps.Clone(before.labels), slices.Clone(before.env)
	if labels == nil {
		labels = map[string]string{}
	}
	for i := range clients {
		labels[theirName(i)] = "x"
		env = append(env, theirName(i)+"=x")
	}
	theirs := slices.Clone(after.env)
	slices.Sort(theirs[min(len(before.env), len(theirs)):]) // they come in any order, behind what was there
	switch {
	case !maps.Equal(labels, after.labels):
		return fmt.Errorf("labels are %v", after.labels)
	case !slices.Equal(env, theirs):
		return fmt.Errorf("variables are %v", after.env)
	case !maps.Equal(before.rest, after.rest):
		return fmt.Errorf("of the rest there was %v, and now is %v", before.rest, after.rest)
	}
	return nil
}
