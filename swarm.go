package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// SwarmClient makes, joins, changes and leaves swarms. Init, Join, Leave, Unlock
// and LocalState are about the engine that is asked; everything else is about
// the swarm, and answered by managers alone.
type SwarmClient struct{ client *Client }

// LocalNodeState is what an engine has to do with a swarm.
type LocalNodeState string

// The states of an engine.
const (
	// LocalInactive: the engine is in no swarm.
	LocalInactive LocalNodeState = "inactive"
	// LocalPending: the engine is joining, or starting after a restart.
	LocalPending LocalNodeState = "pending"
	// LocalActive: the engine is in a swarm.
	LocalActive LocalNodeState = "active"
	// LocalError: the engine is in a swarm but cannot work; its Error says why.
	LocalError LocalNodeState = "error"
	// LocalLocked: the engine is a manager that waits for its unlock key.
	LocalLocked LocalNodeState = "locked"
)

// RemoteManager is a manager as other nodes know it.
type RemoteManager struct {
	// NodeID is the manager's ID as a node.
	NodeID string
	// Addr is where it takes joins: "10.0.0.1:2377".
	Addr string
}

// LocalState tells whether the engine is in a swarm, and as what. It needs no
// swarm and no leader, but without a leader a manager may take 20 seconds for
// the answer.
//
// Engine endpoint: GET /info
func (s *SwarmClient) LocalState(ctx context.Context) (*SwarmInfo, error) {
	return s.localState(ctx, "read swarm state")
}

func (s *SwarmClient) localState(ctx context.Context, op string) (*SwarmInfo, error) {
	var info struct{ Swarm SwarmInfo }
	call := &call{op: op, method: http.MethodGet, to: to("/info"), repeat: repeatRead}
	if err := s.client.do(ctx, call, &info); err != nil {
		return nil, err
	}
	return &info.Swarm, nil
}

// InitOptions are what a swarm can be made with.
type InitOptions struct {
	// ListenAddr is where the manager takes connections of other nodes: an
	// address or a network interface, with or without a port. Empty means
	// 0.0.0.0:2377.
	ListenAddr string
	// AdvertiseAddr is where other nodes reach the manager: an address or a
	// network interface, with or without a port. Empty lets the engine choose,
	// which it refuses if it has several addresses.
	AdvertiseAddr string `json:",omitzero"`
	// DataPathAddr is the address or network interface for the traffic of overlay
	// networks. Empty means AdvertiseAddr. Needs API 1.30.
	DataPathAddr string `json:",omitzero"`
	// DataPathPort is the UDP port for the traffic of overlay networks, on all
	// nodes: 1024 to 49151. Zero means 4789. Needs API 1.40.
	DataPathPort uint32 `json:",omitzero"`
	// DefaultAddrPool are the address ranges that overlay networks get their
	// subnets from. Empty means 10.0.0.0/8. Needs API 1.39.
	DefaultAddrPool []netip.Prefix `json:",omitzero"`
	// SubnetSize is the length of the prefix of those subnets. Zero means 24.
	// Needs API 1.39.
	SubnetSize uint32 `json:",omitzero"`
	// ForceNewCluster makes a new swarm of one manager out of the state of an old
	// one that has lost its majority for good. Services, networks and secrets
	// stay.
	ForceNewCluster bool `json:",omitzero"`
	// Spec is how the swarm is set up; what is zero is left to the engine.
	Spec SwarmSpec
	// AutoLockManagers makes managers ask for a key after each restart:
	// [SwarmClient.UnlockKey] reads it. It is the same as setting it in the Spec;
	// either will do. Needs API 1.25.
	AutoLockManagers bool `json:",omitzero"`
	// Availability of the manager for tasks; empty means active. Needs API 1.28.
	Availability NodeAvailability `json:",omitzero"`
}

// LogValue keeps secrets out of logs.
func (o InitOptions) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", o)) }

// defaultListenAddr is where the docker command lets managers listen.
const defaultListenAddr = "0.0.0.0:2377"

