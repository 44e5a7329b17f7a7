//go:build integration && long

package integration

import "testing"

func TestOutcomesAreTrueWhenLeadersAreKilledOverAndOver(t *testing.T) {
	t.Parallel()
	killLeaders(t, 5)
}
