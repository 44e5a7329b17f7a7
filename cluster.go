package swarm

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// Cluster is the swarm as its managers know it. Whatever prints one prints
// neither its join tokens nor a key; JSON has them.
type Cluster struct {
	// ID is the swarm's ID: 25 characters, given by the engine.
	ID string
	// Version is the state of the swarm that was read.
	Version Version
	// CreatedAt is when the swarm was made.
	CreatedAt time.Time
	// UpdatedAt is when the swarm last changed, by whomever.
	UpdatedAt time.Time
	// Spec is how the swarm is set up.
	Spec SwarmSpec
	// TLSInfo is the root of trust that nodes have, or get while a rotation is in
	// progress. There since API 1.30.
	TLSInfo TLSInfo
	// RootRotationInProgress tells that the root of trust is being replaced:
	// [SwarmClient.WaitCA] waits for the end of that. There since API 1.30.
	RootRotationInProgress bool
	// DefaultAddrPool are the address ranges, in CIDR form, that overlay networks
	// get their subnets from: "10.0.0.0/8". There since API 1.39.
	DefaultAddrPool []string `json:",omitzero"`
	// SubnetSize is the length of the prefix of those subnets: 24 means 256
	// addresses each. There since API 1.39.
	SubnetSize uint32
	// DataPathPort is the UDP port of the traffic of overlay networks. There since
	// API 1.40.
	DataPathPort uint32
	// JoinTokens are what engines join this swarm with. Empty in [SwarmInfo].
	JoinTokens JoinTokens `json:",omitzero"`
	// Raw is the engine's JSON as received, join tokens included. Updates apply
	// their differences to it, so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
}

// Format prints everything but secrets, whatever the verb.
func (c Cluster) Format(f fmt.State, verb rune) {
	type fields Cluster
	c.Raw = nil
	fmt.Fprintf(f, fmt.FormatString(f, verb), fields(c))
}

// LogValue keeps secrets out of logs.
func (c Cluster) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", c)) }

// SwarmSpec is how a swarm is set up.
type SwarmSpec struct {
	// Name is the swarm's name. Engines accept "default" alone.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the swarm.
	Labels map[string]string `json:",omitzero"`
	// Orchestration says how much the swarm remembers of the past.
	Orchestration OrchestrationConfig
	// Raft says how managers keep their common log.
	Raft RaftConfig
	// Dispatcher says how managers watch over nodes.
	Dispatcher DispatcherConfig
	// CAConfig says where the certificates of nodes come from.
	CAConfig CAConfig
	// TaskDefaults apply to services that say nothing themselves.
	TaskDefaults TaskDefaults
	// EncryptionConfig says how managers protect what they store. Needs API 1.25.
	EncryptionConfig EncryptionConfig
}

// LogValue keeps secrets out of logs.
func (s SwarmSpec) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", s)) }

// OrchestrationConfig says how much the swarm remembers of the past.
type OrchestrationConfig struct {
	// TaskHistoryRetentionLimit is how many tasks are remembered for each slot of
	// a service, or for each node of a global one, the current one included. Nil
	// in a new swarm means 5. Zero keeps only those that are needed, a negative
	// number keeps all for ever.
	TaskHistoryRetentionLimit *int64 `json:",omitzero"`
}

// RaftConfig says how managers keep their common log.
type RaftConfig struct {
	// SnapshotInterval is how many entries are logged between two snapshots. Zero
	// in a new swarm means 10000.
	SnapshotInterval uint64 `json:",omitzero"`
	// KeepOldSnapshots is how many snapshots are kept beside the current one. Nil
	// and zero mean none.
	KeepOldSnapshots *uint64 `json:",omitzero"`
	// LogEntriesForSlowFollowers is how many entries are kept after a snapshot for
	// managers that lag behind. Zero in a new swarm means 500.
	LogEntriesForSlowFollowers uint64 `json:",omitzero"`
	// ElectionTick is after how many ticks, of a second each, without word from
	// the leader a manager calls an election. Zero in a new swarm means 10. All
	// tested engines ignore another value.
	ElectionTick int
	// HeartbeatTick is the number of ticks, of a second each, between two messages
	// of the leader. Zero in a new swarm means 1. All tested engines ignore another
	// value.
	HeartbeatTick int
}