// Init makes the engine the first manager of a new swarm and returns its ID as a
// node. An engine in a swarm is [ErrAlreadyInSwarm]. If the answer is lost the
// error is an [*OutcomeUnknownError]: LocalState tells what has become of it.
//
// Engine endpoint: POST /swarm/init
func (s *SwarmClient) Init(ctx context.Context, opts *InitOptions) (nodeID string, err error) {
	const op = "init swarm"
	body := InitOptions{}
	if opts != nil {
		body = *opts
	}
	if body.ListenAddr == "" {
		body.ListenAddr = defaultListenAddr
	}
	// Engines take each of them as the last word about the other.
	autolock := body.AutoLockManagers || body.Spec.EncryptionConfig.AutoLockManagers
	body.AutoLockManagers, body.Spec.EncryptionConfig.AutoLockManagers = autolock, autolock
	tree, err := toTree(body)
	if err != nil {
		return "", &Error{Op: op, Err: err, kind: ErrInvalid}
	}
	call := &call{op: op, method: http.MethodPost, to: to("/swarm/init"), encode: encoder("InitOptions", tree)}
	if !body.ForceNewCluster { // which begins and ends as a manager
		call.look = s.lookAtLocal(op, entering)
	}
	err = s.client.do(ctx, call, &nodeID)
	return nodeID, err
}

// JoinOptions are what an engine can join a swarm with.
type JoinOptions struct {
	// ListenAddr is where the engine takes connections of other nodes, should it
	// be a manager: an address or a network interface, with or without a port.
	// Empty means 0.0.0.0:2377.
	ListenAddr string
	// AdvertiseAddr is where other nodes reach the engine: an address or a network
	// interface, with or without a port. Empty lets the engine choose.
	AdvertiseAddr string `json:",omitzero"`
	// DataPathAddr is the address or network interface for the traffic of overlay
	// networks. Empty means AdvertiseAddr. Needs API 1.30.
	DataPathAddr string `json:",omitzero"`
	// Availability of the node for tasks; empty means active. Needs API 1.28.
	Availability NodeAvailability `json:",omitzero"`
	// Wait goes on when the engine has stopped waiting itself, after 20 seconds,
	// until it is in the swarm or has failed.
	Wait bool `json:"-"`
}

// Join makes the engine a node of a swarm: token is that for workers or that for
// managers, managers are addresses of managers, with or without a port. It
// returns when the engine is a node.
//
// An engine in a swarm is [ErrAlreadyInSwarm]; a token that is none, or is no
// longer valid, [ErrInvalid]. If joining takes longer than the engine waits, 20
// seconds, the error is [ErrInProgress], and LocalState tells what becomes of
// it; with the Wait option Join looks at that itself, and what has failed in the
// end is [ErrUnavailable]. An engine that has failed so late stays in the state
// error, and takes another join only after Leave with Force. If the answer is
// lost the error is an [*OutcomeUnknownError].
//
// Of several managers the engine may try but one: name those that are there.
//
// Engine endpoints: POST /swarm/join, GET /info
func (s *SwarmClient) Join(ctx context.Context, token string, managers []string, opts *JoinOptions) error {
	const op = "join swarm"
	body := JoinOptions{}
	if opts != nil {
		body = *opts
	}
	if body.ListenAddr == "" {
		body.ListenAddr = defaultListenAddr
	}
	if token == "" || len(managers) == 0 {
		return invalid(op, "", "a token and the address of a manager are needed")
	}
	call := &call{op: op, method: http.MethodPost, to: to("/swarm/join"), look: s.lookAtLocal(op, entering),
		encode: func(agreed negotiation) (version, []byte, error) { return encodeJoin(token, managers, body, agreed) }}
	err := s.client.do(ctx, call, nil)
	if !errors.Is(err, ErrInProgress) {
		return err
	}
	var lost *OutcomeUnknownError
	if errors.As(err, &lost) {
		err = lost.Err // the outcome is that it goes on
	}
	if !body.Wait {
		return err
	}
	return s.waitActive(ctx)
}

