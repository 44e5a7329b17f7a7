package swarm_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

const configObject = `{"ID":"configid1","Version":{"Index":7},"CreatedAt":"2026-11-21T01:59:09Z","UpdatedAt":"2026-11-21T01:59:09Z","Spec":{"Name":"app","Labels":{"a":"b"},"Data":"aGVsbG8=","Templating":{"Name":"golang"}}}`

func oneConfig() map[string]string {
	return map[string]string{"/configs/configid1": configObject, "/configs/app": configObject}
}

func TestConfigDataIsReadButNotPrinted(t *testing.T) {
	engine := newObjectEngine(t, oneConfig())
	config, err := engine.client(t).Configs.Inspect(t.Context(), "app")
	require.NoError(t, err)
	assert.Equal(t, "hello", string(config.Spec.Data))
	assert.Equal(t, "golang", config.Spec.Templating.Name)
	assert.Equal(t, configObject, string(config.Raw))

	config.Spec.Data = []byte(canary)
	config.Raw = json.RawMessage(`{"Spec":{"Data":"` + base64.StdEncoding.EncodeToString([]byte(canary)) + `"}}`)
	for _, value := range []any{*config, config, config.Spec, &config.Spec, []swarm.Config{*config}, []*swarm.Config{config}} {
		assertPrintsNoCanary(t, value)
	}
	assert.Contains(t, fmt.Sprintf("%+v", config), "Name:app Labels:map[a:b] Data:(13 bytes)")
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	assert.Contains(t, string(encoded), base64.StdEncoding.EncodeToString([]byte(canary)))
}

func TestCreatedConfigIsSentAsItIs(t *testing.T) {
	engine := newObjectEngine(t, nil)
	id, err := engine.client(t).Configs.Create(t.Context(), swarm.ConfigSpec{Name: "app", Labels: map[string]string{"a": "b"}, Data: []byte("c€nfig\x00\xff"),
		Templating: &swarm.Driver{Name: "golang"}})
	require.NoError(t, err)
	assert.Equal(t, "created", id)
	assert.Equal(t, []string{"POST /configs/create"}, engine.requests)
	assert.JSONEq(t, `{"Name":"app","Labels":{"a":"b"},"Data":"Y+KCrG5maWcA/w==","Templating":{"Name":"golang"}}`, engine.bodies[0])
}

func TestConfigOfTheWrongSizeIsNotSent(t *testing.T) {
	engine := newObjectEngine(t, nil)
	client := engine.client(t)
	for _, data := range [][]byte{nil, {}, make([]byte, 1_024_000)} {
		_, err := client.Configs.Create(t.Context(), swarm.ConfigSpec{Name: "a", Data: data})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	}
	assert.Empty(t, engine.requests)
	_, err := client.Configs.Create(t.Context(), swarm.ConfigSpec{Name: "a", Data: make([]byte, swarm.MaxConfigSize)})
	assert.NoError(t, err)
	data, err := swarm.ReadConfigData(bytes.NewReader(make([]byte, swarm.MaxConfigSize)))
	require.NoError(t, err)
	assert.Len(t, data, 1_023_999)
}

func TestConfigsAreListedByWhatIsAskedFor(t *testing.T) {
	object := func(id, name string) string {
		return fmt.Sprintf(`{"ID":%q,"Spec":{"Name":%q,"Data":"eA=="}}`, id, name)
	}
	engine := newObjectEngine(t, map[string]string{"/configs/a1": object("a1", "db"), "/configs/a2": object("a2", "db2"), "/configs/b1": object("b1", "web")})
	client := engine.client(t)
	for query, test := range map[string]struct {
		opts *swarm.ConfigListOptions
		want []string
	}{
		"":                       {nil, []string{"db", "db2", "web"}},
		`{"id":{"a1":true}}`:     {&swarm.ConfigListOptions{IDs: []string{"a1"}}, []string{"db"}},
		`{"id":{"a":true}}`:      {&swarm.ConfigListOptions{IDPrefixes: []string{"a"}}, []string{"db", "db2"}},
		`{"name":{"db":true}}`:   {&swarm.ConfigListOptions{Names: []string{"db"}}, []string{"db"}},
		`{"name":{"d":true}}`:    {&swarm.ConfigListOptions{NamePrefixes: []string{"d"}}, []string{"db", "db2"}},
		`{"label":{"k=v":true}}`: {&swarm.ConfigListOptions{Labels: map[string]string{"k": "v"}}, []string{"db", "db2", "web"}},
		`{"id":{"b":true},"name":{"db":true,"web":true}}`: {&swarm.ConfigListOptions{IDPrefixes: []string{"b"}, Names: []string{"db", "web"}}, []string{"web"}},
	} {
		configs, err := client.Configs.List(t.Context(), test.opts)
		require.NoError(t, err)
		var names []string
		for _, config := range configs {
			names = append(names, config.Spec.Name)
			assert.Equal(t, "x", string(config.Spec.Data))
		}
		assert.Equal(t, test.want, names, query)
		assert.Equal(t, query, engine.lastFilters(t))
	}
}

