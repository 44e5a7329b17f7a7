//go:build integration

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// sshClient is a configuration of ssh that has nothing to do with the user's:
// a key of its own, and known hosts of its own for every port.
type sshClient struct{ dir string }

// useSSH makes "ssh" mean the system's ssh with a configuration of our own, for
// the test that calls it and its subtests. HOME would not do: ssh asks the user
// database where that is.
func useSSH(t *testing.T) *sshClient {
	t.Helper()
	c := &sshClient{t.TempDir()}
	ssh, err := exec.LookPath("ssh")
	require.NoError(t, err)
	makeKey(t, c.key())
	c.write(t, "config", fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nGlobalKnownHostsFile /dev/null\n",
		c.key(), c.knownHosts("%p")))
	c.write(t, "bin/ssh", fmt.Sprintf("#!/bin/sh\nexec '%s' -F '%s/config' \"$@\"\n", ssh, c.dir))
	t.Setenv("PATH", filepath.Join(c.dir, "bin")+":"+os.Getenv("PATH"))
	return c
}

func (c *sshClient) key() string                   { return filepath.Join(c.dir, "id") }
func (c *sshClient) knownHosts(port string) string { return filepath.Join(c.dir, "known_hosts."+port) }

func (c *sshClient) write(t *testing.T, name, content string) {
	writeFile(t, filepath.Join(c.dir, name), content)
}

// trust makes a host key, in a file named like the private one, a port's known one.
func (c *sshClient) trust(t *testing.T, port, key string) {
	t.Helper()
	public, err := os.ReadFile(key + ".pub")
	require.NoError(t, err)
	writeFile(t, c.knownHosts(port), fmt.Sprintf("[127.0.0.1]:%s %s", port, public))
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o700))
}

func makeKey(t *testing.T, path string) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput()
	require.NoError(t, err, "%s", text)
}

// sshServer is an sshd on loopback before an engine.
type sshServer struct {
	port    string
	user    string
	key     string // the host's, private
	pidFile string
	log     bytes.Buffer
}

// sshOptions say how a host differs from one that works.
type sshOptions struct {
	authorizedKeys string // a file of public keys; empty: the client's
	path           string // where commands are found; empty: where docker is
}

// serveSSH starts an sshd whose users find the docker command and the engine.
// It ends when the test does, or when the process of the test does.
func serveSSH(t *testing.T, c *sshClient, e *engines.Engine, o sshOptions) *sshServer {
	t.Helper()
	dir := t.TempDir()
	me, err := user.Current()
	require.NoError(t, err)
	s := &sshServer{port: freePort(t), user: me.Username, key: filepath.Join(dir, "host_key"), pidFile: filepath.Join(dir, "pid")}
	makeKey(t, s.key)
	if o.authorizedKeys == "" {
		o.authorizedKeys = c.key() + ".pub"
	}
	if o.path == "" {
		o.path = dockerFolder(t, e) + ":/usr/bin:/bin"
	}
	config := filepath.Join(dir, "sshd_config")
	writeFile(t, config, strings.Join([]string{
		"ListenAddress 127.0.0.1", "Port " + s.port, "HostKey " + s.key, "PidFile " + s.pidFile,
		"AuthorizedKeysFile " + o.authorizedKeys, "StrictModes no", "UsePAM no", "PasswordAuthentication no",
		"KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password",
		"SetEnv PATH=" + o.path + " DOCKER_HOST=" + e.Host, "",
	}, "\n"))
	if os.Geteuid() == 0 {
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // sshd insists
	}
	// The shell ends sshd when its input ends, and that is when we do.
	sshd := exec.Command("sh", "-c", `/usr/sbin/sshd -D -e -f "$0" </dev/null & cat >/dev/null; kill $! && wait $!`, config)
	sshd.Stdout, sshd.Stderr = &s.log, &s.log
	end, err := sshd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, sshd.Start())
	t.Cleanup(func() {
		end.Close()
		sshd.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", s.log.String())
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+s.port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, 20*time.Second, 20*time.Millisecond, "sshd listens")
	c.trust(t, s.port, s.key)
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func dockerFolder(t *testing.T, e *engines.Engine) string {
	t.Helper()
	version := e.Name
	if !e.Owned() {
		version = "28.5"
	}
	docker, err := engines.DockerCommand(t.Context(), version)
	require.NoError(t, err)
	return filepath.Dir(docker)
}

func (s *sshServer) host() string { return "ssh://" + s.user + "@127.0.0.1:" + s.port }

func (s *sshServer) client(t *testing.T, path string, opts ...swarm.Option) *swarm.Client {
	t.Helper()
	client, err := swarm.New(append(opts, swarm.WithHost(s.host()+path))...)
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

// processes are those of ssh that go to the server.
func (s *sshServer) processes(t *testing.T) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []int
	for _, file := range files {
		line, _ := os.ReadFile(file) // gone since: empty
		if strings.Contains(string(line), "\x00-p\x00"+s.port+"\x00--\x00127.0.0.1\x00") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			require.NoError(t, err)
			found = append(found, pid)
		}
	}
	return found
}

