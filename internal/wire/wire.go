// Package wire is JSON in and out: whole values, arrays element by element,
// and the difference of two values applied to a third.
//
// It uses the standard library alone: encoding/json before Go 1.27,
// encoding/json/v2 from there on, with the same results.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
)

// MaxElement bounds one element of an array, in bytes.
const MaxElement = 16 << 20

// maxSpace bounds the white space before and between the elements of an array, in
// bytes: encoding/json goes over it again whenever more comes.
const maxSpace = 4 << 10

// ErrTooLarge reports a value above its bound.
var ErrTooLarge = errors.New("value too large")

// errShape reports JSON of another shape than expected.
var errShape = errors.New("unexpected JSON")

// Elements yields the elements of the JSON array that r holds, one at a time,
// in memory bounded by the largest element. What it yields is the caller's to
// keep. It ends after the array's last element without waiting for the end of
// r, or with an error as its last pair: [io.ErrUnexpectedEOF] when the array is
// cut short.
func Elements(r io.Reader) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		limited := &budget{r: r, left: maxSpace}
		decoder := json.NewDecoder(limited)
		fail := func(err error) { yield(nil, elementError(err)) }
		opening, err := decoder.Token()
		if err != nil {
			fail(err)
			return
		}
		if opening != json.Delim('[') {
			fail(fmt.Errorf("%w: want an array, got %v", errShape, opening))
			return
		}
		for limited.left = maxSpace; decoder.More(); limited.left = maxSpace {
			limited.left = MaxElement
			var element json.RawMessage
			if err := decoder.Decode(&element); err != nil {
				fail(err)
				return
			}
			if !yield(element, nil) {
				return
			}
		}
		if _, err := decoder.Token(); err != nil {
			fail(err)
			return
		}
		if moreThan(decoder) {
			fail(fmt.Errorf("%w: data after the array", errShape))
		}
	}
}

// Values yields the JSON values that follow one another in r, each of at most max
// bytes, as soon as it is whole: with nothing between them, on lines of their own,
// or after the record separator of RFC 7464. What it yields is the caller's to
// keep. It ends where r does, or with an error as its last pair:
// [io.ErrUnexpectedEOF] when r ends inside a value.
func Values(r io.Reader, max int) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		limited := &budget{r: separated{r}, left: max}
		decoder := json.NewDecoder(limited)
		for {
			var value json.RawMessage
			err := decoder.Decode(&value)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(nil, elementError(err))
				return
			}
			limited.left = max
			if !yield(value, nil) {
				return
			}
		}
	}
}

// separated makes record separators white space. Inside a value they would be as
// wrong.
type separated struct{ r io.Reader }

func (s separated) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	for i, b := range p[:n] {
		if b == 0x1e {
			p[i] = '\n'
		}
	}
	return n, err
}

// elementError tells a body that ends too early from one that is no JSON; Go
// 1.27 calls the former a syntax error.
func elementError(err error) error {
	var syntax *json.SyntaxError
	if err == io.EOF || errors.As(err, &syntax) && syntax.Error() == "unexpected end of JSON input" {
		return io.ErrUnexpectedEOF
	}
	return err
}

// budget is a reader that gives up after left bytes.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// ReadValue reads exactly one JSON value of at most max bytes. length is the
// body's length where it was announced, else negative. Then it does not wait
// for the body's end: an engine that keeps it open has said all it had to say.
func ReadValue(r io.Reader, length int64, max int) (json.RawMessage, error) {
	limited := &budget{r: r, left: max + 1}
	if length >= 0 {
		body, err := io.ReadAll(limited)
		return body, err
	}
	decoder := json.NewDecoder(limited)
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		return nil, elementError(err)
	}
	if moreThan(decoder) {
		return nil, fmt.Errorf("%w: data after the value", errShape)
	}
	return value, nil
}

// moreThan reports whether more than a value has come. It does not wait for
// what has not.
func moreThan(decoder *json.Decoder) bool {
	rest, _ := io.ReadAll(decoder.Buffered())
	return len(bytes.TrimSpace(rest)) > 0
}

// IsSyntax reports errors about what was read, as opposed to reading that
// failed or ended too early.
func IsSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) || errors.Is(err, ErrTooLarge) || errors.Is(err, errShape)
}