func TestChangingAConfigTakesAFullIDOrAnExactName(t *testing.T) {
	engine := newObjectEngine(t, oneConfig())
	engine.objects["/configs/configid"] = configObject // the engine takes a prefix
	client := engine.client(t)
	_, err := client.Configs.Inspect(t.Context(), "configid")
	require.NoError(t, err)
	assert.ErrorIs(t, client.Configs.Remove(t.Context(), "configid"), swarm.ErrNotFound)
	assert.ErrorIs(t, client.Configs.SetLabels(t.Context(), "configid", nil), swarm.ErrNotFound)
	require.NoError(t, client.Configs.SetLabels(t.Context(), "app", map[string]string{"a": "b"}))
	assert.Empty(t, append(engine.sent("DELETE"), engine.sent("POST")...))
	require.NoError(t, client.Configs.SetLabels(t.Context(), "app", nil))
	assert.Equal(t, []string{"POST /configs/configid1/update?version=7"}, engine.sent("POST"))
	assert.JSONEq(t, `{"Name":"app","Data":"aGVsbG8=","Templating":{"Name":"golang"}}`, engine.bodies[0])
	require.NoError(t, client.Configs.Remove(t.Context(), "app"))
	assert.Equal(t, []string{"DELETE /configs/configid1"}, engine.sent("DELETE"))
}

func TestConfigsInUseNameTheirServices(t *testing.T) {
	engine := newObjectEngine(t, oneConfig())
	engine.hook = func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		sayNo(w, http.StatusBadRequest, "rpc error: code = InvalidArgument desc = config 'app' is in use by the following services: s1, s2")
		return true
	}
	var inUse *swarm.InUseError
	require.ErrorAs(t, engine.client(t).Configs.Remove(t.Context(), "app"), &inUse)
	assert.Equal(t, []string{"s1", "s2"}, inUse.Services)
}

func TestConfigsNeedTheirAPIVersion(t *testing.T) {
	engine := newObjectEngine(t, oneConfig())
	at := func(version string) *swarm.ConfigClient {
		return engine.client(t, swarm.WithAPIVersion(version)).Configs
	}
	for _, test := range []struct {
		version, needs string
		call           func(*swarm.ConfigClient) error
	}{
		{"1.29", "1.30", func(c *swarm.ConfigClient) error {
			_, err := c.Create(t.Context(), swarm.ConfigSpec{Name: "a", Data: []byte("x")})
			return err
		}},
		{"1.29", "1.30", func(c *swarm.ConfigClient) error { _, err := c.Inspect(t.Context(), "app"); return err }},
		{"1.29", "1.30", func(c *swarm.ConfigClient) error { _, err := c.List(t.Context(), nil); return err }},
		{"1.29", "1.30", func(c *swarm.ConfigClient) error { return c.SetLabels(t.Context(), "app", nil) }},
		{"1.29", "1.30", func(c *swarm.ConfigClient) error { return c.Remove(t.Context(), "app") }},
		{"1.36", "1.37", func(c *swarm.ConfigClient) error {
			_, err := c.Create(t.Context(), swarm.ConfigSpec{Name: "a", Data: []byte("x"), Templating: &swarm.Driver{Name: "golang"}})
			return err
		}},
	} {
		var tooOld *swarm.VersionError
		require.ErrorAs(t, test.call(at(test.version)), &tooOld)
		assert.Equal(t, test.needs, tooOld.Needs)
	}
	assert.Empty(t, engine.requests)
}

func TestRecordedConfigsAreReadWhole(t *testing.T) {
	for _, c := range codecs {
		recorded := recordedObjects(t)["config"]
		for i := 0; i < len(recorded); i += swarm.OneIn {
			object := recorded[i]
			config := assertSurvives[swarm.Config](t, c, object)
			assert.NotEmpty(t, config.ID)
			assert.NotZero(t, config.Version.Index)
			assert.NotZero(t, config.CreatedAt)
			assert.NotEmpty(t, config.Spec.Name)
			assert.NotEmpty(t, config.Spec.Data)
		}
	}
}

func TestLabelsOfAConfigAreAllThatChanges(t *testing.T) {
	labels := map[string]string{"a": "other", "new": ""}
	data := func(r *rand.Rand) any { return []any{"", "eA==", "PD4m/+8="}[r.IntN(3)] }
	assertOnlyTheChangeIsSent(t, "/configs/x",
		map[string]func(*rand.Rand) any{"Name": randomText, "Labels": randomLabels, "Data": data, "Templating": randomDriver},
		func(c *swarm.Client) error { return c.Configs.SetLabels(t.Context(), "x", labels) },
		func(spec map[string]any) { spec["Labels"] = labels })
}
