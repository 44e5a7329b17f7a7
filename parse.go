package swarm

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/csv"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// The parsers read what the docker command's flags take, for programs that let
// their users write the same. Where the command does something surprising the
// comment says what is different here. All errors are [ErrInvalid].

// readFields reads a list of fields with commas in between, of which those with
// commas or quotes are in double quotes, as the docker command's flags have it.
func readFields(text string) ([]string, error) {
	reader := csv.NewReader(strings.NewReader(text))
	fields, err := reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty")
	case err != nil:
		return nil, errors.New("has a stray quote")
	}
	if _, err := reader.Read(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more than one line")
	}
	return fields, nil
}

// ParsePort reads what --publish takes, in both of its forms:
//
//	8080:80                   published:target, of which published may be missing
//	8000-8009:80-89/udp       as many published as target ports, in pairs
//	8000-8009:80              all of them lead to the one target port
//	target=80,published=8080,protocol=udp,mode=host
//
// It returns one port for each pair, the lowest first. An unpublished port, or
// one published as 0, is given a number by the engine. Protocol and mode are
// [ProtocolTCP] and [PublishIngress] unless the text says otherwise. Host
// addresses are refused: services are published on all of a node's.
//
// Unlike the docker command it takes ranges in the long form, returns ports in
// order, refuses an empty protocol, and does not take a text for the long form
// only because something inside of it looks like one.
func ParsePort(text string) ([]PortConfig, error) {
	p := portText{protocol: string(ProtocolTCP), mode: string(PublishIngress)}
	read := p.readShort
	if strings.Contains(text, "=") {
		read = p.readLong
	}
	err := read(text)
	if err == nil {
		var ports []PortConfig
		if ports, err = p.ports(); err == nil {
			return ports, nil
		}
	}
	return nil, invalid("parse port", text, "%v", err)
}

// portText is a published port in pieces.
type portText struct {
	target, published, protocol, mode string
}

func (p *portText) readShort(text string) error {
	numbers, protocol, found := strings.Cut(text, "/")
	if found {
		p.protocol = protocol
	}
	p.target = numbers
	if i := strings.LastIndexByte(numbers, ':'); i >= 0 {
		p.published, p.target = numbers[:i], numbers[i+1:]
	}
	if strings.Contains(p.published, ":") {
		return errors.New("an address to listen on is not supported for services")
	}
	return nil
}

func (p *portText) readLong(text string) error {
	fields, err := readFields(text)
	if err != nil {
		return err
	}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "target":
			p.target = value
		case "published":
			p.published = value
		case "protocol":
			p.protocol = value
		case "mode":
			p.mode = value
		default:
			return fmt.Errorf("%q is not target, published, protocol or mode", key)
		}
	}
	return nil
}

