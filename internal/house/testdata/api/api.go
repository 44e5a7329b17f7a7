// Package api declares one of each.
package api

import (
	"context"
	"errors"
	"iter"
)

const (
	Limit = 3
	limit = 4
)

type Speed string

const Fast Speed = "fast"

func (Speed) String() string { return "" }

var ErrNone = errors.New("none")

type Setting func(*hidden)

type Options struct {
	Embedded
	hidden
	Size  int64
	Inner struct{ Deep int }
}

type Embedded struct{ private int }

func (Embedded) Close() error { return nil }

type hidden struct{ Promoted bool }

func New(opts ...Setting) (*Options, error) { return nil, nil }

func (o *Options) Run(ctx context.Context, ref string) (iter.Seq2[Speed, error], error) {
	return nil, nil
}

func (o *Options) run() {}

type Reader interface {
	Read(p []byte) (n int, err error)
}

type Choice[T any] struct{ Of T }

type Alias = map[string]Options