// DispatcherConfig says how managers watch over nodes.
type DispatcherConfig struct {
	// HeartbeatPeriod is the time between two signs of life of a node; after
	// three missed ones it is down. Zero in a new swarm means 5 seconds.
	HeartbeatPeriod time.Duration `json:",omitzero"`
}

// CAConfig says where the certificates of nodes come from. Whatever prints one
// does not print its key.
type CAConfig struct {
	// NodeCertExpiry is how long the certificate of a node is good for, an hour at
	// least; nodes get new ones in time. Zero in a new swarm means 90 days.
	NodeCertExpiry time.Duration `json:",omitzero"`
	// ExternalCAs are certificate authorities that sign instead of the managers.
	ExternalCAs []ExternalCA `json:",omitzero"`
	// SigningCACert is the PEM certificate of a root that shall take the place of
	// the swarm's own: see [SwarmClient.RotateCA]. Engines never send it back.
	// Needs API 1.30.
	SigningCACert string `json:",omitzero"`
	// SigningCAKey is the PEM key of SigningCACert. Engines never send it back.
	// Needs API 1.30.
	SigningCAKey string `json:",omitzero"`
	// ForceRotate is a counter: another number makes the swarm replace its root by
	// a new one, if SigningCACert is empty. Needs API 1.30.
	ForceRotate uint64 `json:",omitzero"`
}

// Format prints everything but the key, whatever the verb.
func (c CAConfig) Format(f fmt.State, verb rune) {
	type fields CAConfig
	c.SigningCAKey = redact(c.SigningCAKey)
	fmt.Fprintf(f, fmt.FormatString(f, verb), fields(c))
}

// LogValue keeps the key out of logs.
func (c CAConfig) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", c)) }

// redact is what is printed instead of a secret.
func redact(secret string) string {
	if secret == "" {
		return ""
	}
	return "(redacted)"
}

// ExternalCA is a certificate authority outside the swarm that signs the
// certificates of its nodes.
type ExternalCA struct {
	// Protocol is how the managers talk to it: "cfssl" is the only one there is.
	Protocol string
	// URL is where it takes requests: "https://ca.example.com:8888/sign".
	URL string
	// Options are passed on to it.
	Options map[string]string `json:",omitzero"`
	// CACert is the PEM certificate of the root it signs with. Empty means the
	// current root of the swarm. Needs API 1.30.
	CACert string
}

// TaskDefaults apply to services that say nothing themselves.
type TaskDefaults struct {
	// LogDriver takes the output of tasks. Engines have no use for it: all tested
	// ones drop it and say nothing, so it is refused with a [*VersionError]. The
	// log driver of a service is set in its TaskTemplate, that of a node in the
	// engine's own configuration.
	LogDriver *Driver `json:",omitzero"`
}

// EncryptionConfig says how managers protect what they store.
type EncryptionConfig struct {
	// AutoLockManagers makes managers ask for a key after each restart; see
	// [SwarmClient.AutoLock]. Needs API 1.25.
	AutoLockManagers bool
}

// TLSInfo is a root of trust and who signs for it.
type TLSInfo struct {
	// TrustRoot is the PEM certificate of the root that certificates are checked
	// against; two of them while a root is replaced.
	TrustRoot string `json:",omitzero"`
	// CertIssuerSubject is the raw DER subject of the issuer of certificates.
	CertIssuerSubject []byte `json:",omitzero"`
	// CertIssuerPublicKey is the raw DER public key of the issuer of certificates.
	CertIssuerPublicKey []byte `json:",omitzero"`
}

// JoinTokens are what engines join a swarm with: whoever has one and reaches a
// manager gets in. Whatever prints them prints no token; JSON has them.
type JoinTokens struct {
	// Worker makes a worker.
	Worker string
	// Manager makes a manager, which can do everything, and read every secret.
	Manager string
}

// String says that there are tokens, without them.
func (t JoinTokens) String() string {
	return fmt.Sprintf("{Worker:%s Manager:%s}", redact(t.Worker), redact(t.Manager))
}

// GoString is String: %#v prints no tokens either.
func (t JoinTokens) GoString() string { return t.String() }

// Format makes every verb print what String does.
func (t JoinTokens) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue keeps tokens out of logs.
func (t JoinTokens) LogValue() slog.Value { return slog.StringValue(t.String()) }
