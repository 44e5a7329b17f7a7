package frames

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// frame is one frame as it stands on the wire.
func frame(stream Stream, payload string) []byte {
	return append(header(byte(stream), uint32(len(payload))), payload...)
}

func header(stream byte, length uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, length)
}

func TestAppendWritesFramesAsEnginesDo(t *testing.T) {
	for _, payload := range []string{"", "line\n", strings.Repeat("x", 300)} {
		got := Append([]byte("before"), Stderr, []byte(payload))
		assert.Equal(t, "before"+string(frame(Stderr, payload)), string(got))
	}
}

// received is one frame put together again.
type received struct {
	stream  Stream
	payload string
}

// readAll puts together what a Reader hands out; a frame that was not finished
// is not in it.
func readAll(source io.Reader) ([]received, error) {
	reader := NewReader(source)
	var all []received
	var payload []byte
	for {
		stream, piece, last, err := reader.Next()
		if err != nil {
			return all, err
		}
		payload = append(payload, piece...)
		if last {
			all = append(all, received{stream, string(payload)})
			payload = nil
		}
	}
}

// reference does the same in the plainest way there is.
func reference(data []byte) ([]received, error) {
	var all []received
	source := bytes.NewReader(data)
	for {
		var head [8]byte
		if _, err := io.ReadFull(source, head[:]); err != nil {
			return all, err
		}
		length := binary.BigEndian.Uint32(head[4:])
		if head[0] > 3 || head[1]|head[2]|head[3] != 0 || length > MaxPayload {
			return all, &ProtocolError{Offset: source.Size() - int64(source.Len()) - 8}
		}
		var payload bytes.Buffer
		if _, err := io.CopyN(&payload, source, int64(length)); err != nil {
			return all, io.ErrUnexpectedEOF
		}
		all = append(all, received{Stream(head[0]), payload.String()})
	}
}

func TestReaderKeepsStreamsAndOrder(t *testing.T) {
	var wire []byte
	var want []received
	// Payloads on both sides of the buffer's size, so that headers and payloads
	// straddle its end.
	for i, size := range []int{0, 1, 8, 117, bufferSize - 9, bufferSize - 8, bufferSize, 3, bufferSize + 1, 3 * bufferSize, 40} {
		payload := strings.Repeat(string(rune('a'+i)), size)
		stream := Stream(i % 4)
		wire = append(wire, frame(stream, payload)...)
		want = append(want, received{stream, payload})
	}
	sources := map[string]io.Reader{
		"whole":          bytes.NewReader(wire),
		"byte by byte":   iotest.OneByteReader(bytes.NewReader(wire)),
		"halves":         iotest.HalfReader(bytes.NewReader(wire)),
		"EOF with bytes": iotest.DataErrReader(bytes.NewReader(wire)),
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(source)
			assert.Equal(t, io.EOF, err)
			assert.Equal(t, want, got)
		})
	}
}

func TestReaderReportsEveryCut(t *testing.T) {
	parts := [][]byte{frame(Stdout, "one\n"), frame(Stderr, ""), frame(System, "three"), frame(Stdout, strings.Repeat("x", 300))}
	wire := bytes.Join(parts, nil)
	whole := map[int]int{0: 0} // how many frames end at an offset
	offset := 0
	for i, part := range parts {
		offset += len(part)
		whole[offset] = i + 1
	}
	complete := 0
	for cut := range len(wire) + 1 {
		for _, source := range []io.Reader{bytes.NewReader(wire[:cut]), iotest.OneByteReader(bytes.NewReader(wire[:cut]))} {
			got, err := readAll(source)
			if n, between := whole[cut]; between {
				complete = n
				assert.Equal(t, io.EOF, err, "cut at %d", cut)
			} else {
				assert.Equal(t, io.ErrUnexpectedEOF, err, "cut at %d", cut)
			}
			assert.Len(t, got, complete, "cut at %d", cut)
		}
	}
}

