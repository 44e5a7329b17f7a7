package engine

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/swarm-go/swarm"
)

// networkRoutes are the endpoints of networks.
var networkRoutes = []route{
	{method: http.MethodGet, pattern: "/networks", handle: listNetworks},
	{method: http.MethodGet, pattern: "/networks/{id}", handle: inspectNetwork},
	{method: http.MethodPost, pattern: "/networks/create", handle: createNetwork},
	{method: http.MethodDelete, pattern: "/networks/{id}", handle: removeNetwork},
	{method: http.MethodPost, pattern: "/networks/prune", since: 25, handle: pruneNetworks},
}

// addFirstNetworks makes the networks that a swarm has from the beginning: that
// of published ports, and those that stand for networks of the nodes.
func (c *Cluster) addFirstNetworks(t *tx) {
	ingress := c.newNetwork("ingress")
	ingress.Ingress, ingress.Driver = true, "overlay"
	c.allocateNetwork(ingress)
	put(t, c.networks, ingress)
	for _, name := range []string{"bridge", "host"} {
		predefined := c.newNetwork(name)
		predefined.predefined, predefined.Driver = true, name
		put(t, c.networks, predefined)
	}
}

// newNetwork is a network of the swarm that has no addresses yet.
func (c *Cluster) newNetwork(name string) *network {
	return &network{Network: swarm.Network{ID: c.world.newID(), Name: name, Created: c.world.now(), Scope: swarm.ScopeSwarm}}
}

// resolveNetworks puts IDs in the place of the references of a spec.
func (c *Cluster) resolveNetworks(d *Daemon, spec *swarm.ServiceSpec) error {
	attachments := spec.TaskTemplate.Networks
	if len(attachments) == 0 {
		attachments = spec.Networks
	}
	for i := range attachments {
		found, err := find(c.networks, attachments[i].Target, networkName)
		if refusal, ok := errors.AsType[*refusal](err); ok && refusal.status == http.StatusNotFound {
			return d.noNetwork(attachments[i].Target, refusal)
		}
		if err != nil {
			return err
		}
		attachments[i].Target = found.ID
	}
	return nil
}

// noNetwork refuses a reference to a network that is not the swarm's.
func (d *Daemon) noNetwork(ref string, missing *refusal) error {
	local, err := find(d.networks, ref, networkName)
	switch {
	case err != nil:
		return refuse(http.StatusInternalServerError, "%s", missing.message)
	case local.predefined:
		return refuse(http.StatusNotFound, "could not find the corresponding predefined swarm network: network %s not found", local.Name)
	}
	return refuse(http.StatusForbidden, "The network %s cannot be used with services. Only networks scoped to the swarm can be used, "+
		"such as those created with the overlay driver.", local.Name)
}

func networkName(n *network) string { return n.Name }

// known are the networks that the daemon knows: those of the swarm, if it manages
// one, then its own.
func (d *Daemon) known() []*network {
	var all []*network
	if d.canManage() == nil {
		all = d.cluster.networks.matching(func(n *network) bool { return !n.predefined })
	}
	return append(all, d.networks.all()...)
}

func listNetworks(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(all, "dangling", "driver", "id", "label", "name", "scope", "type"); err != nil {
		return err
	}
	wanted, err := networkFilter(all)
	if err != nil {
		return err
	}
	answers := []networkAnswer{}
	c.hopeForLeader()
	c.daemon.world.Do(func() {
		for _, n := range c.daemon.known() {
			if wanted(n) {
				answers = append(answers, c.networkAnswer(n))
			}
		}
	})
	return c.json(http.StatusOK, answers)
}