// encodeJoin adds what is no option.
func encodeJoin(token string, managers []string, opts JoinOptions, agreed negotiation) (version, []byte, error) {
	body, err := toTree(opts)
	if err != nil {
		return version{}, nil, err
	}
	if err := checkFields("JoinOptions", body, agreed.use); err != nil {
		return version{}, nil, err
	}
	rest, err := toTree(struct {
		RemoteAddrs []string
		JoinToken   string
	}{managers, token})
	for _, m := range rest.Members {
		body = body.With(m.Name, m.Value)
	}
	return agreed.use, body.Append(nil), err
}

// pollInterval is the time between two looks at something that is waited for.
const pollInterval = 200 * time.Millisecond

// waitActive waits until the engine is a node, or will not be one.
func (s *SwarmClient) waitActive(ctx context.Context) error {
	const op = "wait for join"
	for {
		state, err := s.localState(ctx, op)
		if err != nil {
			return err
		}
		switch state.LocalNodeState {
		case LocalActive:
			return nil
		case LocalPending:
		case LocalLocked:
			return &Error{Op: op, kind: ErrLocked}
		default:
			return &Error{Op: op, Message: fmt.Sprintf("the engine is %s: %s", printable(string(state.LocalNodeState)), printable(state.Error)), kind: ErrUnavailable}
		}
		if err := pause(ctx, pollInterval); err != nil {
			return &Error{Op: op, Message: "still joining", Err: err, kind: ErrInProgress}
		}
	}
}

// LeaveOptions are how an engine leaves its swarm.
type LeaveOptions struct {
	// Force lets a manager leave, also if the swarm loses its majority by that, or
	// is lost with its last manager. Workers need no force.
	Force bool
}

// Leave takes the engine out of its swarm, with all tasks it runs. A manager is
// refused without the Force option, [ErrInvalid]: demote it first. The other
// nodes go on listing it until it is removed. An engine in no swarm is
// [ErrNoSwarm]. If the answer is lost, or the engine fails to clear up after it
// has left, the error is an [*OutcomeUnknownError], and LocalState tells.
//
// Engine endpoint: POST /swarm/leave
func (s *SwarmClient) Leave(ctx context.Context, opts *LeaveOptions) error {
	const op = "leave swarm"
	call := &call{op: op, method: http.MethodPost, to: to("/swarm/leave"), look: s.lookAtLocal(op, leaving)}
	if opts != nil && opts.Force {
		call.query = url.Values{"force": {"true"}}
	}
	return s.client.do(ctx, call, nil)
}

// Inspect reads the swarm.
//
// Engine endpoint: GET /swarm
func (s *SwarmClient) Inspect(ctx context.Context) (*Cluster, error) {
	return s.inspect(ctx, "inspect swarm")
}

func (s *SwarmClient) inspect(ctx context.Context, op string) (*Cluster, error) {
	cluster := new(Cluster)
	err := s.client.fetch(ctx, &call{op: op, method: http.MethodGet, to: to("/swarm"), repeat: repeatRead}, func(body json.RawMessage) error {
		if err := wire.Unmarshal(body, cluster); err != nil {
			return err
		}
		cluster.Raw = body
		return requireID(cluster.ID)
	})
	if err != nil {
		return nil, err
	}
	return cluster, nil
}

// Update writes back a swarm that was read and whose Spec was then changed. What
// differs from what was read is applied to the engine's own JSON, so that fields
// unknown to this library stay as they are. If nothing differs nothing is sent.
//
// If anybody changed the swarm since it was read the error is
// [ErrVersionConflict]: read it again. A field newer than the engine is a
// [*VersionError]. If the answer is lost, for all repetitions, the error is an
// [*OutcomeUnknownError].
//
// Engine endpoint: POST /swarm/update
func (s *SwarmClient) Update(ctx context.Context, cluster *Cluster) error {
	const op = "update swarm"
	if cluster == nil || len(cluster.Raw) == 0 {
		return invalid(op, "", "it has no Raw: only a swarm that was read can be written back without loss")
	}
	current, spec, err := changedSpec(cluster.Raw, cluster.Spec)
	if err != nil {
		return &Error{Op: op, Err: err, kind: ErrInvalid}
	}
	if spec.Equal(current) {
		return nil
	}
	return s.post(ctx, op, cluster, spec, url.Values{})
}