func (p *portText) ports() ([]PortConfig, error) {
	protocol, mode := lower(Protocol(p.protocol)), lower(PublishMode(p.mode))
	if protocol != ProtocolTCP && protocol != ProtocolUDP && protocol != ProtocolSCTP {
		return nil, fmt.Errorf("%q is not tcp, udp or sctp", p.protocol)
	}
	if mode != PublishIngress && mode != PublishHost {
		return nil, fmt.Errorf("%q is not ingress or host", p.mode)
	}
	target, err := parseRange("target port", p.target)
	if err != nil {
		return nil, err
	}
	if target.first == 0 {
		return nil, errors.New("the target port is missing or 0")
	}
	published, err := parseRange("published port", p.published)
	if err != nil {
		return nil, err
	}
	chosen := published == portRange{} // by the engine
	if !chosen && published.first == 0 {
		return nil, errors.New("the published port is 0")
	}
	if target.len() > 1 && !chosen && published.len() != target.len() {
		return nil, fmt.Errorf("%d published ports do not fit %d target ports", published.len(), target.len())
	}
	var ports []PortConfig
	for i := range max(target.len(), published.len()) {
		port := PortConfig{Protocol: protocol, PublishMode: mode, TargetPort: target.first, PublishedPort: published.first}
		if target.len() > 1 {
			port.TargetPort += i
		}
		if !chosen {
			port.PublishedPort += i
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// portRange is one or more ports.
type portRange struct{ first, last uint32 }

func (r portRange) len() uint32 { return r.last - r.first + 1 }

// parseRange reads 80 or 80-89; nothing is 0.
func parseRange(what, text string) (portRange, error) {
	if text == "" {
		return portRange{}, nil
	}
	first, last, found := strings.Cut(text, "-")
	if !found {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil {
		return portRange{}, fmt.Errorf("%s %q is no number up to %d, nor two with a hyphen", what, text, maxPort)
	}
	if b < a {
		return portRange{}, fmt.Errorf("%s %q goes backwards", what, text)
	}
	return portRange{uint32(a), uint32(b)}, nil
}

// ParseSecretReference reads what --secret takes: the name of a secret, or
//
//	source=NAME,target=FILE,uid=0,gid=0,mode=0444
//
// of which only the source, or src, is required. The file is called like the
// secret, owned by root and readable by all unless the text says otherwise.
// The SecretID is left empty: [ServiceClient.ResolveReferences] fills it in.
//
// Unlike the docker command it refuses owners that are no numbers, with which no
// task could start.
func ParseSecretReference(text string) (SecretReference, error) {
	name, file, err := parseFileReference(text)
	if err != nil {
		return SecretReference{}, invalid("parse secret", text, "%v", err)
	}
	return SecretReference{SecretName: name, File: file}, nil
}

// ParseConfigReference is [ParseSecretReference] for --config. The ConfigID is
// left empty.
func ParseConfigReference(text string) (ConfigReference, error) {
	name, file, err := parseFileReference(text)
	if err != nil {
		return ConfigReference{}, invalid("parse config", text, "%v", err)
	}
	return ConfigReference{ConfigName: name, File: &file}, nil
}

func parseFileReference(text string) (name string, file FileTarget, err error) {
	fields, err := readFields(text)
	if err != nil {
		return "", FileTarget{}, err
	}
	file = readableFile("")
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		name = fields[0]
		fields = nil
	}
	for _, field := range fields {
		key, value, found := strings.Cut(field, "=")
		if !found {
			return "", FileTarget{}, fmt.Errorf("%q is not key=value", field)
		}
		switch strings.ToLower(key) {
		case "source", "src":
			name = value
		case "target":
			file.Name = value
		case "uid":
			file.UID = value
		case "gid":
			file.GID = value
		case "mode":
			mode, err := strconv.ParseUint(value, 0, 32)
			if err != nil {
				return "", FileTarget{}, fmt.Errorf("mode %q is no number such as 0444", value)
			}
			file.Mode = os.FileMode(mode)
		default:
			return "", FileTarget{}, fmt.Errorf("%q is not source, target, uid, gid or mode", key)
		}
	}
	for _, id := range []string{file.UID, file.GID} {
		if _, err := strconv.ParseUint(id, 10, 32); err != nil {
			return "", FileTarget{}, fmt.Errorf("owner %q is no number", id)
		}
	}
	if name == "" {
		return "", FileTarget{}, errors.New("the source is missing")
	}
	if file.Name == "" {
		file.Name = name
	}
	return name, file, nil
}

// ParseNetwork reads what --network takes: the name or ID of a network, or
//
//	name=NET,alias=web,alias=www,driver-opt=key=value
//
// Unlike the docker command it keeps upper case, and refuses addresses and
// priorities, which the command takes and drops.
func ParseNetwork(text string) (NetworkAttachmentConfig, error) {
	const op = "parse network"
	fail := func(format string, args ...any) (NetworkAttachmentConfig, error) {
		return NetworkAttachmentConfig{}, invalid(op, "", format, args...)
	}
	if !strings.Contains(text, "=") {
		if text == "" || strings.ContainsAny(text, `,"`) {
			return fail("%q is no name", text)
		}
		return NetworkAttachmentConfig{Target: text}, nil
	}
	fields, err := readFields(text)
	if err != nil {
		return fail("the text %v", err)
	}
	var n NetworkAttachmentConfig
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if value == "" {
			return fail("%q has no value", key)
		}
		switch key {
		case "name":
			n.Target = value
		case "alias":
			n.Aliases = append(n.Aliases, value)
		case "driver-opt":
			if n.DriverOpts, err = setOption(n.DriverOpts, value); err != nil {
				return fail("driver-opt %v", err)
			}
		case "ip", "ip6", "mac-address", "link-local-ip", "gw-priority":
			return fail("services cannot have %s", key)
		default:
			return fail("%q is not name, alias or driver-opt", key)
		}
	}
	if n.Target == "" {
		return fail("the name is missing")
	}
	return n, nil
}

// setOption adds key=value to options. Its errors do not show the value.
func setOption(options map[string]string, text string) (map[string]string, error) {
	key, value, _ := strings.Cut(text, "=")
	if key == "" {
		return nil, errors.New("has no key")
	}
	if options == nil {
		options = map[string]string{}
	}
	options[key] = value
	return options, nil
}

// Constraint is a condition on nodes, as Placement has it in text form.
type Constraint struct {
	// Key is what it is about: node.id, node.hostname, node.ip, node.role,
	// node.platform.os, node.platform.arch, node.labels.NAME or
	// engine.labels.NAME. Engines compare all but the names of labels without
	// regard to case.
	Key string
	// Not is set for !=.
	Not bool
	// Value is what it is compared with, also without regard to case. For
	// node.ip it is an address or a network such as 10.0.0.0/8.
	Value string
}

// String is the text form that a Placement takes.
func (c Constraint) String() string {
	if c.Not {
		return c.Key + "!=" + c.Value
	}
	return c.Key + "==" + c.Value
}

var (
	constraintKey   = regexp.MustCompile(`(?i)^[a-z_][a-z0-9_.-]+$`)
	constraintValue = regexp.MustCompile(`(?i)^[a-z0-9:\-_\s.*()?+\[\]\\^$|/]+$`)
)

// ParseConstraint reads what --constraint and Placement.Constraints take:
// key==value or key!=value, with spaces around each part. It takes what engines
// take, whether nodes have such a key or not; the docker command itself checks
// nothing.
func ParseConstraint(text string) (Constraint, error) {
	const op = "parse constraint"
	var c Constraint
	key, value, found := strings.Cut(text, "==") // engines look for == first, too
	if !found {
		c.Not = true
		key, value, found = strings.Cut(text, "!=")
	}
	c.Key, c.Value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !found:
		return Constraint{}, invalid(op, text, "it has neither == nor !=")
	case !constraintKey.MatchString(c.Key):
		return Constraint{}, invalid(op, text, "%q is no key: letters, digits, _, . and -, two at least", c.Key)
	case !constraintValue.MatchString(c.Value):
		return Constraint{}, invalid(op, text, "%q is empty or has characters that no value has", c.Value)
	}
	return c, nil
}

// ParsePreference reads what --placement-pref takes: spread=node.labels.zone.
func ParsePreference(text string) (PlacementPreference, error) {
	strategy, label, _ := strings.Cut(text, "=")
	if strategy != "spread" || label == "" {
		return PlacementPreference{}, invalid("parse preference", text, "it is not spread=LABEL, the only kind there is")
	}
	return SpreadOver(label), nil
}

// ParseGenericResource reads what --generic-resource takes: gpu=2. A service
// asks for a number of things, not for things by their names.
func ParseGenericResource(text string) (GenericResource, error) {
	kind, number, _ := strings.Cut(text, "=")
	n, err := strconv.ParseInt(number, 10, 64)
	if kind == "" || err != nil || n < 0 {
		return GenericResource{}, invalid("parse generic resource", text, "it is not KIND=NUMBER")
	}
	return GenericResource{DiscreteResourceSpec: &DiscreteGenericResource{Kind: kind, Value: n}}, nil
}

// ParseUlimit reads what --ulimit takes: nofile=1024:4096, the soft limit first.
// Without the hard limit both are the same; -1 is no limit.
func ParseUlimit(text string) (Ulimit, error) {
	u, err := units.ParseUlimit(text)
	if err != nil {
		return Ulimit{}, invalid("parse ulimit", text, "%v", err)
	}
	return Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}, nil
}

