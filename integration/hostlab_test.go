//go:build integration && linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/swarm-go/swarm"
)

// This program plays three parts besides running tests: the lab, in namespaces
// of its own, with listeners that record what reaches them; a program that uses
// the library, whose whole environment is the row's; and ssh.
const (
	hostLabRole   = "SWARM_HOSTLAB"
	hostLabDir    = "SWARM_HOSTLAB_DIR"
	hostLabDocker = "SWARM_HOSTLAB_DOCKER"
	hostLabOpts   = "SWARM_HOSTLAB_OPTIONS"
)

func init() { // before TestMain, which starts engines
	play, ok := map[string]func() error{"lab": playLab, "client": playClient, "ssh": playSSH}[os.Getenv(hostLabRole)]
	if !ok {
		return
	}
	if err := play(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// playClient makes a client as the row's options and the environment say, and
// asks one thing.
func playClient() error {
	var row hostOptions
	if err := json.Unmarshal([]byte(os.Getenv(hostLabOpts)), &row); err != nil {
		return err
	}
	options, err := row.options()
	if err != nil {
		return err
	}
	client, err := swarm.New(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	request, err := http.NewRequest(http.MethodGet, "/version", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func (o hostOptions) options() ([]swarm.Option, error) {
	var options []swarm.Option
	if o.Host != "" {
		options = append(options, swarm.WithHost(o.Host))
	}
	if o.Context != "" {
		options = append(options, swarm.WithContext(o.Context))
	}
	if o.TLS != "" {
		config, err := o.tls()
		if err != nil {
			return nil, err
		}
		options = append(options, swarm.WithTLS(config))
	}
	if o.Insecure {
		options = append(options, swarm.WithInsecureSkipVerify())
	}
	return options, nil
}

func (o hostOptions) tls() (*tls.Config, error) {
	authority, err := os.ReadFile(filepath.Join(o.TLS, "ca.pem"))
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(filepath.Join(o.TLS, "cert.pem"), filepath.Join(o.TLS, "key.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return config, nil
	}
	config.Certificates = []tls.Certificate{pair}
	return config, err
}

// playSSH tells the lab how it was called, then carries bytes to it.
func playSSH() error {
	conn, err := net.Dial("unix", filepath.Join(os.Getenv(hostLabDir), "ssh.sock"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, sshCall(os.Args[1:])); err != nil {
		return err
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.UnixConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// sshCall is what ssh was asked to do, without what is no more than comfort.
func sshCall(args []string) string {
	var user, port string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flag := args[0]
		args = args[1:]
		if flag == "--" {
			break
		}
		if strings.Contains("-l -p -o", flag) && len(args) > 0 {
			switch flag {
			case "-l":
				user = args[0] + "@"
			case "-p":
				port = ":" + args[0]
			}
			args = args[1:]
		}
	}
	if len(args) == 0 {
		return "ssh without a host"
	}
	// Docker commands differ in what they quote for the shell over there.
	words := strings.NewReplacer("'", "", "--host=", "--host ")
	return "ssh " + words.Replace(user+args[0]+port+": "+strings.Join(args[1:], " "))
}

// hostLab records what reaches its listeners.
type hostLab struct {
	dir    string
	docker string

	mu        sync.Mutex
	seen      []contact
	welcoming int        // connections that are not noted yet
	welcomed  *sync.Cond // welcoming became less

	conns chan net.Conn
}

// contact is one connection or, if path is not empty, one request.
type contact struct{ address, how, path string }

func playLab() error {
	lab := &hostLab{dir: os.Getenv(hostLabDir), docker: os.Getenv(hostLabDocker), conns: make(chan net.Conn)}
	lab.welcomed = sync.NewCond(&lab.mu)
	if err := errors.Join(lab.hideMachine(), lab.makeCertificates(), lab.makeFolders()); err != nil {
		return err
	}
	server := &http.Server{Handler: lab, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, contact{}, conn.(*labConn).contact)
		}}
	go server.Serve(labListener{lab.conns})
	if err := lab.listenEverywhere(); err != nil {
		return err
	}
	results := make([]hostResult, len(hostRows))
	for i, row := range hostRows {
		var err error
		if results[i], err = lab.run(i, row); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

// hideMachine leaves an empty folder where default sockets are, and a network of
// loopback and one address more.
func (l *hostLab) hideMachine() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	run, err := filepath.EvalSymlinks("/var/run")
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", run, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", run, err)
	}
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"address", "add", "192.0.2.1/32", "dev", "lo"}} {
		if output, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, output)
		}
	}
	return nil
}

func (l *hostLab) makeFolders() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	script := fmt.Sprintf("#!/bin/sh\n%s=ssh %s=%q exec %q \"$@\"\n", hostLabRole, hostLabDir, l.dir, self)
	return errors.Join(
		os.Mkdir(filepath.Join(l.dir, "bin"), 0o700),
		os.Mkdir(filepath.Join(l.dir, "cwd"), 0o700),
		os.WriteFile(filepath.Join(l.dir, "bin", "ssh"), []byte(script), 0o700),
		writeFiles(filepath.Join(l.dir, "config"), stored("prod", "tcp://127.0.0.1:2375")))
}

