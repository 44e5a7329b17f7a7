package swarm

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Network is a network as the engine knows it. What of it a manager knows, and
// what only a node that runs a task on it, differs: of an overlay network that no
// task here uses, Containers and Peers are empty.
type Network struct {
	// Name is the network's name. Names of overlay networks are unique in the
	// swarm; a network of one node may have the same name.
	Name string
	// ID is the network's ID: 25 characters for a network of the swarm, 64 for
	// one of the engine alone; never used again.
	ID string `json:"Id"`
	// Created is when the network was created; for a network of the swarm that is
	// used here, when this engine began to use it. There since API 1.25.
	Created time.Time
	// Scope is where the network exists.
	Scope Scope
	// Driver is the driver of the network, "overlay". Empty while the managers
	// have not set the network up, which they may never do if they cannot.
	Driver string
	// EnableIPv4 points to whether the network has IPv4. Nil where the engine does
	// not say: then it has. There since API 1.48.
	EnableIPv4 *bool `json:",omitzero"`
	// EnableIPv6 says that the network has IPv6.
	EnableIPv6 bool
	// IPAM are the network's addresses.
	IPAM IPAM
	// Internal says that nothing outside of the network can be reached from it.
	Internal bool
	// Attachable says that containers that are no tasks may use the network. There
	// since API 1.25.
	Attachable bool
	// Ingress says that the network carries the ports published with
	// [PublishIngress]. There since API 1.29.
	Ingress bool
	// ConfigFrom names the network whose configuration this one uses. There since
	// API 1.30.
	ConfigFrom NetworkConfigSource
	// ConfigOnly says that this is only a configuration for other networks. There
	// since API 1.30.
	ConfigOnly bool
	// Containers are the endpoints on this node by container ID; those that are
	// no containers have names instead, such as "lb-web" for the load balancer of
	// an overlay network. Lists have none, except those of engines before 1.28.
	Containers map[string]EndpointResource `json:",omitzero"`
	// Options are the driver's, with those it has chosen itself.
	Options map[string]string `json:",omitzero"`
	// Labels are key-value pairs on the network. A node that carries the ingress network
	// has a copy without them, and shows that.
	Labels map[string]string `json:",omitzero"`
	// Peers are the nodes that take part in an overlay network, as this node sees
	// it. Lists have none. There since API 1.25.
	Peers []PeerInfo `json:",omitzero"`
	// Services are the services on an overlay network by name, with those tasks
	// that this node knows of. It is set by Verbose of [NetworkInspectOptions].
	// There since API 1.28.
	Services map[string]NetworkService `json:",omitzero"`
	// Status is how many addresses are used. There since API 1.52.
	Status *NetworkStatus `json:",omitzero"`
	// Raw is the engine's JSON as received.
	Raw json.RawMessage `json:"-"`
}

// Scope is where a network or volume exists, or an event happened.
type Scope string

// The scopes.
const (
	// ScopeSwarm is the whole swarm.
	ScopeSwarm Scope = "swarm"
	// ScopeLocal is one engine.
	ScopeLocal Scope = "local"
	// ScopeGlobal is every node, for drivers that spread by themselves.
	ScopeGlobal Scope = "global"
)

// EndpointResource is a container, or something like one, on a network.
type EndpointResource struct {
	// Name is the container's name.
	Name string
	// EndpointID is the ID of its end of the network.
	EndpointID string
	// MacAddress is what it sends from, "02:42:0a:00:01:04".
	MacAddress string
	// IPv4Address is its IPv4 address with the length of the network's prefix.
	IPv4Address string
	// IPv6Address is the same for IPv6.
	IPv6Address string
}

// PeerInfo is a node that takes part in an overlay network.
type PeerInfo struct {
	// Name is a name the nodes have for each other, no node ID.
	Name string
	// IP is the node's address.
	IP string
}

// NetworkService is a service on an overlay network.
type NetworkService struct {
	// VIP is the service's virtual IP, empty if it has none.
	VIP string
	// Ports are the published ports, as "Target: 80, Publish: 8080".
	Ports []string
	// LocalLBIndex is the number of the load balancer on this node.
	LocalLBIndex int
	// Tasks are the tasks of the service that this node knows of.
	Tasks []NetworkTask
}

