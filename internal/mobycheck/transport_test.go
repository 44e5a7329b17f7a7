//go:build !windows

package mobycheck

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	ours "github.com/swarm-go/swarm"
)

// The test binary is the ssh of these tests, if it is called by that name: it
// carries bytes to the engine's socket, as "docker system dial-stdio" does.
const sshSocket = "SWARM_TEST_SSH_SOCKET"

func init() {
	if socket := os.Getenv(sshSocket); socket != "" && filepath.Base(os.Args[0]) == "ssh" {
		if err := relay(socket); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func relay(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.UnixConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// installSSH makes it the system's ssh for one test.
func installSSH(t *testing.T, socket string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.Symlink(self, filepath.Join(folder, "ssh")))
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	t.Setenv(sshSocket, socket)
}

// Moby's client rides on whatever way to the engine ours has.
func TestMobysClientRidesOnOurConnections(t *testing.T) {
	e := &engine{}
	secure := httptest.NewTLSServer(e)
	t.Cleanup(secure.Close)
	socket := serveUnix(t, e)
	installSSH(t, socket)

	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	storeContext(t, config, "lab", "unix://"+socket)

	for name, opts := range map[string][]ours.Option{
		"unix":    {ours.WithHost("unix://" + socket)},
		"TLS":     {ours.WithHost(secure.URL), ours.WithTLS(secure.Client().Transport.(*http.Transport).TLSClientConfig)},
		"ssh":     {ours.WithHost("ssh://me@engine.invalid")},
		"context": {ours.WithContext("lab")},
	} {
		t.Run(name, func(t *testing.T) {
			_, moby := clients(t, opts...)
			version, err := moby.ServerVersion(t.Context(), client.ServerVersionOptions{})
			require.NoError(t, err)
			assert.Equal(t, "1.51", version.APIVersion)
			services, err := moby.ServiceList(t.Context(), client.ServiceListOptions{})
			require.NoError(t, err)
			assert.NotEmpty(t, services.Items)
			assert.Equal(t, "/services", e.last(t).path)
		})
	}
}

// storeContext writes what "docker context create" would.
func storeContext(t *testing.T, config, name, host string) {
	t.Helper()
	folder := filepath.Join(config, "contexts", "meta", fmt.Sprintf("%x", sha256.Sum256([]byte(name))))
	require.NoError(t, os.MkdirAll(folder, 0o700))
	meta := fmt.Sprintf(`{"Name":%q,"Metadata":{},"Endpoints":{"docker":{"Host":%q}}}`, name, host)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "meta.json"), []byte(meta), 0o600))
}