func writeFiles(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func contextID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// makeCertificates makes the folders that rows name. The engine's authority has
// signed the client's certificate, the stranger's nobody's.
func (l *hostLab) makeCertificates() error {
	engine, err := newAuthority()
	if err != nil {
		return err
	}
	stranger, err := newAuthority()
	if err != nil {
		return err
	}
	client, clientKey, err := engine.issue("client")
	if err != nil {
		return err
	}
	_, otherKey, err := engine.issue("other")
	if err != nil {
		return err
	}
	encrypted := encodePEM("ENCRYPTED PRIVATE KEY", []byte("what a cipher leaves of a key"))
	var problems []error
	for folder, files := range map[string]map[string]string{
		"all":       {"ca.pem": engine.pem, "cert.pem": client, "key.pem": clientKey},
		"authority": {"ca.pem": engine.pem},
		"pair":      {"cert.pem": client, "key.pem": clientKey},
		"nokey":     {"ca.pem": engine.pem, "cert.pem": client},
		"mismatch":  {"ca.pem": engine.pem, "cert.pem": client, "key.pem": otherKey},
		"encrypted": {"ca.pem": engine.pem, "cert.pem": client, "key.pem": encrypted},
		"garbage":   {"ca.pem": "x", "cert.pem": "y", "key.pem": "z"},
		"stranger":  {"ca.pem": stranger.pem, "cert.pem": client, "key.pem": clientKey},
	} {
		problems = append(problems, writeFiles(filepath.Join(l.dir, folder), files))
	}
	for folder, name := range map[string]string{"server": "localhost", "elsewhere": "elsewhere.example"} {
		cert, key, err := engine.issue(name)
		problems = append(problems, err,
			writeFiles(filepath.Join(l.dir, folder), map[string]string{"cert.pem": cert, "key.pem": key}))
	}
	return errors.Join(problems...)
}

type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         string
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key, encodePEM("CERTIFICATE", der)}, err
}

// issue makes a certificate, for servers on loopback if the name is localhost.
func (a *authority) issue(name string) (certificate, private string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	if name == "localhost" {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return "", "", err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", pkcs8), err
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// listenEverywhere opens the ports rows name. All of them speak TLS to who
// speaks TLS, plain HTTP to who does not.
func (l *hostLab) listenEverywhere() error {
	usual, err := l.serverTLS("server")
	if err != nil {
		return err
	}
	elsewhere, err := l.serverTLS("elsewhere")
	if err != nil {
		return err
	}
	required, old := usual.Clone(), usual.Clone()
	required.ClientAuth = tls.RequireAndVerifyClientCert
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	for address, config := range map[string]*tls.Config{
		"127.0.0.1:80": usual, "127.0.0.1:2375": usual, "127.0.0.1:2376": usual, "127.0.0.1:4000": usual,
		"[::1]:2375": usual, "[::1]:4000": usual, "192.0.2.1:2375": usual,
		"127.0.0.1:4001": required, "127.0.0.1:4002": elsewhere, "127.0.0.1:4003": old,
	} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		go l.serve(listener, address, config)
	}
	listener, err := net.Listen("unix", filepath.Join(l.dir, "ssh.sock"))
	if err != nil {
		return err
	}
	go l.serve(listener, "", nil)
	return nil
}

func (l *hostLab) serverTLS(folder string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(l.dir, folder, "cert.pem"), filepath.Join(l.dir, folder, "key.pem"))
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	authority, err := os.ReadFile(filepath.Join(l.dir, "all", "ca.pem"))
	clients.AppendCertsFromPEM(authority)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.VerifyClientCertIfGiven}, err
}

func (l *hostLab) serve(listener net.Listener, address string, config *tls.Config) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		l.mu.Lock()
		l.welcoming++
		l.mu.Unlock()
		go func() {
			l.welcome(conn, address, config)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.welcoming--
			l.welcomed.Broadcast()
		}()
	}
}

// welcome finds out what is spoken, and hands the connection to the HTTP server.
// What comes through ssh begins with a line saying how ssh was called.
func (l *hostLab) welcome(conn net.Conn, address string, config *tls.Config) {
	reader := bufio.NewReader(conn)
	if address == "" {
		line, err := reader.ReadString('\n')
		if err != nil {
			conn.Close()
			return
		}
		address = strings.TrimSpace(line)
	}
	first, err := reader.Peek(1)
	if err != nil {
		conn.Close()
		return
	}
	met := contact{address: address, how: "plain"}
	welcomed := &labConn{Conn: conn, reader: reader}
	if first[0] == 22 && config != nil { // a TLS handshake record
		secure := tls.Server(welcomed, config)
		if err := secure.Handshake(); err != nil {
			l.note(contact{address: address, how: "TLS refused"})
			conn.Close()
			return
		}
		met.how = "TLS"
		if len(secure.ConnectionState().PeerCertificates) > 0 {
			met.how = "TLS with certificate"
		}
		welcomed = &labConn{Conn: secure, reader: secure}
	}
	welcomed.contact = met
	l.conns <- welcomed
}

