package swarm_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestValidateTakesWhatEnginesHaveTaken(t *testing.T) {
	for _, object := range recordedObjects(t)["service"] {
		var service swarm.Service
		require.NoError(t, json.Unmarshal(object.json, &service), object.name)
		assert.NoError(t, service.Spec.Validate(), object.name)
	}
}