func TestReaderRefusesWhatIsNoFrame(t *testing.T) {
	good := frame(Stdout, "good\n")
	for name, test := range map[string]struct {
		bad    []byte
		reason string
	}{
		"stream 4":       {header(4, 1), "unknown stream 4"},
		"stream 255":     {header(255, 1), "unknown stream 255"},
		"reserved bytes": {[]byte{1, 0, 0, 9, 0, 0, 0, 1, 'x'}, "reserved bytes 00 00 09 are not zero"},
		"too long":       {header(1, MaxPayload+1), "length 4259841 exceeds 4259840"},
		"2 GiB":          {header(1, math.MaxInt32+1), "length 2147483648 exceeds"},
		"4 GiB":          {header(2, math.MaxUint32), "length 4294967295 exceeds"},
		"HTML":           {[]byte("<html><body>"), "unknown stream 60"},
	} {
		t.Run(name, func(t *testing.T) {
			reader := NewReader(bytes.NewReader(append(good[:len(good):len(good)], test.bad...)))
			_, piece, last, err := reader.Next()
			require.NoError(t, err)
			require.True(t, last)
			require.Equal(t, "good\n", string(piece))
			for range 3 {
				_, piece, _, err := reader.Next()
				protocol, ok := errors.AsType[*ProtocolError](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, int64(len(good)), protocol.Offset)
				assert.Contains(t, err.Error(), test.reason)
				assert.Contains(t, err.Error(), fmt.Sprintf("at byte %d", len(good)))
				assert.Empty(t, piece)
			}
		})
	}
}

func TestReaderTakesTheLongestPayloadInPieces(t *testing.T) {
	source := io.MultiReader(bytes.NewReader(header(1, MaxPayload)), io.LimitReader(zeros{}, MaxPayload))
	reader := NewReader(source)
	total := 0
	for {
		_, piece, last, err := reader.Next()
		require.NoError(t, err)
		require.LessOrEqual(t, len(piece), bufferSize)
		total += len(piece)
		if last {
			break
		}
	}
	assert.Equal(t, MaxPayload, total)
	_, _, _, err := reader.Next()
	assert.Equal(t, io.EOF, err)
}

func TestReaderCountsOffsetsBeyond32Bits(t *testing.T) {
	reader := NewReader(bytes.NewReader(header(9, 0)))
	reader.offset = math.MaxUint32 + 10
	_, _, _, err := reader.Next()
	protocol, ok := errors.AsType[*ProtocolError](err)
	require.True(t, ok)
	assert.Equal(t, int64(math.MaxUint32+10), protocol.Offset)
}

func TestReaderReturnsTheErrorOfItsSourceAfterTheBytesBeforeIt(t *testing.T) {
	broken := errors.New("broken")
	for name, wire := range map[string][]byte{
		"between frames": frame(Stdout, "line\n"),
		"in a header":    append(frame(Stdout, "line\n"), 1, 0, 0),
		"in a payload":   append(frame(Stdout, "line\n"), header(1, 5)...),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(io.MultiReader(bytes.NewReader(wire), iotest.ErrReader(broken)))
			assert.Equal(t, broken, err)
			assert.Equal(t, []received{{Stdout, "line\n"}}, got)
		})
	}
}

func TestReaderGivesUpOnASourceThatNeverYields(t *testing.T) {
	_, err := readAll(stuck{})
	assert.Equal(t, io.ErrNoProgress, err)
}

func TestReaderAllocatesNothingPerFrame(t *testing.T) {
	wire := bytes.Repeat(frame(Stdout, strings.Repeat("x", 117)), 1000)
	wire = append(wire, header(2, MaxPayload)...) // and then nothing of it
	source := bytes.NewReader(nil)
	reader := NewReader(source)
	allocations := testing.AllocsPerRun(20, func() {
		source.Reset(wire)
		*reader = Reader{source: source, buffer: reader.buffer}
		for {
			if _, _, _, err := reader.Next(); err != nil {
				return
			}
		}
	})
	assert.Zero(t, allocations)
}

func TestCopySplitsTheStreams(t *testing.T) {
	wire := bytes.Join([][]byte{
		frame(Stdout, "out 1\n"), frame(Stderr, "err 1\n"), frame(System, "first"), frame(Stdin, "in\n"),
		frame(Stdout, ""), frame(System, "second"), frame(Stderr, "err 2\n"),
	}, nil)
	var stdout, stderr bytes.Buffer
	var system []string
	err := Copy(&stdout, &stderr, bytes.NewReader(wire), func(piece []byte, last bool) {
		assert.True(t, last)
		system = append(system, string(piece))
	})
	require.NoError(t, err)
	assert.Equal(t, "out 1\nin\n", stdout.String())
	assert.Equal(t, "err 1\nerr 2\n", stderr.String())
	assert.Equal(t, []string{"first", "second"}, system)
}