// NetworkTask is a task on an overlay network.
type NetworkTask struct {
	// Name is the task's name with its ID, "web.1.dzrlqukjggh50ev1szf34r0ki".
	Name string
	// EndpointID is the ID of its end of the network.
	EndpointID string
	// EndpointIP is its address.
	EndpointIP string
	// Info are further things, such as the "Host IP" of its node.
	Info map[string]string
}

// NetworkStatus is what has become of a network's addresses.
type NetworkStatus struct {
	// IPAM counts them.
	IPAM IPAMStatus
}

// IPAMStatus counts the addresses of a network.
type IPAMStatus struct {
	// Subnets are the counts by subnet, "10.0.1.0/24".
	Subnets map[string]SubnetStatus `json:",omitzero"`
}

// SubnetStatus counts the addresses of a subnet.
type SubnetStatus struct {
	// IPsInUse is how many are used or set aside.
	IPsInUse uint64
	// DynamicIPsAvailable is how many are left to be given.
	DynamicIPsAvailable uint64
}

// IPAM is how a network's addresses are managed.
type IPAM struct {
	// Driver is the IPAM driver. Empty means "default".
	Driver string
	// Options are the driver's.
	Options map[string]string `json:",omitzero"`
	// Config are the subnets. Without any the engine chooses.
	Config []IPAMConfig `json:",omitzero"`
}

// IPAMConfig is a subnet of a network.
type IPAMConfig struct {
	// Subnet is the whole range of addresses, "10.0.1.0/24".
	Subnet string `json:",omitzero"`
	// IPRange is the part of it that addresses are given from. Empty means all.
	IPRange string `json:",omitzero"`
	// Gateway is the address of the gateway. Empty lets the engine choose.
	Gateway string `json:",omitzero"`
	// AuxiliaryAddresses are addresses to leave alone, by name. Overlay networks
	// drop them.
	AuxiliaryAddresses map[string]string `json:",omitzero"`
}

// NetworkSpec is what a network shall be.
type NetworkSpec struct {
	// Name is the network's name. Required. For an overlay network up to 63
	// letters, digits, hyphens and underscores, beginning and ending with a letter or
	// digit.
	Name string
	// Driver makes the network work. Empty means "overlay" here, where the engine
	// takes it for "bridge"; with ConfigOnly nothing.
	Driver string `json:",omitzero"`
	// Scope is where the network shall exist. Empty leaves it to the driver, which
	// is right for overlay; [ScopeSwarm] makes a network of the swarm of another
	// driver, with ConfigFrom for the settings of each node. Needs API 1.30.
	Scope Scope `json:",omitzero"`
	// EnableIPv4 turns IPv4 off if it points to false. Nil leaves it to the engine,
	// which turns it on. Overlay networks cannot be without. Needs API 1.48.
	EnableIPv4 *bool `json:",omitzero"`
	// EnableIPv6 turns IPv6 on. Nil leaves it to the engine, which has it off
	// unless it was configured otherwise. An overlay network has IPv6 addresses only
	// with an IPv6 subnet in IPAM; engines 28 accept that and never set it up.
	EnableIPv6 *bool `json:",omitzero"`
	// IPAM are the addresses. Its zero value leaves them to the engine.
	IPAM IPAM `json:",omitzero"`
	// Internal cuts the network off from everything outside.
	Internal bool `json:",omitzero"`
	// Attachable lets containers that are no tasks use an overlay network. Needs
	// API 1.25.
	Attachable bool `json:",omitzero"`
	// Ingress makes the network the one that carries the ports published with
	// [PublishIngress]. There is one at a time: the old one has to be removed
	// first. Needs API 1.29.
	Ingress bool `json:",omitzero"`
	// ConfigOnly makes no network but a configuration, on this engine alone, that
	// others can use through ConfigFrom. Needs API 1.30.
	ConfigOnly bool `json:",omitzero"`
	// ConfigFrom names the network whose configuration to use, which each node
	// that runs a task must have. Needs API 1.30.
	ConfigFrom NetworkConfigSource `json:",omitzero"`
	// Options are the driver's. For overlay: "encrypted" with any value encrypts
	// the traffic between nodes, "com.docker.network.driver.mtu" sets the MTU.
	Options map[string]string `json:",omitzero"`
	// Labels are key-value pairs on the network.
	Labels map[string]string `json:",omitzero"`
}