// formatUlimit is the text that ParseUlimit reads.
func formatUlimit(u Ulimit) string {
	return (&units.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard}).String()
}

var capabilityForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// ParseCapability reads what --cap-add and --cap-drop take: net_admin,
// CAP_NET_ADMIN or ALL, in any case, and returns the form that engines list:
// CAP_NET_ADMIN, ALL. The update command's RESET is refused: clear the list.
func ParseCapability(text string) (string, error) {
	name := strings.ToUpper(strings.TrimSpace(text))
	short := strings.TrimPrefix(name, "CAP_")
	switch {
	case name == "ALL":
		return name, nil
	case name == "RESET" || !capabilityForm.MatchString(short):
		return "", invalid("parse capability", text, "it is no capability such as NET_ADMIN, nor ALL")
	}
	return "CAP_" + short, nil
}

var sizeForm = regexp.MustCompile(`^([0-9]*\.?[0-9]*) ?([a-zA-Z]*)$`)

// maxNumber bounds the length of numbers that are calculated with exactly.
const maxNumber = 64

// ParseBytes reads what --limit-memory and the like take: 512m, 1.5GiB, 4096.
// Units are powers of 1024, in any case: b, k, kb, kib, m, g, t, p. Parts of a
// byte are cut off. Unlike the docker command it calculates exactly, refuses
// what does not fit, and takes no exponents.
func ParseBytes(text string) (int64, error) {
	const op = "parse size"
	if len(text) > maxNumber {
		return 0, invalid(op, text, "it is too long")
	}
	parts := sizeForm.FindStringSubmatch(text)
	if parts == nil || !strings.ContainsAny(parts[1], "0123456789") {
		return 0, invalid(op, text, "it is no size such as 512m")
	}
	unit, err := units.RAMInBytes("1" + parts[2])
	if err != nil {
		return 0, invalid(op, text, "%q is no unit", parts[2])
	}
	size := decimal(parts[1])
	size.Mul(size, new(big.Rat).SetInt64(unit))
	whole := new(big.Int).Quo(size.Num(), size.Denom())
	if !whole.IsInt64() {
		return 0, invalid(op, text, "it is too large")
	}
	return whole.Int64(), nil
}

