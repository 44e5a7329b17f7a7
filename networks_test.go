package swarm_test

import (
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

func TestEveryFieldOfANetworkIsKept(t *testing.T) {
	object := recordedObject{"network.json", readFile(t, "testdata/types/network.json")}
	for _, c := range codecs {
		network := assertSurvives[swarm.Network](t, c, object)
		assert.Empty(t, zeroFields("Network", reflect.ValueOf(network)))
		var filled swarm.Network
		fill(reflect.ValueOf(&filled).Elem())
		assert.Equal(t, filled, reencoded(t, c, filled))
		var spec swarm.NetworkSpec
		fill(reflect.ValueOf(&spec).Elem())
		assert.Equal(t, spec, reencoded(t, c, spec))
	}
}

func TestAddressesThatAreNoneDoNotBreakANetwork(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("GET /networks", says(200, `[{"Name":"a","Id":"1","IPAM":{"Config":[{"Subnet":"?","Gateway":"<nil>"}]},"Peers":[{"IP":""}],"Services":{"":{"VIP":"<nil>"}}}]`))
	networks, err := client.Networks.List(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, networks, 1)
	assert.Equal(t, "?", networks[0].IPAM.Config[0].Subnet)
	assert.Equal(t, "<nil>", networks[0].Services[""].VIP)
}

func TestNetworksAreOverlayUnlessTheSpecSaysOtherwise(t *testing.T) {
	for sent, spec := range map[string]swarm.NetworkSpec{
		`{"Name":"a","Driver":"overlay"}`: {Name: "a"},
		`{"Name":"a","Driver":"bridge"}`:  {Name: "a", Driver: "bridge"},
		`{"Name":"a","ConfigOnly":true}`:  {Name: "a", ConfigOnly: true},
		`{"Name":"a","Driver":"overlay","EnableIPv6":false,"IPAM":{"Driver":"","Config":[{"Subnet":"10.1.0.0/24"}]},"Options":{"encrypted":""}}`: {
			Name: "a", EnableIPv6: new(false), IPAM: swarm.IPAM{Config: []swarm.IPAMConfig{{Subnet: "10.1.0.0/24"}}},
			Options: map[string]string{"encrypted": ""}},
	} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("POST /networks/create", recorded(t, "28.5/network_create_overlay"))
		created, err := client.Networks.Create(t.Context(), spec)
		require.NoError(t, err)
		assert.Len(t, created.ID, 25)
		assert.Empty(t, created.Warning)
		assert.Equal(t, sent, e.sent("POST", "/networks/create")[0].body)
	}
}

func TestNamesOfNetworksAreUniqueForOldEnginesToo(t *testing.T) {
	for api, sent := range map[string]string{
		"1.43": `{"Name":"a","Driver":"bridge","CheckDuplicate":true}`,
		"1.44": `{"Name":"a","Driver":"bridge"}`,
	} {
		e, client := newScriptedEngine(t, api)
		e.answer("POST /networks/create", says(201, `{"Id":"1","Warning":"w"}`))
		created, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "a", Driver: "bridge"})
		require.NoError(t, err)
		assert.Equal(t, "w", created.Warning)
		assert.Equal(t, sent, e.sent("POST", "/networks/create")[0].body)
	}
}

func TestNetworkThatCannotBeAskedForIsRefused(t *testing.T) {
	e, client := newScriptedEngine(t, "1.41")
	_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	var versionError *swarm.VersionError
	_, err = client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "a", EnableIPv4: new(false)})
	require.ErrorAs(t, err, &versionError)
	assert.Equal(t, "NetworkSpec.EnableIPv4", versionError.Field)
	_, err = client.Networks.Inspect(t.Context(), "a", &swarm.NetworkInspectOptions{Scope: "galaxy"})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	_, err = client.Networks.List(t.Context(), &swarm.NetworkListOptions{Scopes: []swarm.Scope{"galaxy"}})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	_, err = client.Networks.List(t.Context(), &swarm.NetworkListOptions{Type: "galaxy"})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.Empty(t, e.all())
}

func TestNetworkWhoseCreationIsNotAnsweredIsCreatedOnce(t *testing.T) {
	e, client := newScriptedEngine(t, "1.51")
	e.answer("POST /networks/create", nil, recorded(t, "28.5/network_create_dup"))
	_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "ov1"})
	var unknown *swarm.OutcomeUnknownError
	require.ErrorAs(t, err, &unknown)
	assert.ErrorIs(t, err, swarm.ErrNameConflict)
	assert.Len(t, e.sent("POST", "/networks/create"), 2)
}

func TestVerboseNetworksNameTheirServicesAndTasks(t *testing.T) {
	e, client := newScriptedEngine(t, "1.45")
	e.answer("GET /networks/plain", recorded(t, "26.1-infra/net_inspect_plain_verbose"))
	network, err := client.Networks.Inspect(t.Context(), "plain", &swarm.NetworkInspectOptions{Verbose: true, Scope: swarm.ScopeSwarm})
	require.NoError(t, err)
	assert.Contains(t, e.all()[0].uri, "/networks/plain?scope=swarm&verbose=true")
	require.Contains(t, network.Services, "web")
	require.Len(t, network.Services["web"].Tasks, 1)
	assert.Equal(t, "10.0.1.3", network.Services["web"].Tasks[0].EndpointIP)
	assert.Equal(t, "10.99.0.1", network.Services["web"].Tasks[0].Info["Host IP"])
	assert.NotEmpty(t, network.Raw)
}

