package swarm_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
)

func TestVariablesAreFoundAsContainersSeeThem(t *testing.T) {
	env := []string{"A=1", "EMPTY=", "A=2", "A", "GONE", "X=y=z", "AB=3"}
	for name, want := range map[string]string{"A": "2", "EMPTY": "", "X": "y=z", "AB": "3"} {
		value, found := swarm.LookupEnv(env, name)
		assert.True(t, found, name)
		assert.Equal(t, want, value, name)
	}
	for _, name := range []string{"GONE", "a", "B", "", "X=y"} {
		_, found := swarm.LookupEnv(env, name)
		assert.False(t, found, name)
	}
	assert.Equal(t, map[string]string{"A": "2", "EMPTY": "", "X": "y=z", "AB": "3"}, swarm.EnvMap(env))
}

func TestPutEnvKeepsTheOrder(t *testing.T) {
	for _, row := range []struct {
		env         []string
		name, value string
		want        []string
	}{
		{nil, "A", "1", []string{"A=1"}},
		{[]string{"B=2", "A=1"}, "C", "", []string{"B=2", "A=1", "C="}},
		{[]string{"B=2", "A=1", "C=3"}, "A", "x=y", []string{"B=2", "A=x=y", "C=3"}},
		{[]string{"A=1", "B=2", "A=3"}, "A", "4", []string{"A=4", "B=2"}},
		{[]string{"A", "B", "AA=1"}, "A", "1", []string{"A=1", "B", "AA=1"}},
	} {
		before := slices.Clone(row.env)
		put := swarm.PutEnv(row.env, row.name, row.value)
		assert.Equal(t, row.want, put)
		assert.Equal(t, before, row.env)
		assert.Equal(t, put, swarm.PutEnv(put, row.name, row.value))
		value, found := swarm.LookupEnv(put, row.name)
		assert.True(t, found)
		assert.Equal(t, row.value, value)
	}
}

func TestEqualMapsMakeEqualLists(t *testing.T) {
	values := map[string]string{"B": "2", "A": "1", "EMPTY": "", "X": "y=z"}
	env := swarm.EnvList(values)
	assert.Equal(t, []string{"A=1", "B=2", "EMPTY=", "X=y=z"}, env)
	assert.Equal(t, values, swarm.EnvMap(env))
	assert.Empty(t, swarm.EnvList(nil))
}