// post sends a spec for the version of the swarm that was read. The version lets
// it happen once, however often it is sent.
func (s *SwarmClient) post(ctx context.Context, op string, cluster *Cluster, spec wire.Node, query url.Values) error {
	query.Set("version", strconv.FormatUint(cluster.Version.Index, 10))
	_, err := settle(ctx, s.client.do(ctx, &call{op: op, method: http.MethodPost, to: to("/swarm/update"), query: query,
		repeat: repeatGuarded, encode: encoder("SwarmSpec", spec), look: s.lookAtPost(op, cluster, spec, query)}, nil))
	return err
}

// Modify calls change with the swarm as it is, which may then change its Spec,
// and writes the result back. If somebody else wrote the swarm in between it
// reads it and calls change again, until ctx is done: change may run more than
// once and must not rely on what it did before. If change changes nothing,
// nothing is sent; an error of change ends it and is returned as it is. See
// [SwarmClient.Update] for the other errors.
//
// Engine endpoints: GET /swarm, POST /swarm/update
func (s *SwarmClient) Modify(ctx context.Context, change func(*Cluster) error) error {
	return s.client.modify(ctx, func(ctx context.Context) error {
		cluster, err := s.inspect(ctx, "modify swarm")
		if err != nil {
			return err
		}
		if err := change(cluster); err != nil {
			return callersError{err}
		}
		return s.Update(ctx, cluster)
	})
}

// JoinTokens reads what engines join the swarm with.
//
// Engine endpoint: GET /swarm
func (s *SwarmClient) JoinTokens(ctx context.Context) (JoinTokens, error) {
	cluster, err := s.inspect(ctx, "read join tokens")
	if err != nil {
		return JoinTokens{}, err
	}
	return cluster.JoinTokens, nil
}

// JoinCommand is what to type at another engine to make it join in a role: a
// docker command with the token and the address of the manager that is asked.
//
// Engine endpoints: GET /swarm, GET /info
func (s *SwarmClient) JoinCommand(ctx context.Context, role NodeRole) (string, error) {
	const op = "make join command"
	if role != RoleWorker && role != RoleManager {
		return "", invalid(op, "", "unknown role %q", role)
	}
	tokens, err := s.JoinTokens(ctx)
	if err != nil {
		return "", err
	}
	local, err := s.localState(ctx, op)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(local.RemoteManagers, func(m RemoteManager) bool { return m.NodeID == local.NodeID })
	if at < 0 {
		return "", &Error{Op: op, Message: "the engine does not know its own address as a manager", kind: ErrUnavailable}
	}
	token := tokens.Worker
	if role == RoleManager {
		token = tokens.Manager
	}
	return fmt.Sprintf("docker swarm join --token %s %s", token, local.RemoteManagers[at].Addr), nil
}

// RotateJoinTokens makes new join tokens for the roles, for both if none is
// named, and returns the tokens there are then. The old ones are refused from
// then on; nodes that have joined stay.
//
// Engine endpoints: GET /swarm, POST /swarm/update
func (s *SwarmClient) RotateJoinTokens(ctx context.Context, roles ...NodeRole) (JoinTokens, error) {
	const op = "rotate join tokens"
	if len(roles) == 0 {
		roles = []NodeRole{RoleWorker, RoleManager}
	}
	query := url.Values{}
	for _, role := range roles {
		switch role {
		case RoleWorker:
			query.Set("rotateWorkerToken", "true")
		case RoleManager:
			query.Set("rotateManagerToken", "true")
		default:
			return JoinTokens{}, invalid(op, "", "unknown role %q", role)
		}
	}
	if err := s.rotate(ctx, op, query, nil); err != nil {
		return JoinTokens{}, err
	}
	cluster, err := s.inspect(ctx, "read join tokens after rotating them")
	if err != nil {
		return JoinTokens{}, err
	}
	return cluster.JoinTokens, nil
}

