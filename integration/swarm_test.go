//go:build integration

package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// fullSwarmSpec sets all that engines keep, but for external authorities.
func fullSwarmSpec() swarm.SwarmSpec {
	return swarm.SwarmSpec{
		Labels:        map[string]string{"stage": "test"},
		Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(2))},
		Raft:          swarm.RaftConfig{SnapshotInterval: 5000, KeepOldSnapshots: new(uint64(1)), LogEntriesForSlowFollowers: 300},
		Dispatcher:    swarm.DispatcherConfig{HeartbeatPeriod: 4 * time.Second},
		CAConfig:      swarm.CAConfig{NodeCertExpiry: 48 * time.Hour},
	}
}

func TestSwarmIsMadeWithEveryOption(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		nodeID, err := client.Swarm.Init(t.Context(), &swarm.InitOptions{
			ListenAddr: "10.99.0.1:2378", AdvertiseAddr: "eth0:2378", DataPathAddr: "eth0", DataPathPort: 4790,
			DefaultAddrPool: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/16"), netip.MustParsePrefix("10.78.0.0/16")}, SubnetSize: 26,
			Spec: fullSwarmSpec(), AutoLockManagers: true, Availability: swarm.NodeDrain,
		})
		require.NoError(t, err)
		local, err := client.Swarm.LocalState(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.LocalActive, local.LocalNodeState)
		assert.True(t, local.ControlAvailable)
		assert.Equal(t, nodeID, local.NodeID)
		assert.Equal(t, "10.99.0.1", local.NodeAddr)
		assert.Equal(t, []swarm.RemoteManager{{NodeID: nodeID, Addr: "10.99.0.1:2378"}}, local.RemoteManagers)

		cluster, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		want := fullSwarmSpec()
		want.Name, want.Raft.ElectionTick, want.Raft.HeartbeatTick = "default", 10, 1
		want.EncryptionConfig.AutoLockManagers = true
		assert.Equal(t, want, cluster.Spec)
		assert.Equal(t, []string{"10.77.0.0/16", "10.78.0.0/16"}, cluster.DefaultAddrPool)
		assert.EqualValues(t, 26, cluster.SubnetSize)
		assert.EqualValues(t, 4790, cluster.DataPathPort)
		assert.Contains(t, cluster.TLSInfo.TrustRoot, "BEGIN CERTIFICATE")
		assert.NotEmpty(t, cluster.TLSInfo.CertIssuerPublicKey)
		assert.False(t, cluster.RootRotationInProgress)

		var node struct{ Spec struct{ Availability string } }
		require.NoError(t, e.Call(t.Context(), http.MethodGet, "/nodes/"+nodeID, nil, &node))
		assert.Equal(t, "drain", node.Spec.Availability)
		command, err := client.Swarm.JoinCommand(t.Context(), swarm.RoleManager)
		require.NoError(t, err)
		assert.Equal(t, "docker swarm join --token "+cluster.JoinTokens.Manager+" 10.99.0.1:2378", command)

		_, err = client.Swarm.Init(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrAlreadyInSwarm)
		assert.ErrorIs(t, client.Swarm.Join(t.Context(), cluster.JoinTokens.Worker, []string{"10.99.0.1"}, nil), swarm.ErrAlreadyInSwarm)
	})
}

func TestSwarmMadeWithoutOptionsHasTheEnginesDefaults(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Swarm.Init(t.Context(), nil)
		require.NoError(t, err, "the engine has one address")
		cluster, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.SwarmSpec{
			Name:          "default",
			Labels:        map[string]string{},
			Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(5))},
			Raft:          swarm.RaftConfig{SnapshotInterval: 10000, KeepOldSnapshots: new(uint64(0)), LogEntriesForSlowFollowers: 500, ElectionTick: 10, HeartbeatTick: 1},
			Dispatcher:    swarm.DispatcherConfig{HeartbeatPeriod: 5 * time.Second},
			CAConfig:      swarm.CAConfig{NodeCertExpiry: 90 * 24 * time.Hour},
		}, cluster.Spec)
		assert.Equal(t, []string{"10.0.0.0/8"}, cluster.DefaultAddrPool)
		assert.EqualValues(t, 24, cluster.SubnetSize)
		assert.EqualValues(t, 4789, cluster.DataPathPort)
	})
}

