//go:build long

package swarm_test

import "testing"

func TestSoakFollowingTenMillionLinesUnderAThousandFaults(t *testing.T) {
	followUnderFaults(t, 10_000_000, 1000, 2)
}