// sessions are the processes of sshd that serve one connection each.
func (s *sshServer) sessions(t *testing.T) []int {
	t.Helper()
	pid, err := os.ReadFile(s.pidFile)
	require.NoError(t, err)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]s/task/%[1]s/children", bytes.TrimSpace(pid)))
	require.NoError(t, err)
	var found []int
	for _, child := range strings.Fields(string(children)) {
		pid, err := strconv.Atoi(child)
		require.NoError(t, err)
		found = append(found, pid)
	}
	return found
}

func TestSSHReachesTheEngine(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := serveSSH(t, c, e, sshOptions{})
		paths := []string{""} // the engine that the docker command over there finds
		if socket, ok := strings.CutPrefix(e.Host, "unix://"); ok {
			paths = append(paths, socket)
		}
		for _, path := range paths {
			client := s.client(t, path)
			version, err := client.System.Version(t.Context())
			require.NoError(t, err)
			assert.Equal(t, e.Version, version.Version)
			_, err = client.Services.Inspect(t.Context(), "none-of-that-name")
			assert.ErrorIs(t, err, swarm.ErrNotFound)
		}
	})
}

func TestSSHCarriesThirtyCallsAtOnce(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := serveSSH(t, c, e, sshOptions{})
		client := s.client(t, "", swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 1}))
		const calls = 30
		var group sync.WaitGroup
		for range calls {
			group.Go(func() {
				for range 3 {
					_, err := client.Services.List(t.Context(), nil)
					assert.NoError(t, err)
				}
			})
		}
		group.Wait()
		assert.LessOrEqual(t, len(s.processes(t)), calls)
	})
}

func TestSSHStreamsDoNotHoldUpCalls(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := serveSSH(t, c, e, sshOptions{}).client(t, "")
		for range 6 {
			defer events(t, client).Close()
		}
		_, err := client.Services.List(t.Context(), nil)
		assert.NoError(t, err)
	})
}

// events opens a stream on which nothing comes.
func events(t *testing.T, client *swarm.Client) io.ReadCloser {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, `/events?filters={"type":["plugin"]}`, nil)
	require.NoError(t, err)
	response, err := client.Do(request)
	require.NoError(t, err)
	return response.Body
}

func TestSSHThatIsKilledSaysWhatHappened(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := serveSSH(t, c, e, sshOptions{})
		for want, victims := range map[string]func(*testing.T) []int{
			"signal: killed": s.processes,
			"exit status 255: Connection to 127.0.0.1 closed by remote host.": s.sessions,
		} {
			client := s.client(t, "")
			stream := events(t, client)
			defer stream.Close()
			for _, pid := range victims(t) {
				require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			}
			_, err := io.ReadAll(stream)
			assert.ErrorContains(t, err, want)
			_, err = client.Services.List(t.Context(), nil)
			assert.NoError(t, err, "the next call has a connection of its own")
		}
	})
}

func TestSSHHostWithTheWrongKeyIsNotTrusted(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := serveSSH(t, c, e, sshOptions{})
		other := filepath.Join(t.TempDir(), "key")
		makeKey(t, other)
		c.trust(t, s.port, other)
		_, err := s.client(t, "").System.Version(t.Context())
		assert.ErrorIs(t, err, swarm.ErrUnreachable)
		assert.ErrorContains(t, err, "REMOTE HOST IDENTIFICATION HAS CHANGED")

		require.NoError(t, os.Remove(c.knownHosts(s.port)))
		_, err = s.client(t, "").System.Version(t.Context())
		assert.ErrorIs(t, err, swarm.ErrUnreachable)
		assert.ErrorContains(t, err, "Host key verification failed")
		assert.NoFileExists(t, c.knownHosts(s.port), "and it is not trusted from then on either")
	})
}

func TestSSHFailuresOfTheHostAreTold(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		for _, test := range []struct {
			options sshOptions
			path    string
			want    string
		}{
			{sshOptions{authorizedKeys: "/dev/null"}, "", "exit status 255: " + currentUser(t) + "@127.0.0.1: Permission denied (publickey)."},
			{sshOptions{path: "/nowhere"}, "", "docker: command not found"},
			{sshOptions{}, "/nowhere/docker.sock", "/nowhere/docker.sock"},
		} {
			_, err := serveSSH(t, c, e, test.options).client(t, test.path).System.Version(t.Context())
			assert.ErrorIs(t, err, swarm.ErrUnreachable)
			assert.ErrorContains(t, err, test.want)
		}
	})
}

func currentUser(t *testing.T) string {
	t.Helper()
	me, err := user.Current()
	require.NoError(t, err)
	return me.Username
}

func TestSSHProcessesEndWithTheClient(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		s := serveSSH(t, c, e, sshOptions{})
		client := s.client(t, "")
		var group sync.WaitGroup
		for range 5 {
			group.Go(func() {
				_, err := client.Services.List(t.Context(), nil)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		require.NotEmpty(t, s.processes(t))
		require.NoError(t, client.Close())
		assert.Empty(t, s.processes(t))
	})
}

func TestSSHCarriesAnotherClient(t *testing.T) {
	c := useSSH(t)
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := serveSSH(t, c, e, sshOptions{}).client(t, "")
		other := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				return client.DialContext(ctx, network, address)
			},
		}}
		defer other.CloseIdleConnections()
		response, err := other.Get("http://engine/_ping")
		require.NoError(t, err)
		defer response.Body.Close()
		assert.Equal(t, e.APIVersion, response.Header.Get("Api-Version"))
	})
}