// swarmSetting is something a swarm can be made with that not every API version
// has, or that engines drop.
type swarmSetting struct {
	row   string // in the library's table of versions
	path  string // where it is read back
	value string // what is read there if it was not dropped
}

var swarmSettings = []swarmSetting{
	{"EncryptionConfig.AutoLockManagers", "/swarm Spec.EncryptionConfig.AutoLockManagers", `true`},
	{"CAConfig.ForceRotate", "/swarm Spec.CAConfig.ForceRotate", `3`},
	{"TaskDefaults.LogDriver", "/swarm Spec.TaskDefaults.LogDriver.Name", `"json-file"`},
	{"InitOptions.DataPathPort", "/swarm DataPathPort", `4790`},
	{"InitOptions.DefaultAddrPool", "/swarm DefaultAddrPool[0]", `"10.77.0.0/16"`},
	{"InitOptions.SubnetSize", "/swarm SubnetSize", `26`},
	{"InitOptions.Availability", "/nodes [0].Spec.Availability", `"drain"`},
}

// everySetting makes a swarm with all of them.
const everySetting = `{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"10.99.0.1","DataPathAddr":"10.99.0.1","DataPathPort":4790,
	"DefaultAddrPool":["10.77.0.0/16"],"SubnetSize":26,"Availability":"drain",
	"Spec":{"EncryptionConfig":{"AutoLockManagers":true},"CAConfig":{"ForceRotate":3},"TaskDefaults":{"LogDriver":{"Name":"json-file"}}}}`

// The versions where something changes; the long run has all.
func TestEnginesDropSettingsOfSwarmsAsTheTableOfVersionsSays(t *testing.T) {
	assertSettingsDropped(t, func(newest int) []int { return []int{24, 27, 28, 29, 30, 38, 39, 40, newest} })
}

func assertSettingsDropped(t *testing.T, minors func(newest int) []int) {
	t.Helper()
	rows := map[string]versionRow{}
	for _, row := range readVersionTable(t) {
		rows[row.what] = row
	}
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		version, _, _ := strings.Cut(e.Name, "-")
		for _, minor := range minors(minorOf(t, e.APIVersion)) {
			// Not one engine that leaves and begins again: it may trip over certificates
			// that it is still writing.
			e := startEngine(t, version)
			require.NoError(t, e.Call(t.Context(), http.MethodPost, fmt.Sprintf("/v1.%d/swarm/init", minor), json.RawMessage(everySetting), nil))
			for _, setting := range swarmSettings {
				row := rows[setting.row]
				isDropped := row.below == "lost" || row.below == "stripped" && minor < row.minor
				assert.Equal(t, !isDropped, isThere(t, e, setting), "%s at 1.%d", setting.row, minor)
			}
			require.NoError(t, e.Remove(t.Context()))
		}
	})
}

func isThere(t *testing.T, e *engines.Engine, setting swarmSetting) bool {
	t.Helper()
	path, where, _ := strings.Cut(setting.path, " ")
	var got, want any
	require.NoError(t, e.Call(t.Context(), http.MethodGet, path, nil, &got))
	require.NoError(t, json.Unmarshal([]byte(setting.value), &want))
	return reflect.DeepEqual(want, get(got, steps(where)))
}

func TestZeroSettingsOfASwarmAreKept(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := swarm.SwarmSpec{Orchestration: swarm.OrchestrationConfig{TaskHistoryRetentionLimit: new(int64(0))}}
		_, err := client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: e.Addr, Spec: spec})
		require.NoError(t, err)
		limit := func() *int64 {
			cluster, err := client.Swarm.Inspect(t.Context())
			require.NoError(t, err)
			return cluster.Spec.Orchestration.TaskHistoryRetentionLimit
		}
		assert.Equal(t, new(int64(0)), limit())
		for _, n := range []int64{-1, 7, 0} {
			err := client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
				c.Spec.Orchestration.TaskHistoryRetentionLimit = new(n)
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, new(n), limit())
		}
	})
}