// rotate posts the spec of the swarm as it is, with a query that makes new
// tokens or keys. check may refuse.
func (s *SwarmClient) rotate(ctx context.Context, op string, query url.Values, check func(*Cluster) error) error {
	return s.client.modify(ctx, func(ctx context.Context) error {
		cluster, err := s.inspect(ctx, op)
		if err != nil {
			return err
		}
		if check != nil {
			if err := check(cluster); err != nil {
				return err
			}
		}
		spec, _, err := changedSpec(cluster.Raw, cluster.Spec)
		if err != nil {
			return &Error{Op: op, Err: err, kind: ErrProtocol}
		}
		return s.post(ctx, op, cluster, spec, query)
	})
}

// AutoLock says whether managers ask for a key after each restart. Turning it on
// returns the key, which is needed then and kept nowhere but on the managers
// that run; turning it off returns none.
//
// Engine endpoints: GET /swarm, POST /swarm/update, GET /swarm/unlockkey
func (s *SwarmClient) AutoLock(ctx context.Context, on bool) (key string, err error) {
	err = s.Modify(ctx, func(c *Cluster) error {
		c.Spec.EncryptionConfig.AutoLockManagers = on
		return nil
	})
	if err != nil || !on {
		return "", err
	}
	return s.unlockKey(ctx, "read unlock key after turning autolock on")
}

// UnlockKey reads the key that managers ask for after a restart. If they do not
// ask for one, because autolock is off, the error is [ErrNotFound].
//
// Engine endpoint: GET /swarm/unlockkey
func (s *SwarmClient) UnlockKey(ctx context.Context) (string, error) {
	return s.unlockKey(ctx, "read unlock key")
}

func (s *SwarmClient) unlockKey(ctx context.Context, op string) (string, error) {
	var answer struct{ UnlockKey string }
	if err := s.client.do(ctx, &call{op: op, method: http.MethodGet, to: to("/swarm/unlockkey"), repeat: repeatRead}, &answer); err != nil {
		return "", err
	}
	if answer.UnlockKey == "" {
		return "", &Error{Op: op, Message: "autolock is off, there is no key", kind: ErrNotFound}
	}
	return answer.UnlockKey, nil
}