type labConn struct {
	net.Conn
	reader  io.Reader
	contact contact
}

func (c *labConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

type labListener struct{ conns <-chan net.Conn }

func (l labListener) Accept() (net.Conn, error) { return <-l.conns, nil }
func (l labListener) Close() error              { return nil }
func (l labListener) Addr() net.Addr            { return &net.UnixAddr{} }

func (l *hostLab) note(c contact) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, c)
}

// ServeHTTP is an engine of API 1.43 that knows nothing but its version.
func (l *hostLab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.43")
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/_ping") {
		return
	}
	met, _ := r.Context().Value(contact{}).(contact)
	met.path = r.RequestURI
	l.note(met)
	io.WriteString(w, `{"Version":"99.0","ApiVersion":"1.43","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}`)
}

func (l *hostLab) run(i int, row hostRow) (hostResult, error) {
	home := filepath.Join(l.dir, strconv.Itoa(i))
	if err := l.prepare(row, home); err != nil {
		return hostResult{}, err
	}
	closeSockets, err := l.openSockets(row, home)
	if err != nil {
		return hostResult{}, err
	}
	defer closeSockets()

	args := []string{}
	for _, arg := range row.args {
		args = append(args, expand(arg, l.dir, home))
	}
	opts := row.opts
	opts.TLS = expand(opts.TLS, l.dir, home)
	encoded, err := json.Marshal(opts)
	if err != nil {
		return hostResult{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return hostResult{}, err
	}
	env := l.environment(row, home)
	docker := exec.Command(l.docker, append(args, "version", "--format", "{{json .Server}}")...)
	docker.Env = env
	ours := exec.Command(self)
	ours.Env = append(env, hostLabRole+"=client", hostLabOpts+"="+string(encoded))
	return hostResult{Docker: l.attempt(docker, home), Ours: l.attempt(ours, home)}, nil
}

func (l *hostLab) prepare(row hostRow, home string) error {
	files := map[string]string{}
	for name, content := range row.files {
		files[name] = expand(content, l.dir, home)
	}
	for target, folder := range row.copies {
		from := filepath.Join(l.dir, folder)
		entries, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			content, err := os.ReadFile(filepath.Join(from, entry.Name()))
			if err != nil {
				return err
			}
			files[filepath.Join(target, entry.Name())] = string(content)
		}
	}
	return errors.Join(os.Mkdir(home, 0o700), writeFiles(configDir(home), files))
}

func (l *hostLab) openSockets(row hostRow, home string) (closeAll func(), err error) {
	var listeners []net.Listener
	closeAll = func() {
		for _, listener := range listeners {
			listener.Close()
		}
	}
	for _, path := range row.sockets {
		path = expand(path, l.dir, home)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return closeAll, err
		}
		listener, err := net.Listen("unix", path)
		if err != nil {
			return closeAll, err
		}
		listeners = append(listeners, listener)
		go l.serve(listener, "unix "+path, nil)
	}
	return closeAll, nil
}

func (l *hostLab) environment(row hostRow, home string) []string {
	env := []string{"HOME=" + home, "PATH=" + filepath.Join(l.dir, "bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	for name, value := range row.env {
		env = append(env, name+"="+expand(value, l.dir, home))
	}
	return env
}

// attempt runs a command and says what it reached.
func (l *hostLab) attempt(cmd *exec.Cmd, home string) hostAttempt {
	l.mu.Lock()
	l.seen = nil
	l.mu.Unlock()
	var output bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = l.dir, &output, &output
	cmd.WaitDelay = time.Second
	err := runFor(time.Minute, cmd)
	outcome := l.outcome()
	if errors.Is(err, errHangs) {
		outcome += " hangs"
	} else if err != nil {
		outcome = strings.TrimSpace(outcome + " error")
	}
	folders := strings.NewReplacer(configDir(home), "$CONFIG", l.dir, "$DIR")
	return hostAttempt{Outcome: folders.Replace(outcome), Output: folders.Replace(output.String() + errorText(err))}
}

var errHangs = errors.New("killed, it did not end")

func runFor(limit time.Duration, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	err := cmd.Wait()
	if !timer.Stop() {
		return errHangs
	}
	return err
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// outcome is the last request, else the last connection. The client has ended,
// so every connection is noted soon.
func (l *hostLab) outcome() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.welcoming > 0 {
		l.welcomed.Wait()
	}
	if len(l.seen) == 0 {
		return ""
	}
	last := l.seen[len(l.seen)-1]
	return strings.TrimSpace(last.address + " " + last.how + " " + last.path)
}