func TestLocalStateIsInactiveOutsideASwarm(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		local, err := client.Swarm.LocalState(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.LocalInactive, local.LocalNodeState)
		assert.False(t, local.ControlAvailable)

		_, err = client.Swarm.Inspect(t.Context())
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		_, err = client.Swarm.UnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrNoSwarm)
		assert.ErrorIs(t, client.Swarm.Leave(t.Context(), nil), swarm.ErrNoSwarm)
		assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), "SWMKEY-1-x"), swarm.ErrNoSwarm)
		assert.ErrorIs(t, client.Swarm.Join(t.Context(), "no token", []string{"10.99.0.1"}, nil), swarm.ErrInvalid)
		_, err = client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: "0.0.0.0"})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
	})
}

func TestJoinThatReachesNobodyGoesOnAndFails(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		err := client.Swarm.Join(t.Context(), someToken, []string{"10.99.0.99"}, nil)
		require.ErrorIs(t, err, swarm.ErrInProgress)
		local, err := client.Swarm.LocalState(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.LocalPending, local.LocalNodeState)
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			local, err := client.Swarm.LocalState(t.Context())
			assert.NoError(c, err)
			assert.Equal(c, swarm.LocalError, local.LocalNodeState)
			assert.Contains(c, local.Error, "10.99.0.99")
		}, time.Minute, 100*time.Millisecond)
		require.NoError(t, client.Swarm.Leave(t.Context(), &swarm.LeaveOptions{Force: true}))
		_, err = client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: e.Addr})
		require.NoError(t, err)
	})
}

// someToken is one of a swarm that is gone.
const someToken = "SWMTKN-1-68luuwdk5dwwy2a3ejzg5c9mfwa0l4jzceo8bvczgyxlc19i3t-05z8e3dav9voazu6r62b8i80c"

func TestLockedManagerWorksWithItsKeyAlone(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		_, err := client.Swarm.UnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		_, err = client.Swarm.RotateUnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), "SWMKEY-1-x"), swarm.ErrNotLocked)

		key, err := client.Swarm.AutoLock(t.Context(), true)
		require.NoError(t, err)
		assert.Regexp(t, `^SWMKEY-1-`, key)
		again, err := client.Swarm.UnlockKey(t.Context())
		require.NoError(t, err)
		assert.Equal(t, key, again)

		restartLocked(t, e, client)
		_, err = client.Services.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrLocked)
		_, err = client.Swarm.Inspect(t.Context())
		assert.ErrorIs(t, err, swarm.ErrLocked)
		assert.ErrorIs(t, client.Swarm.Leave(t.Context(), nil), swarm.ErrLocked)
		assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), "no key"), swarm.ErrInvalidUnlockKey)
		assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), wrongKey), swarm.ErrInvalidUnlockKey)
		require.NoError(t, client.Swarm.Unlock(t.Context(), key))
		_, err = client.Swarm.Inspect(t.Context())
		require.NoError(t, err, "it works when Unlock has returned")
		assert.ErrorIs(t, client.Swarm.Unlock(t.Context(), key), swarm.ErrNotLocked)

		rotated, err := client.Swarm.RotateUnlockKey(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, key, rotated)
		restartLocked(t, e, client)
		require.NoError(t, unlockWithEither(t, client, rotated, key))

		none, err := client.Swarm.AutoLock(t.Context(), false)
		require.NoError(t, err)
		assert.Empty(t, none)
		_, err = client.Swarm.UnlockKey(t.Context())
		assert.ErrorIs(t, err, swarm.ErrNotFound)
	})
}

