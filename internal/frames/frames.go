// Package frames reads the multiplexed streams of the engine's logs: frames of
// an eight-byte header (the stream, three zero bytes, the length as a
// big-endian 32-bit number) and that many bytes of payload.
//
// It never allocates per frame, and never because a header said so: payloads
// are handed out in pieces of one fixed buffer.
package frames

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// MaxPayload is the longest payload accepted: engines pass log messages
	// around in gRPC messages of at most 4 MiB, plus some room for prefixes.
	MaxPayload = 4<<20 + 64<<10

	headerSize = 8
	bufferSize = 64 << 10

	// maxEmptyReads is how often in a row a source may return neither bytes nor
	// an error.
	maxEmptyReads = 100
)

// Stream says what a frame carries.
type Stream byte

// The streams there are. The engine sends no Stdin in logs; like everybody
// else, [Copy] takes it for Stdout.
const (
	Stdin  Stream = 0
	Stdout Stream = 1
	Stderr Stream = 2
	System Stream = 3 // the engine's own error text, not the container's output
)

// ProtocolError reports bytes that are no frame.
type ProtocolError struct {
	// Offset is where in the stream the offending header begins.
	Offset int64
	// Reason is what is wrong with it.
	Reason string
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("no log frame at byte %d: %s", e.Offset, e.Reason)
}

// Reader takes frames apart. It is not safe for concurrent use.
type Reader struct {
	source io.Reader
	err    error // what ended the source; handed out once the buffer is used up

	buffer     []byte
	start, end int   // the unread bytes are buffer[start:end]
	offset     int64 // of buffer[start] in the stream

	stream Stream
	left   int // payload of the current frame not handed out yet
}

// NewReader returns a Reader of the frames in source.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, buffer: make([]byte, bufferSize)}
}

// Next returns the next piece of payload, valid until the next call, the
// stream it belongs to, and whether the frame ends with it. An empty frame is
// one empty piece.
//
// The error is io.EOF after the last frame, io.ErrUnexpectedEOF where the
// source ends inside one, a [*ProtocolError], or the source's own. Every
// further call returns it again.
func (r *Reader) Next() (stream Stream, piece []byte, last bool, err error) {
	if r.left > 0 {
		if r.start == r.end {
			if err := r.fill(); err != nil {
				return 0, nil, false, unexpected(err)
			}
		}
		return r.take()
	}
	if r.end-r.start < headerSize {
		if err := r.fillHeader(); err != nil {
			return 0, nil, false, err
		}
	}
	if err := r.header(); err != nil {
		return 0, nil, false, err
	}
	if r.start == r.end && r.left > 0 {
		if err := r.fill(); err != nil {
			return 0, nil, false, unexpected(err)
		}
	}
	return r.take()
}

// take hands out what the buffer holds of the current frame.
func (r *Reader) take() (Stream, []byte, bool, error) {
	n := min(r.left, r.end-r.start)
	piece := r.buffer[r.start : r.start+n : r.start+n]
	r.start += n
	r.offset += int64(n)
	r.left -= n
	return r.stream, piece, r.left == 0, nil
}

// header takes the header that the buffer begins with.
func (r *Reader) header() error {
	header := r.buffer[r.start : r.start+headerSize]
	word := binary.BigEndian.Uint64(header)
	stream, length := Stream(word>>56), uint32(word)
	switch {
	case stream > System:
		return r.fail("unknown stream %d", stream)
	case word>>32&0xffffff != 0:
		return r.fail("reserved bytes % x are not zero", header[1:4])
	case length > MaxPayload:
		return r.fail("length %d exceeds %d", length, MaxPayload)
	}
	r.stream, r.left = stream, int(length)
	r.start += headerSize
	r.offset += headerSize
	return nil
}

// fail makes the Reader return the same error from now on.
func (r *Reader) fail(format string, args ...any) error {
	r.err = &ProtocolError{Offset: r.offset, Reason: fmt.Sprintf(format, args...)}
	r.start, r.end = 0, 0
	return r.err
}

// fillHeader reads until the buffer holds a whole header.
func (r *Reader) fillHeader() error {
	for r.end-r.start < headerSize {
		if err := r.fill(); err != nil {
			if r.end > r.start {
				return unexpected(err)
			}
			return err
		}
	}
	return nil
}

// fill adds at least one byte to the buffer, in which less than a header is
// left.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	r.end = copy(r.buffer, r.buffer[r.start:r.end])
	r.start = 0
	for range maxEmptyReads {
		var n int
		n, r.err = r.source.Read(r.buffer[r.end:])
		r.end += n
		if n > 0 {
			return nil
		}
		if r.err != nil {
			return r.err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}

// unexpected is err where the source had no business to end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Copy writes the payloads of all frames in source to stdout and stderr,
// straight from the buffer. A nil writer discards its stream. The payload of
// System frames goes to system, piece by piece.
//
// The error is nil at the end of the stream; a writer's error is returned as
// it is.
func Copy(stdout, stderr io.Writer, source io.Reader, system func(piece []byte, last bool)) error {
	reader := NewReader(source)
	for {
		stream, piece, last, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		writer := stdout
		switch stream {
		case Stderr:
			writer = stderr
		case System:
			system(piece, last)
			continue
		}
		if writer == nil || len(piece) == 0 {
			continue
		}
		n, err := writer.Write(piece)
		if err != nil {
			return err
		}
		if n != len(piece) {
			return io.ErrShortWrite
		}
	}
}