func TestNetworksAreChosenAlikeOnAllEngines(t *testing.T) {
	for _, version := range allEngines {
		for _, row := range []struct {
			opts    swarm.NetworkListOptions
			filters string
			want    string
		}{
			{swarm.NetworkListOptions{Names: []string{"plain"}}, `{"name":{"plain":true}}`, "plain"},
			{swarm.NetworkListOptions{NamePrefixes: []string{"plain"}}, ``, "plain"},
			{swarm.NetworkListOptions{NamePrefixes: []string{"PLAIN"}}, ``, ""},
			{swarm.NetworkListOptions{Names: []string{"plai"}}, `{"name":{"plai":true}}`, ""},
			{swarm.NetworkListOptions{Names: []string{"host"}, NamePrefixes: []string{"plai"}}, ``, "host plain"},
			{swarm.NetworkListOptions{IDs: []string{"plain"}}, `{"id":{"plain":true}}`, ""},
			{swarm.NetworkListOptions{Labels: map[string]string{"l": "v", "k": ""}, Drivers: []string{"overlay"}, Scopes: []swarm.Scope{swarm.ScopeSwarm},
				Type: swarm.NetworkCustom, Dangling: new(true), Names: []string{"plain"}},
				`{"dangling":{"true":true},"driver":{"overlay":true},"label":{"k":true,"l=v":true},"name":{"plain":true},"scope":{"swarm":true},"type":{"custom":true}}`, "plain"},
		} {
			e, client := newScriptedEngine(t, "1.51")
			e.answer("GET /networks", recorded(t, version+"-infra/net_list"))
			networks, err := client.Networks.List(t.Context(), &row.opts)
			require.NoError(t, err)
			var names []string
			for _, network := range networks {
				names = append(names, strings.TrimSuffix(network.Name, "-2"))
			}
			slices.Sort(names)
			assert.Equal(t, row.want, strings.Join(slices.Compact(names), " "), "%s %+v", version, row.opts)
			sent, err := url.Parse(e.all()[0].uri)
			require.NoError(t, err)
			assert.Equal(t, row.filters, sent.Query().Get("filters"))
		}
	}
}

func TestNetworksAreRemovedByIDAndNeverByPrefix(t *testing.T) {
	network := `{"Name":"plain","Id":"qqk84x8k61lwcvzewuay5ifmv"}`
	for ref, removed := range map[string]bool{"plain": true, "qqk84x8k61lwcvzewuay5ifmv": true, "qqk84": false} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("GET /networks/"+ref, says(200, network))
		e.answer("DELETE /networks/qqk84x8k61lwcvzewuay5ifmv", nil, recorded(t, "28.5/network_delete_missing"))
		err := client.Networks.Remove(t.Context(), ref)
		if !removed {
			assert.ErrorIs(t, err, swarm.ErrNotFound)
			assert.Empty(t, e.sent("DELETE", "/networks/qqk84x8k61lwcvzewuay5ifmv"))
			continue
		}
		assert.NoError(t, err)
		assert.Len(t, e.sent("DELETE", "/networks/qqk84x8k61lwcvzewuay5ifmv"), 2)
	}
}

func TestUsersOfANetworkThatCannotBeRemovedAreNamed(t *testing.T) {
	for _, version := range allEngines {
		for name, users := range map[string]int{"net_remove_inuse": 1, "net_remove_ingress_used": 1, "net_remove_cfg_used": 0, "net_remove_container": 0} {
			e, client := newScriptedEngine(t, "1.41")
			e.answer("GET /networks/n", says(200, `{"Name":"n","Id":"1"}`))
			e.answer("DELETE /networks/1", recorded(t, version+"-infra/"+name))
			err := client.Networks.Remove(t.Context(), "n")
			var inUse *swarm.InUseError
			require.ErrorAs(t, err, &inUse, name)
			assert.Len(t, inUse.Services, users, name)
		}
	}
}

func TestNetworksOutsideTheSwarmAreNotAskedForTwice(t *testing.T) {
	lost := says(500, `{"message":"rpc error: code = Unavailable desc = transport is closing"}`)
	for driver, times := range map[string]int{"": 3, "overlay": 3, "bridge": 1, "macvlan": 1} {
		e, client := newScriptedEngine(t, "1.51")
		e.answer("POST /networks/create", lost, lost, lost)
		_, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "a", Driver: driver})
		_, unknown := errors.AsType[*swarm.OutcomeUnknownError](err)
		assert.True(t, unknown, "%s: %v", driver, err)
		asked := 0
		for _, request := range e.requests {
			if request.method == http.MethodPost {
				asked++
			}
		}
		assert.Equal(t, times, asked, driver)
	}
}