func TestCopyDiscardsTheStreamsOfNilWriters(t *testing.T) {
	wire := append(frame(Stdout, "out\n"), frame(Stderr, "err\n")...)
	var stderr bytes.Buffer
	require.NoError(t, Copy(nil, &stderr, bytes.NewReader(wire), nil))
	assert.Equal(t, "err\n", stderr.String())
}

func TestCopyStopsAtAWriterThatFails(t *testing.T) {
	wire := bytes.Repeat(frame(Stdout, "line\n"), 3)
	full := errors.New("disk full")

	for _, failure := range []error{full, io.EOF, io.ErrUnexpectedEOF} {
		broken := &writer{room: 7, err: failure}
		assert.Equal(t, failure, Copy(broken, nil, &steps{wire, len(wire) / 3}, nil))
		assert.Equal(t, 2, broken.calls)
	}
	assert.Equal(t, io.ErrShortWrite, Copy(&writer{room: 7}, nil, bytes.NewReader(wire), nil))
}

// writes notes what is written to it, and the stream that it is for.
type writes struct {
	all    *[]received
	stream Stream
}

func (w writes) Write(p []byte) (int, error) {
	*w.all = append(*w.all, received{w.stream, string(p)})
	return len(p), nil
}

// copyAll notes what Copy writes.
func copyAll(source io.Reader) ([]received, error) {
	var all []received
	system := func(piece []byte, _ bool) { _, _ = writes{&all, System}.Write(piece) }
	err := Copy(writes{&all, Stdout}, writes{&all, Stderr}, source, system)
	return all, err
}

func TestCopyWritesNeighboursTogether(t *testing.T) {
	long := strings.Repeat("x", maxGathered+1)
	wire := bytes.Join([][]byte{
		frame(Stdout, "1\n"), frame(Stdout, ""), frame(Stdout, "2\n"), frame(Stderr, "3\n"), frame(Stdout, "4\n"),
		frame(System, "5"), frame(Stderr, "6\n"), frame(Stderr, "7\n"), frame(Stderr, long), frame(Stderr, "8\n"),
	}, nil)
	got, err := copyAll(bytes.NewReader(wire))
	require.NoError(t, err)
	assert.Equal(t, []received{
		{Stdout, "1\n2\n"}, {Stderr, "3\n"}, {Stdout, "4\n"}, {System, "5"}, {Stderr, "6\n7\n"}, {Stderr, long}, {Stderr, "8\n"},
	}, got)
}

func TestCopyWaitsForNothing(t *testing.T) {
	wire := append(frame(Stdout, "one\n"), frame(Stdout, "two\n")...)
	var out bytes.Buffer
	written := []string{}
	for came := range len(wire) {
		out.Reset()
		source := io.MultiReader(bytes.NewReader(wire[:came]), readFunc(func([]byte) (int, error) {
			written = append(written, out.String())
			return 0, io.EOF
		}))
		_ = Copy(&out, nil, source, nil)
	}
	var want []string
	for _, text := range []string{"", "o", "on", "one", "one\n", "one\nt", "one\ntw", "one\ntwo"} {
		times := 1
		if text == "" || text == "one\n" { // while a header comes
			times = headerSize + 1
		}
		want = append(want, slices.Repeat([]string{text}, times)...)
	}
	assert.Equal(t, want, written)
}

// readFunc is a function that reads.
type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// joined is what a stream has in a row, whatever its pieces; Stdin is Stdout.
func joined(all []received) []received {
	var runs []received
	for _, one := range all {
		one.stream = max(one.stream, Stdout)
		switch last := len(runs) - 1; {
		case one.payload == "":
		case last >= 0 && runs[last].stream == one.stream:
			runs[last].payload += one.payload
		default:
			runs = append(runs, one)
		}
	}
	return runs
}

