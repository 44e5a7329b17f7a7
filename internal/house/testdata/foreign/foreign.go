// Package foreign shows types that are not its own.
package foreign

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/net/proxy"

	"github.com/swarm-go/swarm/internal/wire"
)

type Deep struct {
	promoted
	dialer proxy.Dialer // private
}

type promoted struct{ Hidden []map[string]*testing.T }

func (*Deep) Give() func() (assert.TestingT, error) { return nil }

func Take(context.Context, ...*assert.Assertions) {}

func Wire() wire.Node { return wire.Node{} }

var Default = proxy.FromEnvironment()

type Func func(*state)

type state struct{ Dialer proxy.Dialer }

func own(proxy.Dialer) *Deep { return nil }