// unlockWithEither tries the key that was rotated to, then the one before: a
// manager that restarts at once may not have written down the new one.
func unlockWithEither(t *testing.T, client *swarm.Client, keys ...string) error {
	t.Helper()
	var err error
	for _, key := range keys {
		if err = client.Swarm.Unlock(t.Context(), key); err == nil {
			return nil
		}
		assert.ErrorIs(t, err, swarm.ErrInvalidUnlockKey)
	}
	return err
}

// root is a root of trust outside of any swarm.
type root struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	signed      atomic.Int32 // certificates of nodes
}

func makeRoot(t *testing.T) *root {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &root{certificate: certificate, key: key}
}

func (r *root) pem(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := x509.MarshalECPrivateKey(r.key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.certificate.Raw})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
}

// sign makes a certificate that clients and servers are believed with.
func (r *root) sign(subject pkix.Name, names []string, key any) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	return x509.CreateCertificate(rand.Reader, template, r.certificate, key, r.key)
}

// ServeHTTP signs as an external authority does, in the protocol of cfssl.
func (r *root) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var asked struct {
		Hosts   []string
		Request string `json:"certificate_request"`
		Subject struct {
			CN    string
			Names []struct{ O, OU string }
		}
	}
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	subject := pkix.Name{CommonName: asked.Subject.CN}
	for _, name := range asked.Subject.Names {
		subject.Organization, subject.OrganizationalUnit = append(subject.Organization, name.O), append(subject.OrganizationalUnit, name.OU)
	}
	block, _ := pem.Decode([]byte(asked.Request))
	if block == nil {
		http.Error(w, "no request", http.StatusBadRequest)
		return
	}
	signing, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	der, err := r.sign(subject, asked.Hosts, signing.PublicKey)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.signed.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true,
		"result": map[string]any{"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}})
}

// serve answers inside the engine's network until the test ends.
func (r *root) serve(t *testing.T, e *engines.Engine, address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := r.sign(pkix.Name{CommonName: "authority"}, nil, key.Public())
	require.NoError(t, err)
	listener, err := e.Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: r, TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}}
	go server.ServeTLS(listener, "", "")
	t.Cleanup(func() { server.Close() })
}

func TestExternalAuthorityTakesTheSwarmOver(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		authority := makeRoot(t)
		authority.serve(t, e, "127.0.0.1:8888")
		certificate, _ := authority.pem(t)
		require.NoError(t, client.Swarm.RotateCA(t.Context(), &swarm.CAOptions{SigningCACert: certificate,
			ExternalCAs: []swarm.ExternalCA{{Protocol: "cfssl", URL: "https://127.0.0.1:8888/sign", Options: map[string]string{"a": "b"}}}}))
		require.NoError(t, client.Swarm.WaitCA(t.Context()))
		cluster, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, certificate, cluster.TLSInfo.TrustRoot)
		assert.Equal(t, []swarm.ExternalCA{{Protocol: "cfssl", URL: "https://127.0.0.1:8888/sign", Options: map[string]string{"a": "b"}, CACert: certificate}},
			cluster.Spec.CAConfig.ExternalCAs)
		assert.Positive(t, authority.signed.Load())
	})
}

// wrongKey has the form of an unlock key.
const wrongKey = "SWMKEY-1-BbOdSSrzEBAdW6hcy5J7xnH9F1YbIkr+EiydDYMix/I"

func restartLocked(t *testing.T, e *engines.Engine, client *swarm.Client) {
	t.Helper()
	require.NoError(t, e.Restart(t.Context()))
	local, err := client.Swarm.LocalState(t.Context())
	require.NoError(t, err)
	require.Equal(t, swarm.LocalLocked, local.LocalNodeState)
	assert.False(t, local.ControlAvailable)
}