// RotateUnlockKey makes a new unlock key and returns it. Keep the old one for a
// while: a manager that is down at that moment still asks for it. With autolock
// off the error is [ErrInvalid].
//
// Engine endpoints: GET /swarm, POST /swarm/update, GET /swarm/unlockkey
func (s *SwarmClient) RotateUnlockKey(ctx context.Context) (string, error) {
	const op = "rotate unlock key"
	err := s.rotate(ctx, op, url.Values{"rotateManagerUnlockKey": {"true"}}, func(c *Cluster) error {
		if !c.Spec.EncryptionConfig.AutoLockManagers {
			return invalid(op, "", "autolock is off, there is no key")
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return s.unlockKey(ctx, "read unlock key after rotating it")
}

// Unlock gives a manager that was restarted its key, and returns when it works
// again. A wrong key is [ErrInvalidUnlockKey], an engine that does not wait for
// one [ErrNotLocked] or [ErrNoSwarm].
//
// Engine endpoint: POST /swarm/unlock
func (s *SwarmClient) Unlock(ctx context.Context, key string) error {
	const op = "unlock swarm"
	body, err := toTree(struct{ UnlockKey string }{key})
	if err != nil {
		return invalid(op, "", "the key is no text")
	}
	return s.client.do(ctx, &call{op: op, method: http.MethodPost, to: to("/swarm/unlock"), look: s.lookAtLocal(op, unlocking),
		encode: func(agreed negotiation) (version, []byte, error) { return agreed.use, body.Append(nil), nil }}, nil)
}

// CAOptions say what the new root of trust shall be. Without any the swarm makes
// one.
type CAOptions struct {
	// SigningCACert is the PEM certificate of the new root. Together with its key,
	// or with ExternalCAs that sign with it.
	SigningCACert string
	// SigningCAKey is the PEM key of SigningCACert.
	SigningCAKey string
	// ExternalCAs take the place of those there are. An empty CACert means
	// SigningCACert.
	ExternalCAs []ExternalCA
	// NodeCertExpiry is how long the certificates of nodes are good for from now
	// on. Zero leaves it as it is.
	NodeCertExpiry time.Duration
}

// Format prints everything but the key, whatever the verb.
func (o CAOptions) Format(f fmt.State, verb rune) {
	type fields CAOptions
	o.SigningCAKey = redact(o.SigningCAKey)
	fmt.Fprintf(f, fmt.FormatString(f, verb), fields(o))
}

// LogValue keeps the key out of logs.
func (o CAOptions) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", o)) }

func (o *CAOptions) validate() error {
	switch {
	case o.SigningCAKey != "" && o.SigningCACert == "":
		return errors.New("the key needs the certificate of the new root")
	case o.SigningCACert != "" && o.SigningCAKey == "" && len(o.ExternalCAs) == 0:
		return errors.New("the certificate of the new root needs its key, or external authorities that have it")
	case o.SigningCACert == "" && len(o.ExternalCAs) > 0:
		return errors.New("external authorities need the certificate of the new root that they sign with")
	}
	return nil
}

// apply puts the options into a spec.
func (o *CAOptions) apply(ca *CAConfig) {
	ca.SigningCACert, ca.SigningCAKey = o.SigningCACert, o.SigningCAKey
	if o.SigningCACert == "" {
		ca.ForceRotate++
	}
	if o.NodeCertExpiry != 0 {
		ca.NodeCertExpiry = o.NodeCertExpiry
	}
	if len(o.ExternalCAs) == 0 {
		return
	}
	ca.ExternalCAs = slices.Clone(o.ExternalCAs)
	for i := range ca.ExternalCAs {
		if ca.ExternalCAs[i].CACert == "" {
			ca.ExternalCAs[i].CACert = o.SigningCACert
		}
	}
}

// RotateCA makes the swarm replace its root of trust, by one of its own making
// if opts is nil. It returns when that has begun; [SwarmClient.WaitCA] waits for
// its end. Join tokens of before are refused from then on, because they name the
// root.
//
// Engine endpoints: GET /swarm, POST /swarm/update
func (s *SwarmClient) RotateCA(ctx context.Context, opts *CAOptions) error {
	if opts == nil {
		opts = &CAOptions{}
	}
	if err := opts.validate(); err != nil {
		return invalid("rotate CA", "", "%v", err)
	}
	return s.Modify(ctx, func(c *Cluster) error {
		opts.apply(&c.Spec.CAConfig)
		return nil
	})
}

// WaitCA waits until no rotation of the root is in progress, and each node has a
// certificate of it and trusts no other. A node that is down keeps it waiting,
// until it comes back or is removed; so does a swarm that has no leader. When
// ctx is done, the error says which nodes lag behind.
//
// Engine endpoints: GET /swarm, GET /nodes
func (s *SwarmClient) WaitCA(ctx context.Context) error {
	const op = "wait for CA rotation"
	lag := "nothing is known yet"
	for {
		now, err := s.caLag(ctx, op)
		switch {
		case err == nil && now == "":
			return nil
		case err == nil:
			lag = now
		case ctx.Err() == nil && !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrUnavailable):
			return err
		}
		if err := pause(ctx, pollInterval); err != nil {
			return &Error{Op: op, Message: lag, Err: err, kind: ErrInProgress}
		}
	}
}

// caLag says what a rotation of the root waits for; nothing if it is over. While
// it is in progress nodes get certificates of the new root, and trust both;
// after that they are told to trust the new one alone.
func (s *SwarmClient) caLag(ctx context.Context, op string) (string, error) {
	cluster, err := s.inspect(ctx, op)
	if err != nil {
		return "", err
	}
	nodes, err := s.client.Nodes.List(ctx, nil)
	if err != nil {
		return "", err
	}
	behind := []string{}
	for _, node := range nodes {
		if status := node.TLSStatus(cluster.TLSInfo); status == TLSNeedsRotation || status == TLSUnknown && !cluster.TLSInfo.isEmpty() {
			behind = append(behind, fmt.Sprintf("%s (%s)", node.ID, node.Description.Hostname))
		}
	}
	switch {
	case len(behind) > 0:
		return printable(clip(fmt.Sprintf("%d of %d nodes lag behind: %v", len(behind), len(nodes), behind), 1024)), nil
	case cluster.RootRotationInProgress:
		return "the managers have not ended it yet", nil
	}
	return "", nil
}
