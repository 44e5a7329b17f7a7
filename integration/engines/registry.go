package engines

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Registry is a registry of images, Debian's docker-registry, in the network of an
// engine. It speaks TLS, and admits one user.
type Registry struct {
	Addr     string // as images name it: "10.99.0.11:5000"
	Username string
	Password string

	engine      *Engine
	dir         string
	certificate []byte
	process     *exec.Cmd
	exited      chan struct{}
}

const (
	registryPort     = "5000"
	registryUser     = "swarmtest"
	registryPassword = "swordfish"
	// What htpasswd makes of the password.
	registryHash = "$2y$05$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy"
)

// StartRegistry starts a registry at the address of an engine, which need not be
// the only one on its network. It is set up when it is not there yet, as an engine
// is. [Registry.Close] ends it.
func (e *Engine) StartRegistry(ctx context.Context) (*Registry, error) {
	if !e.Owned() {
		return nil, errNotOurs
	}
	program, err := output(e.lab.script(ctx, "registry-path"))
	if err != nil {
		return nil, fmt.Errorf("engines: set up registry: %w", err)
	}
	r := &Registry{Addr: net.JoinHostPort(e.Addr, registryPort), Username: registryUser, Password: registryPassword,
		engine: e, dir: e.lab.path(e.Name, "registry")}
	if err := r.write(); err != nil {
		return nil, fmt.Errorf("engines: registry: %w", err)
	}
	log, err := os.Create(filepath.Join(r.dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("engines: %w", err)
	}
	defer log.Close()
	r.process = exec.Command("nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", e.PID()), program, "serve", filepath.Join(r.dir, "config.yml"))
	r.process.Stdout, r.process.Stderr = log, log
	if err := startDyingWithUs(r.process); err != nil {
		return nil, fmt.Errorf("engines: start registry: %w", err)
	}
	r.exited = make(chan struct{})
	go func() {
		r.process.Wait() // how it ended is in its log
		close(r.exited)
	}()
	if err := r.wait(ctx); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, errors.Join(fmt.Errorf("engines: start registry: %w; its log:\n%s", err, text), r.Close())
	}
	return r, nil
}

// wait waits until the registry listens.
func (r *Registry) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := r.engine.Dial(ctx, "tcp", r.Addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-r.exited:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// write makes the registry's folder: its configuration, its user, its certificate.
func (r *Registry) write() error {
	certificate, key, err := selfSigned(r.engine.Addr)
	if err != nil {
		return err
	}
	r.certificate = certificate
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	config := fmt.Sprintf(`version: 0.1
storage: {filesystem: {rootdirectory: %[1]s/images}}
http: {addr: %[2]q, tls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}}
auth: {htpasswd: {realm: tests, path: %[1]s/users}}
`, r.dir, r.Addr)
	for name, content := range map[string][]byte{
		"config.yml": []byte(config), "cert.pem": certificate, "key.pem": key, "users": []byte(registryUser + ":" + registryHash + "\n"),
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// selfSigned makes a certificate that is its own authority, and its key.
func selfSigned(address string) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests"}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), nil
}

// Trust lets an engine trust the registry's certificate, until the engine ends.
func (r *Registry) Trust(e *Engine) error {
	dir := fmt.Sprintf("/proc/%d/root/etc/docker/certs.d/%s", e.PID(), r.Addr)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("engines: %w", err)
	}
	return os.WriteFile(filepath.Join(dir, "ca.crt"), r.certificate, 0o644)
}

// Close ends the registry. Its images go with its engine.
func (r *Registry) Close() error {
	if err := r.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("engines: end registry: %w", err)
	}
	<-r.exited
	return nil
}