// NetworkClient creates, reads and removes networks. Networks cannot be changed.
//
// Reading takes an ID, a name, or a unique prefix of an ID, in this order, as
// the engine does. Removing takes a full ID or an exact name alone.
type NetworkClient struct{ client *Client }

// CreatedNetwork is what has become of a network that was created.
type CreatedNetwork struct {
	// ID is the network's ID.
	ID string `json:"Id"`
	// Warning is the engine's, usually empty.
	Warning string
}

// Create makes a network, an overlay one unless the spec says otherwise. The
// engine sets an overlay network up on a node when the first task comes there: it
// accepts specs it cannot fulfil, whose tasks then stay pending.
//
// A name that is taken is [ErrNameConflict], also a second ingress network; a
// spec that the engine refuses [ErrInvalid], an unknown driver or ConfigFrom
// [ErrNotFound]; a field newer than the engine a [*VersionError]. Overlay
// networks are for managers: [ErrNotManager], [ErrNoSwarm]. If the answer is lost
// the error is an [*OutcomeUnknownError]; creating a network of the swarm has been
// tried again before. Of other networks a busy engine makes two of one name.
//
// Engine endpoint: POST /networks/create
func (n *NetworkClient) Create(ctx context.Context, spec NetworkSpec) (*CreatedNetwork, error) {
	const op = "create network"
	if spec.Name == "" {
		return nil, invalid(op, "", "a network needs a name")
	}
	if spec.Driver == "" && !spec.ConfigOnly {
		spec.Driver = "overlay"
	}
	tree, err := toTree(spec)
	if err != nil {
		return nil, invalid(op, spec.Name, "%v", err)
	}
	repeat := repeatNever // a busy engine makes two networks of one name
	if spec.Driver == "overlay" || spec.Scope == ScopeSwarm {
		repeat = repeatGuarded // the managers do not
	}
	call := &call{op: op, object: spec.Name, method: http.MethodPost, to: to("/networks/create"), repeat: repeat, look: n.lookAtCreation(op, spec),
		encode: func(agreed negotiation) (version, []byte, error) { return encodeNetwork(tree, agreed) }}
	created := new(CreatedNetwork)
	err = n.client.fetch(ctx, call, func(body json.RawMessage) error {
		if err := wire.Unmarshal(body, created); err != nil {
			return err
		}
		return requireID(created.ID)
	})
	r, err := settle(ctx, err)
	if err != nil {
		return nil, err
	}
	created.ID = cmp.Or(created.ID, r.ID)
	return created, nil
}

// encodeNetwork makes the body for the spec of a network. Below API 1.44 engines
// make a second network of the same name unless told not to.
func encodeNetwork(spec wire.Node, agreed negotiation) (version, []byte, error) {
	use, err := chooseVersion("NetworkSpec", spec, agreed)
	if use.less(version{1, 44}) {
		spec = spec.With("CheckDuplicate", wire.Node{Literal: []byte("true")})
	}
	return use, spec.Append(nil), err
}

// NetworkInspectOptions say which network to read, and how much of it.
type NetworkInspectOptions struct {
	// Verbose reads the services and tasks on an overlay network as well, from
	// what this node knows of them. Needs API 1.28.
	Verbose bool
	// Scope is where to look for the network. Empty means everywhere. Needs API
	// 1.31.
	Scope Scope
}

// Inspect reads a network. One that does not exist is [ErrNotFound]; a prefix of
// several IDs, or a name that several networks have, [ErrAmbiguousRef].
//
// Engine endpoint: GET /networks/{id}
func (n *NetworkClient) Inspect(ctx context.Context, ref string, opts *NetworkInspectOptions) (*Network, error) {
	return n.inspect(ctx, "inspect network", ref, opts)
}

func (n *NetworkClient) inspect(ctx context.Context, op, ref string, opts *NetworkInspectOptions) (*Network, error) {
	query := url.Values{}
	if opts != nil && opts.Verbose {
		query.Set("verbose", "true")
	}
	if opts != nil && opts.Scope != "" {
		if err := checkScope(opts.Scope); err != nil {
			return nil, invalid(op, ref, "%v", err)
		}
		query.Set("scope", string(opts.Scope))
	}
	return inspectObject(ctx, n.client, &call{op: op, object: ref, to: to("/networks/{id}", ref), query: query}, decodeNetwork)
}