// networkFilter is what filters ask of a network. Names and IDs may match in any
// place.
func networkFilter(f filters) (func(*network) bool, error) {
	dangling := f["dangling"]
	if len(dangling) > 1 {
		return nil, refuse(http.StatusBadRequest, `got more than one value for filter key "dangling"`)
	}
	if len(dangling) == 1 && !slices.Contains([]string{"0", "1", "false", "true"}, dangling[0]) {
		return nil, refuse(http.StatusBadRequest, `invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`)
	}
	for _, kind := range f["type"] {
		if kind != "builtin" && kind != "custom" {
			return nil, refuse(http.StatusInternalServerError, "invalid filter: 'type'='%s'", kind)
		}
	}
	return func(n *network) bool {
		builtin := isPredefined(n.Name)
		kind := "custom"
		if builtin {
			kind = "builtin"
		}
		unused := !builtin && len(n.Containers) == 0
		return f.exact("driver", n.Driver) && f.exact("scope", string(n.Scope)) && f.exact("type", kind) &&
			f.match("name", n.Name) && f.match("id", n.ID) && f.labels("label", n.Labels) &&
			(len(dangling) == 0 || unused == (dangling[0] == "1" || dangling[0] == "true"))
	}, nil
}

// match reports whether a value has one of the filter's in it, taken for regular
// expressions, or there is none.
func (f filters) match(name, value string) bool {
	if len(f[name]) == 0 {
		return true
	}
	return slices.ContainsFunc(f[name], func(text string) bool {
		expression, err := regexp.Compile(text)
		return err == nil && expression.MatchString(value)
	})
}

// isPredefined reports whether a name is that of a network that every engine has.
func isPredefined(name string) bool {
	return slices.Contains([]string{"bridge", "host", "none", "default"}, name)
}