func TestMembershipEndsAndBeginsAgain(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		_, err := client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: e.Addr})
		require.NoError(t, err)
		first, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)

		assert.ErrorIs(t, client.Swarm.Leave(t.Context(), nil), swarm.ErrInvalid)
		require.NoError(t, client.Swarm.Leave(t.Context(), &swarm.LeaveOptions{Force: true}))
		local, err := client.Swarm.LocalState(t.Context())
		require.NoError(t, err)
		assert.Equal(t, swarm.LocalInactive, local.LocalNodeState)

		eventually(t, func(c *assert.CollectT) { // the port may still be in use
			_, err := client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: e.Addr})
			assert.NoError(c, err)
		})
		second, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, first.ID, second.ID)
		assert.NotEqual(t, first.JoinTokens.Worker, second.JoinTokens.Worker)

		err = client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
			c.Spec.Labels = map[string]string{"kept": "yes"}
			return nil
		})
		require.NoError(t, err)
		eventually(t, func(c *assert.CollectT) {
			_, err := client.Swarm.Init(t.Context(), &swarm.InitOptions{AdvertiseAddr: e.Addr, ForceNewCluster: true})
			assert.NoError(c, err)
		})
		third, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, second.ID, third.ID)
		assert.Equal(t, map[string]string{"kept": "yes"}, third.Spec.Labels)
	})
}

func TestChangesOfASwarmAreGuardedByItsVersion(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		stale, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		label := func(c *swarm.Cluster) error {
			c.Spec.Labels = map[string]string{"by": "one"}
			return nil
		}
		require.NoError(t, client.Swarm.Modify(t.Context(), label))
		cluster, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		require.NoError(t, client.Swarm.Modify(t.Context(), label))
		again, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, cluster.Version, again.Version, "it was so already, nothing was sent")

		stale.Spec.Labels = map[string]string{"by": "another"}
		err = client.Swarm.Update(t.Context(), stale)
		assert.ErrorIs(t, err, swarm.ErrVersionConflict)

		cluster.Spec.Name = "other"
		err = client.Swarm.Update(t.Context(), cluster)
		assert.ErrorIs(t, err, swarm.ErrInvalid, "engines know one name")
		want := stale.Spec
		want.Labels = map[string]string{"by": "one"}
		cluster, err = client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, cluster.Spec, "nothing else has changed")
		want.Labels = map[string]string{"only": "this"}
		cluster.Spec = want
		require.NoError(t, client.Swarm.Update(t.Context(), cluster))
		cluster, err = client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, cluster.Spec, "a label that is not named is gone")
	})
}

func TestRotatedRootTakesTheSwarmOver(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		before, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		require.NoError(t, client.Swarm.WaitCA(t.Context()), "there is nothing to wait for")

		require.NoError(t, client.Swarm.RotateCA(t.Context(), &swarm.CAOptions{NodeCertExpiry: 24 * time.Hour}))
		require.NoError(t, client.Swarm.WaitCA(t.Context()))
		after, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.NotEqual(t, before.TLSInfo.TrustRoot, after.TLSInfo.TrustRoot)
		assert.NotEqual(t, before.JoinTokens, after.JoinTokens)
		assert.Equal(t, 24*time.Hour, after.Spec.CAConfig.NodeCertExpiry)
		assert.False(t, after.RootRotationInProgress)

		cert, key := makeRoot(t).pem(t)
		require.NoError(t, client.Swarm.RotateCA(t.Context(), &swarm.CAOptions{SigningCACert: cert, SigningCAKey: key}))
		require.NoError(t, client.Swarm.WaitCA(t.Context()))
		own, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, cert, own.TLSInfo.TrustRoot)
		assert.Empty(t, own.Spec.CAConfig.SigningCACert, "engines never send it back")
		assert.Empty(t, own.Spec.CAConfig.SigningCAKey, "nor its key")

		err = client.Swarm.Modify(t.Context(), func(c *swarm.Cluster) error {
			c.Spec.Labels = map[string]string{"a": "b"}
			return nil
		})
		require.NoError(t, err)
		changed, err := client.Swarm.Inspect(t.Context())
		require.NoError(t, err)
		assert.Equal(t, cert, changed.TLSInfo.TrustRoot, "another change leaves the root alone")
		assert.False(t, changed.RootRotationInProgress)
	})
}
