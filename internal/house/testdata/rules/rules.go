// Package rules breaks them.
package rules

import "context"

type (
	Client      struct{}
	ThingClient struct{}
	Thing       struct{}
)

func (*Client) Dial(ctx context.Context) {}

// List is right.
//
// Engine endpoints: GET /things, POST /things/create
func (*ThingClient) List(ctx context.Context, ref string) {}

// Inspect names something else.
//
// Engine endpoint: GET /things/{name}
func (*ThingClient) Inspect(ctx context.Context, ref string) {}

// Remove names none.
func (*ThingClient) Remove(ctx context.Context, ref string) {}

// Engine endpoint: things
func (*ThingClient) Update(context.Context, string) {}

// Count has no context.
func (*ThingClient) Count() {}

func (*ThingClient) Name() {}

func Wait(ctx context.Context, n int) {}

func (*Thing) find(ctx context.Context) {}

// Late is late.
// Engine endpoint: GET /things/{id}
func Late(ref string, ctx context.Context) {}

type Doer interface{ Do() }
type Listed interface{ Do() }

func (*Thing) SetSize(n int) {}
func SetDefault(n int)       {}
func Settle(n int)           {}

// SetLabels changes them at the engine.
// Engine endpoint: GET /things/{id}
func (*ThingClient) SetLabels(ctx context.Context) {}