func inspectNetwork(c *call) error {
	verbose, err := c.flag("verbose")
	if err != nil {
		return err
	}
	scope := swarm.Scope(c.r.URL.Query().Get("scope"))
	var answer networkAnswer
	c.hopeForLeader()
	err = c.do(func() error {
		found, err := c.daemon.findNetwork(c.vars["id"], scope, "%[2]d matches found based on %[3]s: network %[1]s is ambiguous")
		if err != nil {
			return err
		}
		answer = c.networkAnswer(found)
		if verbose && found.Scope == swarm.ScopeSwarm {
			c.daemon.cluster.addVerbose(&answer)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, answer)
}

// findNetwork is the network that a reference stands for, of the swarm or the
// daemon's own. The format is for references that stand for several.
func (d *Daemon) findNetwork(ref string, scope swarm.Scope, ambiguous string) (*network, error) {
	all := slices.DeleteFunc(d.known(), func(n *network) bool { return scope != "" && n.Scope != scope })
	if scope == swarm.ScopeSwarm && d.canManage() == nil { // which services may name
		all = append(all, d.cluster.networks.matching(func(n *network) bool { return n.predefined })...)
	}
	for _, rule := range []struct {
		what    string
		matches func(*network) bool
	}{
		{"ID", func(n *network) bool { return n.ID == ref }},
		{"name", func(n *network) bool { return n.Name == ref }},
		{"ID prefix", func(n *network) bool { return strings.HasPrefix(n.ID, ref) }},
	} {
		matches := []*network{}
		for _, n := range all {
			if rule.matches(n) {
				matches = append(matches, n)
			}
		}
		switch {
		case len(matches) == 1:
			return matches[0], nil
		case len(matches) > 1:
			return nil, refuse(http.StatusBadRequest, ambiguous, ref, len(matches), rule.what)
		}
	}
	return nil, notFound("network", ref)
}

// networkAnswer is a network as it is shown. Networks of the swarm have null where
// others have something empty.
type networkAnswer struct {
	Name       string
	ID         string `json:"Id"`
	Created    any
	Scope      swarm.Scope
	Driver     string
	EnableIPv4 *bool `json:",omitzero"`
	EnableIPv6 bool
	IPAM       struct {
		Driver  string
		Options map[string]string
		Config  []swarm.IPAMConfig
	}
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigFrom swarm.NetworkConfigSource
	ConfigOnly bool
	Containers map[string]swarm.EndpointResource
	Options    map[string]string
	Labels     map[string]string
	Peers      []swarm.PeerInfo                `json:",omitzero"`
	Services   map[string]swarm.NetworkService `json:",omitzero"`
}

func (c *call) networkAnswer(n *network) networkAnswer {
	answer := networkAnswer{
		Name: n.Name, ID: n.ID, Created: n.Created, Scope: n.Scope, Driver: n.Driver, EnableIPv6: n.EnableIPv6,
		Internal: n.Internal, Attachable: n.Attachable, Ingress: n.Ingress, ConfigFrom: n.ConfigFrom, ConfigOnly: n.ConfigOnly,
		Containers: n.Containers, Options: n.Options, Labels: n.Labels,
	}
	answer.IPAM.Driver, answer.IPAM.Options, answer.IPAM.Config = n.IPAM.Driver, n.IPAM.Options, n.IPAM.Config
	if c.daemon.release.API >= 48 {
		answer.EnableIPv4 = new(n.EnableIPv4 == nil || *n.EnableIPv4)
	}
	if n.Scope == swarm.ScopeLocal {
		answer.Containers = orEmpty(answer.Containers)
		answer.Options = orEmpty(answer.Options)
		answer.Labels = orEmpty(answer.Labels)
		if c.daemon.release.API < 44 && answer.IPAM.Config == nil {
			answer.IPAM.Config = []swarm.IPAMConfig{}
		}
	}
	return answer
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// orNil is a map as swarms keep it: none, if it is empty.
func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// addVerbose adds what the nodes tell each other about a network: who uses it.
func (c *Cluster) addVerbose(answer *networkAnswer) {
	peers := map[string]bool{}
	answer.Services = map[string]swarm.NetworkService{}
	for _, task := range c.tasks.all() {
		service, node := c.services.get(task.ServiceID), c.nodes.get(task.NodeID)
		if task.Status.State != swarm.TaskRunning || service == nil || node == nil {
			continue
		}
		for _, attachment := range task.NetworksAttachments {
			if attachment.Network.ID != answer.ID || len(attachment.Addresses) == 0 {
				continue
			}
			peers[node.Status.Addr] = true
			addr, _, _ := strings.Cut(attachment.Addresses[0], "/")
			shown, ok := answer.Services[service.Spec.Name]
			if !ok {
				shown = swarm.NetworkService{VIP: vipIn(service, answer.ID), Ports: []string{}, LocalLBIndex: 256 + len(answer.Services)}
			}
			shown.Tasks = append(shown.Tasks, swarm.NetworkTask{
				Name:       c.taskName(task),
				EndpointID: task.ID,
				EndpointIP: addr,
				Info:       map[string]string{"Host IP": node.Status.Addr},
			})
			answer.Services[service.Spec.Name] = shown
		}
	}
	for _, addr := range slices.Sorted(maps.Keys(peers)) {
		answer.Peers = append(answer.Peers, swarm.PeerInfo{Name: addr, IP: addr})
	}
}

// vipIn is the virtual address of a service in a network.
func vipIn(service *swarm.Service, networkID string) string {
	for _, vip := range service.Endpoint.VirtualIPs {
		if vip.NetworkID == networkID {
			addr, _, _ := strings.Cut(vip.Addr, "/")
			return addr
		}
	}
	return "<nil>"
}

// postedNetwork is what a network is to be.
type postedNetwork struct {
	Name       string
	Driver     string
	Scope      swarm.Scope
	EnableIPv4 *bool
	EnableIPv6 bool
	IPAM       *swarm.IPAM
	Internal   bool
	Attachable bool
	Ingress    bool
	ConfigOnly bool
	ConfigFrom *swarm.NetworkConfigSource
	Options    map[string]string
	Labels     map[string]string
}

func createNetwork(c *call) error {
	var posted postedNetwork
	if err := c.decode(&posted); err != nil {
		return err
	}
	if c.version < 48 || c.daemon.release.API < 48 {
		posted.EnableIPv4 = nil
	}
	id := ""
	c.hopeForLeader()
	err := c.do(func() (err error) {
		id, err = c.daemon.createNetwork(&posted)
		return err
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusCreated, struct {
		ID      string `json:"Id"`
		Warning string
	}{ID: id})
}

// createNetwork makes a network of the swarm, or of the daemon alone.
func (d *Daemon) createNetwork(posted *postedNetwork) (id string, err error) {
	if d.canManage() == nil && d.cluster.networks.named(posted.Name) != nil {
		return "", networkExists(posted.Name)
	}
	if err := d.checkNetwork(posted); err != nil {
		return "", err
	}
	if posted.Driver == "overlay" || posted.Scope == swarm.ScopeSwarm {
		if err := d.canManage(); err != nil {
			return "", err
		}
		return d.cluster.createNetwork(d.release, posted)
	}
	return d.createLocal(posted)
}

func networkExists(name string) error {
	return refuse(http.StatusConflict, "network with name %s already exists", name)
}

// networkDrivers are what every engine has.
var networkDrivers = []string{"bridge", "host", "ipvlan", "macvlan", "null", "overlay"}

// checkNetwork refuses what a daemon refuses itself, also for networks of the
// swarm.
func (d *Daemon) checkNetwork(posted *postedNetwork) error {
	if isPredefined(posted.Name) {
		return refuse(http.StatusForbidden, "operation is not permitted on predefined %s network", posted.Name)
	}
	if posted.Driver == "overlay" && d.isManager() != nil {
		status := http.StatusForbidden
		if d.release.oldNetworks {
			status = http.StatusInternalServerError
		}
		return refuse(status, "%s", errNoManager.message)
	}
	if err := checkSubnets(d.release, posted.IPAM); err != nil {
		return err
	}
	if posted.Name == "" && d.release.oldNetworks {
		return refuse(http.StatusInternalServerError, "invalid name: ")
	}
	if strings.TrimSpace(posted.Name) == "" {
		return refuse(http.StatusBadRequest, "invalid name: name is empty")
	}
	if d.networks.named(posted.Name) != nil {
		return networkExists(posted.Name)
	}
	if from := posted.ConfigFrom; from != nil && from.Network != "" {
		if source := d.networks.named(from.Network); source == nil || !source.ConfigOnly {
			return refuse(http.StatusNotFound, "configuration network %q does not exist", from.Network)
		}
	}
	if posted.Driver != "" && !slices.Contains(networkDrivers, posted.Driver) {
		return refuse(http.StatusNotFound, "plugin %q not found", posted.Driver)
	}
	if posted.Driver == "overlay" && posted.Scope != "" && posted.Scope != swarm.ScopeSwarm {
		return refuse(http.StatusForbidden, "cannot downgrade network scope for overlay networks")
	}
	if posted.EnableIPv4 != nil && !*posted.EnableIPv4 && (posted.Driver == "overlay" || posted.Scope == swarm.ScopeSwarm) {
		return refuse(http.StatusBadRequest, "IPv4 cannot be disabled in a Swarm scoped network")
	}
	return nil
}

// createNetwork makes a network of the swarm.
func (c *Cluster) createNetwork(release *Release, posted *postedNetwork) (id string, err error) {
	if posted.Attachable && posted.Ingress {
		return "", invalid("ingress network cannot be attachable")
	}
	if err := validateServiceName(posted.Name); err != nil {
		return "", err
	}
	if _, ok := posted.Labels["com.docker.swarm.predefined"]; ok {
		return "", fromManager(http.StatusForbidden, "PermissionDenied",
			"label %s is for internally created predefined networks and cannot be applied by users", []any{"com.docker.swarm.predefined"})
	}
	if posted.IPAM != nil && posted.IPAM.Driver != "" && posted.IPAM.Driver != "default" {
		return "", invalid("error during lookup of plugin %s", posted.IPAM.Driver)
	}
	if posted.Ingress {
		for _, n := range c.networks.all() {
			if n.Ingress {
				return "", alreadyExists("ingress network (%s) is already present", n.ID)
			}
		}
	}
	made := c.newNetwork(posted.Name)
	posted.fill(made)
	c.commit(func(t *tx) { put(t, c.networks, made) })
	if release.brokenIPv6 && made.EnableIPv6 && len(made.IPAM.Config) > 1 {
		made.IPAM = swarm.IPAM{}
		return made.ID, nil
	}
	allocated := *made
	allocated.Options, allocated.IPAM.Config = maps.Clone(made.Options), slices.Clone(made.IPAM.Config)
	allocated.Driver = cmp.Or(posted.Driver, "overlay")
	c.allocateNetwork(&allocated)
	c.commit(func(t *tx) { put(t, c.networks, &allocated) })
	return made.ID, nil
}

// fill takes over what was posted, and what there is in every network of a swarm.
func (p *postedNetwork) fill(n *network) {
	n.EnableIPv6, n.Internal, n.Attachable, n.Ingress = p.EnableIPv6, p.Internal, p.Attachable, p.Ingress
	n.Options, n.Labels = orNil(p.Options), orNil(p.Labels)
	if p.ConfigFrom != nil {
		n.ConfigFrom = *p.ConfigFrom
	}
	if p.IPAM == nil {
		return
	}
	n.IPAM.Options = orNil(p.IPAM.Options)
	for _, config := range p.IPAM.Config {
		config.AuxiliaryAddresses = nil
		n.IPAM.Config = append(n.IPAM.Config, config)
	}
}

func removeNetwork(c *call) error {
	c.hopeForLeader()
	err := c.do(func() error {
		found, err := c.daemon.findNetwork(c.vars["id"], "", "network %s is ambiguous (%d matches found based on %s)")
		switch {
		case err != nil:
			return err
		case found.Scope == swarm.ScopeSwarm:
			return c.daemon.cluster.removeNetwork(found)
		}
		return c.daemon.removeLocal(found)
	})
	if err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// removeNetwork removes a network of the swarm that nothing uses.
func (c *Cluster) removeNetwork(n *network) error {
	if err := c.networkInUse(n); err != nil {
		return err
	}
	c.commit(func(t *tx) { drop(t, c.networks, n.ID) })
	return nil
}

func (c *Cluster) networkInUse(n *network) error {
	for _, service := range c.services.all() {
		if n.Ingress && needsIngress(&service.Spec) {
			return failedPrecondition("ingress network cannot be removed because service %s depends on it", service.ID)
		}
		uses := func(a swarm.NetworkAttachmentConfig) bool { return a.Target == n.ID }
		if slices.ContainsFunc(slices.Concat(service.Spec.TaskTemplate.Networks, service.Spec.Networks), uses) {
			return failedPrecondition("network %s is in use by service %s", n.ID, service.ID)
		}
	}
	for _, task := range c.tasks.all() {
		uses := func(a swarm.NetworkAttachment) bool { return a.Network.ID == n.ID }
		if !n.Ingress && !task.DesiredState.Terminal() && !task.Status.State.Terminal() && slices.ContainsFunc(task.NetworksAttachments, uses) {
			return failedPrecondition("network %s is in use by task %s", n.ID, task.ID)
		}
	}
	return nil
}

// pruneNetworks removes the networks that nothing uses.
func pruneNetworks(c *call) error {
	all, err := c.parseFilters()
	if err != nil {
		return err
	}
	if err := c.accept(all, "label", "label!", "until"); err != nil {
		return err
	}
	var deleted []string
	c.hopeForLeader()
	err = c.do(func() error {
		for _, n := range c.daemon.known() {
			if n.Ingress || !all.labels("label", n.Labels) || all.has("label!") && all.labels("label!", n.Labels) {
				continue
			}
			remove := c.daemon.removeLocal
			if n.Scope == swarm.ScopeSwarm {
				remove = c.daemon.cluster.removeNetwork
			}
			if !isPredefined(n.Name) && n.Name != gatewayBridge && remove(n) == nil {
				deleted = append(deleted, n.Name)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, struct{ NetworksDeleted []string }{deleted})
}
