package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// A frame that claims to be that long, of which nothing comes. StdCopy makes room for
// what is claimed; so it gets no more than a part of what a header can claim.
const (
	claimed     = 256 << 20
	claimedMost = 1<<32 - 1
)

// measureMemory returns what it costs to take a stream apart that a hostile header
// begins, and how many allocations a frame of a plain one costs.
func measureMemory() (string, error) {
	log := &input{logs: newLogs(117, 4<<20)}
	var text strings.Builder
	text.WriteString("| memory | this library | moby |\n|---|---|---|\n")
	costs, err := takeTurns(1, 2, func(i int) error {
		_, err := []func(*input, io.Reader) (int64, error){ourDemux, mobyDemux}[i](log, bytes.NewReader(log.plain))
		return err
	})
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&text, "| allocations of a stream of %d frames | %d | %d |\n", log.lines, costs[0][0].allocs, costs[1][0].allocs)
	hostile := func(length uint32, demux func(*input, io.Reader) (int64, error)) string {
		header := binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, length)
		c, _ := spend(func() error { _, err := demux(log, bytes.NewReader(header)); return err }) // ours is an error, theirs success
		return fmt.Sprintf("%.2f MB", float64(c.bytes)/1e6)
	}
	fmt.Fprintf(&text, "| a header that claims %d MB | %s | %s |\n", claimed/1_000_000, hostile(claimed, ourDemux), hostile(claimed, mobyDemux))
	fmt.Fprintf(&text, "| a header that claims %d MB | %s | not tried |\n", claimedMost/1_000_000, hostile(claimedMost, ourDemux))
	return text.String(), nil
}