func checkScope(scope Scope) error {
	if !slices.Contains([]Scope{ScopeSwarm, ScopeLocal, ScopeGlobal}, scope) {
		return fmt.Errorf("unknown scope %q", scope)
	}
	return nil
}

func decodeNetwork(raw json.RawMessage) (Network, error) {
	network := Network{}
	if err := wire.Unmarshal(raw, &network); err != nil {
		return Network{}, err
	}
	network.Raw = raw
	return network, requireID(network.ID)
}

// NetworkType tells networks that come with the engine from others.
type NetworkType string

// The types of networks.
const (
	// NetworkCustom is a network that somebody created, or the swarm.
	NetworkCustom NetworkType = "custom"
	// NetworkBuiltin is one of the engine's own: bridge, host, none.
	NetworkBuiltin NetworkType = "builtin"
)

// NetworkListOptions choose networks. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type NetworkListOptions struct {
	// IDs are full IDs.
	IDs []string
	// IDPrefixes are beginnings of IDs; a network matches IDs or IDPrefixes.
	IDPrefixes []string
	// Names are exact names.
	Names []string
	// NamePrefixes are beginnings of names; a network matches Names or
	// NamePrefixes. Engines do not agree on what they match names with, so this is
	// looked at here.
	NamePrefixes []string
	// Labels are labels that the network must have, all of them; an empty value
	// asks for presence.
	Labels map[string]string
	// Drivers are the drivers wanted.
	Drivers []string
	// Scopes are where the networks exist. Needs API 1.29.
	Scopes []Scope
	// Type tells built-in networks from others. Empty means both.
	Type NetworkType
	// Dangling asks for networks that no container of this engine uses, if it
	// points to true, or for the others, if to false: those in use and those that
	// are built in. Needs API 1.40.
	Dangling *bool
}

func (o *NetworkListOptions) query() (url.Values, error) {
	if o == nil {
		o = &NetworkListOptions{}
	}
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	if len(o.NamePrefixes) == 0 {
		f.add("name", o.Names...)
	}
	f.addLabels(o.Labels)
	f.add("driver", o.Drivers...)
	for _, scope := range o.Scopes {
		if err := checkScope(scope); err != nil {
			return nil, err
		}
		f.add("scope", string(scope))
	}
	switch o.Type {
	case "":
	case NetworkCustom, NetworkBuiltin:
		f.add("type", string(o.Type))
	default:
		return nil, fmt.Errorf("unknown type %q of networks", o.Type)
	}
	if o.Dangling != nil {
		f.add("dangling", strconv.FormatBool(*o.Dangling))
	}
	return f.query(), nil
}

// keeps applies what engines cannot: they match parts of names and IDs, each its
// own way.
func (o *NetworkListOptions) keeps(n *Network) bool {
	return o == nil || matches(n.ID, o.IDs, o.IDPrefixes) && matchesCase(n.Name, o.Names, o.NamePrefixes)
}

// List returns the networks that opts choose, all that this engine knows if opts
// is nil. Services and Peers are not in it, see [NetworkClient.Inspect].
//
// Engine endpoint: GET /networks
func (n *NetworkClient) List(ctx context.Context, opts *NetworkListOptions) ([]Network, error) {
	const op = "list networks"
	query, err := opts.query()
	if err != nil {
		return nil, invalid(op, "", "%v", err)
	}
	return listObjects(ctx, n.client, &call{op: op, to: to("/networks"), query: query}, decodeNetwork, opts.keeps)
}

// Remove removes a network. One that services or containers use is [ErrInUse], a
// built-in one [ErrForbidden], one that does not exist [ErrNotFound]; one that is
// gone when a lost request is repeated is not.
//
// Engine endpoints: GET /networks/{id}, DELETE /networks/{id}
func (n *NetworkClient) Remove(ctx context.Context, ref string) error {
	const op = "remove network"
	network, err := n.inspect(ctx, op, ref, nil)
	if err != nil {
		return err
	}
	if network.ID != ref && network.Name != ref {
		return &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no network has this full ID or exact name; a prefix is not enough to remove one"}
	}
	return n.client.remove(ctx, &call{op: op, object: ref, to: to("/networks/{id}", network.ID)})
}