func FuzzCopy(f *testing.F) {
	f.Add(bytes.Join([][]byte{frame(Stdout, "1\n"), frame(Stdout, "2\n"), frame(Stderr, ""), frame(Stdin, "3\n")}, nil), uint8(255))
	f.Add(bytes.Join([][]byte{frame(Stderr, "1\n"), frame(System, "2"), frame(System, "3"), frame(Stderr, "4\n")}, nil), uint8(20))
	f.Add(bytes.Join([][]byte{frame(Stdout, "1\n"), frame(Stdout, strings.Repeat("x", maxGathered+1)), frame(Stdout, "2\n"), header(1, 5)}, nil), uint8(99))
	f.Add(append(frame(Stdout, "line\n"), header(9, 3)...), uint8(13))
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		whole, wantErr := reference(wire)
		want := joined(whole)
		all, err := copyAll(&steps{wire, int(step) + 1})
		got := joined(all)
		switch wantErr {
		case io.EOF:
			require.NoError(t, err)
			assert.Equal(t, want, got)
		case io.ErrUnexpectedEOF: // the beginning of a frame is written too
			assert.Equal(t, wantErr, err)
			if last := len(want) - 1; last >= 0 {
				require.Greater(t, len(got), last)
				require.True(t, strings.HasPrefix(got[last].payload, want[last].payload))
				got[last].payload = want[last].payload
				assert.Equal(t, want, got[:last+1])
			}
		default:
			found, ok := errors.AsType[*ProtocolError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, wantErr.(*ProtocolError).Offset, found.Offset)
			assert.Equal(t, want, got)
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(nil), uint8(0))
	f.Add(frame(Stdout, "line\n"), uint8(1))
	f.Add(bytes.Join([][]byte{frame(Stderr, ""), frame(System, "error"), frame(Stdin, "x")}, nil), uint8(3))
	f.Add(frame(Stdout, "cut")[:10], uint8(0))
	f.Add(append(frame(Stdout, "line\n"), header(7, 3)...), uint8(2))
	f.Add(append(header(1, math.MaxUint32), 'x'), uint8(0))
	f.Add([]byte("HTTP/1.1 200 OK\r\n"), uint8(5))
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		want, wantErr := reference(wire)
		got, err := readAll(&steps{wire, int(step) + 1})
		assert.Equal(t, want, got)
		if protocol, ok := errors.AsType[*ProtocolError](wantErr); ok {
			found, ok := errors.AsType[*ProtocolError](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, protocol.Offset, found.Offset)
			return
		}
		assert.Equal(t, wantErr, err)
	})
}

func BenchmarkCopy(b *testing.B) {
	for _, size := range []int{40, 117, 120, 1024, 16384} {
		count := max(1, 8<<20/size)
		wire := bytes.Repeat(frame(Stdout, strings.Repeat("x", size)), count)
		for _, way := range []struct {
			name string
			copy func(io.Writer, io.Reader) error
		}{
			{"frames", func(w io.Writer, r io.Reader) error { return Copy(w, nil, r, nil) }},
			{"iocopy", func(w io.Writer, r io.Reader) error {
				_, err := io.CopyBuffer(w, r, make([]byte, bufferSize))
				return err
			}},
			{"naive", naiveCopy},
		} {
			b.Run(fmt.Sprintf("%d/%s", size, way.name), func(b *testing.B) {
				b.SetBytes(int64(size * count))
				b.ReportAllocs()
				source := bytes.NewReader(nil)
				for b.Loop() {
					source.Reset(wire)
					if err := way.copy(discard{}, onlyReader{source}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*count), "ns/frame")
			})
		}
	}
}

// naiveCopy is what one writes without thinking.
func naiveCopy(w io.Writer, r io.Reader) error {
	source := bufio.NewReader(r)
	var payload []byte
	for {
		var head [8]byte
		if _, err := io.ReadFull(source, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		length := int(binary.BigEndian.Uint32(head[4:]))
		if cap(payload) < length {
			payload = make([]byte, length)
		}
		if _, err := io.ReadFull(source, payload[:length]); err != nil {
			return err
		}
		if _, err := w.Write(payload[:length]); err != nil {
			return err
		}
	}
}

// onlyReader hides WriteTo, and discard has no ReadFrom: both would let io.Copy
// go around its buffer.
type onlyReader struct{ io.Reader }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// steps hands out its bytes in equal steps.
type steps struct {
	rest []byte
	size int
}

func (s *steps) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(s.size, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// stuck returns neither bytes nor an error.
type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// writer has room for so many bytes and then writes short, with err.
type writer struct {
	room  int
	err   error
	calls int
}

func (w *writer) Write(p []byte) (int, error) {
	w.calls++
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, w.err
	}
	return n, nil
}