// decimal is the value of digits with at most one point among them.
func decimal(text string) *big.Rat {
	whole, fraction, _ := strings.Cut(text, ".")
	digits, _ := new(big.Int).SetString("0"+whole+fraction, 10)
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(fraction))), nil)
	return new(big.Rat).SetFrac(digits, scale)
}

var cpusForm = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)(?:/([0-9]+))?$`)

// ParseCPUs reads what --limit-cpu and --reserve-cpu take, a number of CPUs such
// as 0.5, 1.25 or 3/4, and returns it in 1e-9 CPUs, as Limits and Reservations
// have it. It refuses what that cannot express exactly. Unlike the docker command
// it takes no exponents and nothing below zero.
func ParseCPUs(text string) (int64, error) {
	const op = "parse CPUs"
	if len(text) > maxNumber {
		return 0, invalid(op, text, "it is too long")
	}
	parts := cpusForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, invalid(op, text, "it is no number of CPUs such as 1.5")
	}
	nano := decimal(parts[1])
	nano.Mul(nano, big.NewRat(1_000_000_000, 1))
	if parts[2] != "" {
		divisor := decimal(parts[2])
		if divisor.Sign() == 0 {
			return 0, invalid(op, text, "it divides by zero")
		}
		nano.Quo(nano, divisor)
	}
	switch {
	case !nano.IsInt():
		return 0, invalid(op, text, "it is finer than 1e-9 CPUs")
	case !nano.Num().IsInt64():
		return 0, invalid(op, text, "it is too large")
	}
	return nano.Num().Int64(), nil
}

// ParseEnv reads what --env takes: NAME=value, or NAME alone, whose value lookup
// knows, [os.LookupEnv] for instance. A name that lookup does not know, or with
// no lookup, stays alone: it removes the image's variable.
func ParseEnv(text string, lookup func(name string) (value string, found bool)) (string, error) {
	name, _, hasValue := strings.Cut(text, "=")
	if name == "" {
		return "", invalid("parse environment variable", "", "it has no name")
	}
	if !hasValue && lookup != nil {
		if value, found := lookup(name); found {
			return name + "=" + value, nil
		}
	}
	return text, nil
}

// maxEnvLine bounds a line of an environment file. The docker command stops at
// 64 KiB.
const maxEnvLine = 1 << 20

// ParseEnvFile reads a file as --env-file takes it: one variable on each line,
// NAME=value or NAME alone. Unlike with [ParseEnv] a name that lookup does not
// know gives no entry. Space before a name, empty lines, lines that begin with #
// and a byte order mark are left out; quotes and spaces in a value are part of
// it. Errors name the line, but do not show it.
func ParseEnvFile(r io.Reader, lookup func(name string) (value string, found bool)) ([]string, error) {
	const op = "parse environment file"
	var all []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxEnvLine)
	number := 0
	for lines.Scan() {
		number++
		line := lines.Bytes()
		if number == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		line = bytes.TrimLeftFunc(line, unicode.IsSpace)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if !utf8.Valid(line) {
			return nil, invalid(op, "", "line %d is not UTF-8", number)
		}
		name, _, _ := bytes.Cut(line, []byte("="))
		if bytes.ContainsAny(name, " \t\x00") {
			return nil, invalid(op, "", "line %d has a space in its name", number)
		}
		entry, err := ParseEnv(string(line), lookup)
		if err != nil {
			return nil, invalid(op, "", "line %d has no name", number)
		}
		if strings.Contains(entry, "=") {
			all = append(all, entry)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, invalid(op, "", "line %d is longer than %d bytes", number+1, maxEnvLine)
	} else if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	return all, nil
}

// ParseLabel reads what --label takes: key=value, or key alone, which has an
// empty value. Space before the key is left out; inside of it is none.
func ParseLabel(text string) (key, value string, err error) {
	key, value, _ = strings.Cut(text, "=")
	key = strings.TrimLeft(key, " \t")
	if key == "" || strings.ContainsAny(key, " \t") {
		return "", "", invalid("parse label", clip(key, 64), "its key is empty or has spaces")
	}
	return key, value, nil
}

// ParseHost reads what --host takes: name:address, or name=address. It returns
// the form that Hosts has, the address first. An address may be in brackets; the
// word host-gateway stands for the node's own.
func ParseHost(text string) (string, error) {
	name, address := text, ""
	if i := strings.IndexAny(text, ":="); i >= 0 {
		name, address = text[:i], text[i+1:]
	}
	if inner, found := strings.CutPrefix(address, "["); found && strings.HasSuffix(inner, "]") {
		address = strings.TrimSuffix(inner, "]")
	}
	if name == "" || strings.ContainsFunc(name, unicode.IsSpace) {
		return "", invalid("parse host", text, "its name is empty or has spaces")
	}
	if net.ParseIP(address) == nil && address != "host-gateway" {
		return "", invalid("parse host", text, "%q is no IP address", address)
	}
	return address + " " + name, nil
}

// ParseFilter reads what --filter takes: name=value, with spaces around both. The
// name is returned in lower case.
func ParseFilter(text string) (name, value string, err error) {
	name, value, found := strings.Cut(text, "=")
	name = strings.ToLower(strings.TrimSpace(name))
	if !found || name == "" {
		return "", "", invalid("parse filter", text, "it is not NAME=VALUE")
	}
	return name, strings.TrimSpace(value), nil
}

// ParseCredentialSpec reads what --credential-spec takes: config://NAME,
// file://NAME or registry://NAME. After config:// it is the name or the ID of a
// config; the spec needs the ID, see [ServiceClient.ResolveReferences].
func ParseCredentialSpec(text string) (CredentialSpec, error) {
	source, name, _ := strings.Cut(text, "://")
	if name != "" {
		switch source {
		case "config":
			return CredentialSpec{Config: name}, nil
		case "file":
			return CredentialSpec{File: name}, nil
		case "registry":
			return CredentialSpec{Registry: name}, nil
		}
	}
	return CredentialSpec{}, invalid("parse credential spec", text, "it does not begin with config://, file:// or registry://")
}

// maxCertificate bounds the certificate file of an external CA.
const maxCertificate = 1 << 20

// ParseExternalCA reads what --external-ca takes:
//
//	protocol=cfssl,url=https://ca.example.com/sign,cacert=FILE,key=value
//
// The file is read, and must hold PEM certificates and nothing else in PEM, 1 MiB
// at most. Other keys are options.
func ParseExternalCA(text string) (ExternalCA, error) {
	ca, err := parseExternalCA(text)
	if err != nil {
		return ExternalCA{}, invalid("parse external CA", "", "%v", err)
	}
	return ca, nil
}

func parseExternalCA(text string) (ExternalCA, error) {
	var ca ExternalCA
	fields, err := readFields(text)
	if err != nil {
		return ca, fmt.Errorf("the text %w", err)
	}
	for _, field := range fields {
		key, value, found := strings.Cut(field, "=")
		switch key = strings.ToLower(key); {
		case !found || key == "":
			return ca, errors.New("a field is not key=value")
		case key == "protocol":
			ca.Protocol = strings.ToLower(value)
		case key == "url":
			ca.URL = value
		case key == "cacert":
			if ca.CACert, err = readCertificates(value); err != nil {
				return ca, err
			}
		default:
			if ca.Options, err = setOption(ca.Options, field); err != nil {
				return ca, err
			}
		}
	}
	switch {
	case ca.Protocol != "cfssl":
		return ca, errors.New("the protocol is not cfssl")
	case ca.URL == "":
		return ca, errors.New("the url is missing")
	}
	return ca, nil
}

func readCertificates(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCertificate+1))
	switch {
	case err != nil:
		return "", err
	case len(text) > maxCertificate:
		return "", fmt.Errorf("%s is larger than %d bytes", name, maxCertificate)
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return "", fmt.Errorf("%s holds no PEM certificate", name)
	}
	for ; block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return string(text), nil
}

// SplitCommand splits a command line into words as a POSIX shell does, for
// Command and Args: at spaces, but not inside of '…' or "…" or after \. Nothing
// is expanded. Unlike the docker command it does not take # for the beginning of
// a comment, nor a \ in double quotes away from what needs none.
func SplitCommand(text string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		begun bool
		quote rune // the one that is open
	)
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		escaping := r == '\\' && quote != '\''
		if escaping && i+1 == len(runes) {
			return nil, invalid("split command", "", "it ends with a backslash")
		}
		switch {
		case escaping && runes[i+1] == '\n': // a line goes on
			i++
			continue
		case escaping && (quote == 0 || slices.Contains([]rune("$`\"\\"), runes[i+1])):
			i++
			word.WriteRune(runes[i])
		case r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case quote == 0 && isBlank(r):
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
			continue
		default:
			word.WriteRune(r)
		}
		begun = true
	}
	if quote != 0 {
		return nil, invalid("split command", "", "it has an open %c", quote)
	}
	if begun {
		words = append(words, word.String())
	}
	return words, nil
}

func isBlank(r rune) bool { return strings.ContainsRune(" \t\r\n", r) }
