// Package frames reads and writes the multiplexed streams of the engine's logs:
// frames of an eight-byte header (the stream, three zero bytes, the length as a
// big-endian 32-bit number) and that many bytes of payload.
//
// Reading never allocates per frame, and never because a header said so: payloads
// are handed out in pieces of one fixed buffer.
package frames

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrAgain is what a source returns that has nothing at the moment. [Reader.Next]
// returns it, and goes on where it was when it is called again.
var ErrAgain = errors.New("nothing to read yet")

const (
	// MaxPayload is the longest payload accepted: engines pass log messages
	// around in gRPC messages of at most 4 MiB, plus some room for prefixes.
	MaxPayload = 4<<20 + 64<<10

	headerSize = 8
	bufferSize = 64 << 10

	// invalidBits are those of a header that are zero in all there are.
	invalidBits = 0xfcffffff << 32

	// maxGathered is the longest payload that is worth moving, so that it can be
	// written together with others.
	maxGathered = 2 << 10

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

// Append appends a frame with that payload to b.
func Append(b []byte, stream Stream, payload []byte) []byte {
	b = append(b, byte(stream), 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

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
	offset     int64 // of buffer[0] in the stream

	stream Stream
	left   int // payload of the current frame not handed out yet
}

// NewReader returns a Reader of the frames in source.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, buffer: make([]byte, bufferSize)}
}

// Next returns the next frame: the stream it belongs to and its payload, valid until
// the next call. Only that of a frame longer than the buffer comes in pieces, of
// which last is the last, and that of System as it comes: should it be cut, it may
// say why.
//
// The error is io.EOF after the last frame, io.ErrUnexpectedEOF where the
// source ends inside one, a [*ProtocolError], or the source's own. Every
// further call returns it again, unless it is [ErrAgain].
func (r *Reader) Next() (stream Stream, payload []byte, last bool, err error) {
	return r.arriving(true)
}

// NextBuffered is Next for a frame that the buffer holds whole, of the container's,
// and not empty. It reports false if the next is not.
func (r *Reader) NextBuffered() (stream Stream, payload []byte, ok bool) {
	unread := r.buffer[r.start:r.end]
	if r.left > 0 || len(unread) <= headerSize {
		return 0, nil, false
	}
	word := binary.BigEndian.Uint64(unread)
	length := uint64(uint32(word))
	if word>>32 > uint64(Stderr)<<24 || word&invalidBits != 0 || length == 0 || length > uint64(len(unread)-headerSize) {
		return 0, nil, false
	}
	r.start += headerSize + int(length)
	return Stream(word >> 56), unread[headerSize : headerSize+length : headerSize+length], true
}

// Arrived returns what the buffer holds of the next frame, and in the same piece what
// it holds of short frames of the same stream that follow. So nothing waits for
// anything that has not come. Otherwise it is like [Reader.Next].
func (r *Reader) Arrived() (stream Stream, piece []byte, last bool, err error) {
	stream, piece, last, err = r.arriving(false)
	if !last || stream == System || len(piece) > maxGathered {
		return stream, piece, last, err
	}
	return stream, r.gather(stream, r.start-len(piece)), r.left == 0, nil
}

// gather moves the payloads of short frames of a stream to where the payload before
// them ends, which began at begin.
func (r *Reader) gather(stream Stream, begin int) []byte {
	buffer := r.buffer[:r.end]
	start, end := r.start, r.start
	for len(buffer)-start >= headerSize {
		word := binary.BigEndian.Uint64(buffer[start:])
		if word>>32 != uint64(stream)<<24 || uint32(word) > maxGathered {
			break
		}
		start += headerSize
		length := int(uint32(word))
		n := copy(buffer[end:], buffer[start:min(start+length, len(buffer))])
		start, end = start+n, end+n
		r.stream, r.left = stream, length-n
	}
	r.start = start
	return buffer[begin:end:end]
}

// arriving returns the next frame, or what has come of it, unless whole is set and it
// will fit into the buffer.
func (r *Reader) arriving(whole bool) (Stream, []byte, bool, error) {
	if r.left == 0 {
		if err := r.header(whole); err != nil {
			return 0, nil, false, err
		}
	}
	if r.start == r.end && r.left > 0 {
		if err := r.fill(); err != nil {
			return 0, nil, false, unexpected(err)
		}
	}
	n := min(r.left, r.end-r.start)
	piece := r.buffer[r.start : r.start+n : r.start+n]
	r.start += n
	r.left -= n
	return r.stream, piece, r.left == 0, nil
}

// header takes the next header, if whole is set once its frame is there, unless it is
// the engine's own.
func (r *Reader) header(whole bool) error {
	for r.end-r.start < headerSize {
		if err := r.fill(); err != nil {
			if r.end > r.start {
				return unexpected(err)
			}
			return err
		}
	}
	header := r.buffer[r.start : r.start+headerSize]
	word := binary.BigEndian.Uint64(header)
	stream, length := Stream(word>>56), uint32(word)
	switch {
	case stream > System:
		return r.fail("unknown stream %d", stream)
	case word&invalidBits != 0:
		return r.fail("reserved bytes % x are not zero", header[1:4])
	case length > MaxPayload:
		return r.fail("length %d exceeds %d", length, MaxPayload)
	}
	size := headerSize + int(length)
	for whole && stream != System && size <= len(r.buffer) && r.end-r.start < size {
		if err := r.fill(); err != nil {
			return unexpected(err)
		}
	}
	r.stream, r.left = stream, int(length)
	r.start += headerSize
	return nil
}

// fail makes the Reader return the same error from now on.
func (r *Reader) fail(format string, args ...any) error {
	r.err = &ProtocolError{Offset: r.offset + int64(r.start), Reason: fmt.Sprintf(format, args...)}
	r.start, r.end = 0, 0
	return r.err
}

// fill adds at least one byte to the buffer, in which less than a frame is left.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	r.offset += int64(r.start)
	r.start, r.end = 0, copy(r.buffer, r.buffer[r.start:r.end])
	for range maxEmptyReads {
		var n int
		n, r.err = r.source.Read(r.buffer[r.end:])
		r.end += n
		again := r.err == ErrAgain
		if again {
			r.err = nil
		}
		if n > 0 {
			return nil
		}
		if again {
			return ErrAgain
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

// Copy writes the payloads of all frames in source to stdout and stderr, straight
// from the buffer: whatever has come, as soon as it has come, neighbours of one stream
// together. A nil writer discards its stream. The payload of System frames goes to
// system, piece by piece.
//
// The error is nil at the end of the stream; a writer's error is returned as
// it is.
func Copy(stdout, stderr io.Writer, source io.Reader, system func(piece []byte, last bool)) error {
	reader := NewReader(source)
	for {
		stream, piece, last, err := reader.Arrived()
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
