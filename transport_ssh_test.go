//go:build !windows

package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"
)

// The test binary is the ssh that these tests run: installSSH puts it into PATH
// under that name, and tells it by environment how to behave.
const (
	fakeMode   = "SWARM_TEST_SSH"        // what to do
	fakeSocket = "SWARM_TEST_SSH_SOCKET" // the engine to connect with
	fakeArgs   = "SWARM_TEST_SSH_ARGS"   // a file to write the arguments to
)

func init() {
	if mode := os.Getenv(fakeMode); mode != "" && filepath.Base(os.Args[0]) == "ssh" {
		os.Exit(runFakeSSH(mode))
	}
}

func runFakeSSH(mode string) int {
	if file := os.Getenv(fakeArgs); file != "" {
		os.WriteFile(file, []byte(strings.Join(os.Args[1:], "\x00")), 0o600)
	}
	switch mode {
	case "refused":
		fmt.Fprint(os.Stderr, "banner of the host\r\n\x1b[31mPermission denied\x1b[0m (publickey).\r\n")
		return 255
	case "quiet":
		return 0
	case "chatty":
		fmt.Fprint(os.Stderr, strings.Repeat("x", 100_000), "\nthe reason\n")
		return 255
	case "noise":
		fmt.Println("Welcome to the host!")
	case "hang":
		fmt.Fprintln(os.Stderr, "connecting...")
		time.Sleep(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		answerPing()
		time.Sleep(time.Hour)
	case "mute":
		answerPing()
		os.Stdout.Close()
		time.Sleep(time.Hour)
	case "dies":
		answerPing()
		bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Print("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
		fmt.Fprintln(os.Stderr, "client_loop: send disconnect: Broken pipe")
		return 255
	case "leaves a child":
		child := exec.Command("sleep", "60")
		child.Stderr = os.Stderr
		child.Start()
		os.WriteFile(os.Getenv(fakeArgs), fmt.Append(nil, child.Process.Pid), 0o600)
		answerPing()
		fmt.Fprintln(os.Stderr, "gone")
		return 255
	}
	return relay()
}

// answerPing is an engine up to its first answer.
func answerPing() {
	reader := bufio.NewReader(os.Stdin)
	for line := ""; line != "\r\n"; {
		line, _ = reader.ReadString('\n')
	}
	fmt.Print("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
}

// relay is "docker system dial-stdio".
func relay() int {
	conn, err := net.Dial("unix", os.Getenv(fakeSocket))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.UnixConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
	return 0
}

// installSSH makes the fake the system's ssh for one test.
func installSSH(t *testing.T, mode string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(dir, "ssh")))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(fakeMode, mode)
}

func openSSH(t *testing.T, mode string) *transport {
	t.Helper()
	installSSH(t, mode)
	return open(t, &endpoint{scheme: "ssh", address: "me@engine.invalid"}, testConfig(nil))
}

// openRelay is a transport over the fake to a server of our own.
func openRelay(t *testing.T, handler http.Handler) *transport {
	t.Helper()
	e, _ := serve(t, "unix", handler)
	t.Setenv(fakeSocket, e.address)
	return openSSH(t, "relay")
}

func dialSSH(t *testing.T, tr *transport) *sshConn {
	t.Helper()
	conn, err := tr.dial(t.Context())
	require.NoError(t, err)
	return conn.(*sshConn)
}

func isRunning(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestSSHCarriesRequests(t *testing.T) {
	noLeaks(t)
	tr := openRelay(t, http.HandlerFunc(echoURL))
	body, err := tr.get(t.Context(), "/v1.45/info")
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 localhost /v1.45/info", body)
}

func TestSSHNeedsNoPermissionToPing(t *testing.T) {
	for _, connection := range []string{"keep-alive", "close"} {
		tr := openRelay(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/_ping" {
				w.Header().Set("Connection", connection)
				w.WriteHeader(http.StatusForbidden)
			}
		}))
		_, err := tr.get(t.Context(), "/x")
		assert.NoError(t, err, connection)
	}
}

func TestSSHConnectionsBehaveLikeConnections(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "engine.sock"))
	require.NoError(t, err)
	defer l.Close()
	t.Setenv(fakeSocket, l.Addr().String())
	tr := openSSH(t, "relay")
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			ping := make([]byte, 4<<10)
			conn.Read(ping) // small enough to come in one piece
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")
			accepted <- conn
		}()
		if c1, err = tr.dial(context.Background()); err != nil {
			return nil, nil, nil, err
		}
		c2 = <-accepted
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
	tr.closeIdle()
}

func TestSSHHalfCloseLetsTheAnswerThrough(t *testing.T) {
	tr := openRelay(t, http.HandlerFunc(echoURL))
	conn := dialSSH(t, tr)
	defer conn.Close()
	_, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "HTTP/1.1 x /x")
	_, err = conn.Write([]byte("more"))
	assert.ErrorIs(t, err, net.ErrClosed)
}

func TestSSHCloseEndsTheProcess(t *testing.T) {
	noLeaks(t)
	tr := openRelay(t, http.HandlerFunc(echoURL))
	conn := dialSSH(t, tr)
	reading := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		reading <- err
	}()
	require.NoError(t, conn.Close())
	assert.ErrorIs(t, <-reading, net.ErrClosed)
	assert.ErrorIs(t, conn.Close(), net.ErrClosed)
	tr.closeIdle()
	assert.False(t, isRunning(conn.process.Pid), "reaped, or it would still be there")
}

func TestSSHThatDoesNotWantToEndIsKilled(t *testing.T) {
	noLeaks(t)
	tr := openSSH(t, "stubborn")
	conn := dialSSH(t, tr)
	require.NoError(t, conn.Close())
	assert.True(t, isRunning(conn.process.Pid), "Close does not wait")
	tr.closeIdle()
	assert.False(t, isRunning(conn.process.Pid))
	assert.ErrorContains(t, conn.exit, "killed")
}

// Some of the dials are not needed in the end: their requests are served by
// connections that were made for others.
func TestSSHProcessesOfDialsGivenUpEndWithTheOthers(t *testing.T) {
	noLeaks(t)
	tr := openRelay(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Millisecond) }))
	for range 10 {
		hammer(t, tr, 12, 1)
		tr.closeIdle()
		// net/http may be about to close a connection that it has just been given.
		assert.Eventually(t, func() bool { return children(t) == "" }, 10*time.Second, time.Millisecond)
	}
}

// children are the processes that this one has started, on Linux.
func children(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	var all []byte
	for _, file := range files {
		pids, _ := os.ReadFile(file) // the thread may have ended
		all = append(all, pids...)
	}
	return string(all)
}

func TestSSHFailuresSayWhy(t *testing.T) {
	noLeaks(t)
	for mode, want := range map[string]string{
		"refused": `dial ssh engine.invalid: exit status 255: banner of the host; \x1b[31mPermission denied\x1b[0m (publickey).`,
		"quiet":   "the connection ended before the engine answered",
		"noise":   `malformed HTTP response "Welcome to the host!\n"`,
	} {
		t.Run(mode, func(t *testing.T) {
			tr := openSSH(t, mode)
			_, err := tr.get(t.Context(), "/x")
			assert.ErrorContains(t, err, want)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			assert.Equal(t, "dial", op.Op, "nothing was sent")
			assert.NotContains(t, err.Error(), "me@")
		})
	}
}

// Under load ssh has often ended before anything is written to it.
func TestSSHThatFailsBeforeThePingSaysTheSame(t *testing.T) {
	noLeaks(t)
	for mode, want := range map[string]string{
		"refused": `exit status 255: banner of the host; \x1b[31mPermission denied\x1b[0m (publickey).`,
		"quiet":   "the connection ended before the engine answered",
	} {
		installSSH(t, mode)
		dialer, err := newSSHDialer(&endpoint{scheme: "ssh", address: "me@engine.invalid"}, testConfig(nil))
		require.NoError(t, err)
		conn, err := dialer.start()
		require.NoError(t, err)
		<-conn.ended
		assert.EqualError(t, conn.ping(), want)
		conn.kill()
	}
}

func TestSSHFailureIsAnExitError(t *testing.T) {
	_, err := openSSH(t, "refused").dial(t.Context())
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 255, exit.ExitCode())
}

func TestSSHErrorsAreBounded(t *testing.T) {
	_, err := openSSH(t, "chatty").dial(t.Context())
	assert.ErrorContains(t, err, "the reason")
	assert.Less(t, len(err.Error()), maxStderr+200)
}

func TestSSHThatDiesInAnAnswerSaysWhy(t *testing.T) {
	noLeaks(t)
	tr := openSSH(t, "dies")
	_, err := tr.get(t.Context(), "/x")
	assert.ErrorContains(t, err, "exit status 255: client_loop: send disconnect: Broken pipe")
}

func TestSSHThatDiedRefusesWritesWithTheReason(t *testing.T) {
	tr := openSSH(t, "dies")
	conn := dialSSH(t, tr)
	defer conn.Close()
	_, err := conn.Write([]byte("x\n"))
	require.NoError(t, err)
	<-conn.ended
	_, err = conn.Write([]byte("more"))
	assert.ErrorContains(t, err, "Broken pipe")
	assert.ErrorAs(t, err, new(*exec.ExitError))
}

func TestSSHIsFoundDeadThoughItsChildLives(t *testing.T) {
	noLeaks(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	t.Setenv(fakeArgs, pidFile)
	tr := openSSH(t, "leaves a child")
	conn := dialSSH(t, tr)
	defer conn.Close()
	_, err := io.ReadAll(conn)
	assert.ErrorContains(t, err, "exit status 255: gone")
	pid, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	var child int
	fmt.Sscan(string(pid), &child)
	require.NoError(t, syscall.Kill(child, syscall.SIGKILL))
}

func TestSSHThatClosesItsOutputOnlyIsClosedAtOnce(t *testing.T) {
	noLeaks(t)
	tr := openSSH(t, "mute")
	conn := dialSSH(t, tr)
	read := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1)) // the end of the output, and no reason yet
		read <- err
	}()
	time.Sleep(50 * time.Millisecond)
	require.NoError(t, conn.Close())
	assert.ErrorIs(t, <-read, net.ErrClosed)
}

func TestSSHThatHangsIsGivenUp(t *testing.T) {
	noLeaks(t)
	installSSH(t, "hang")
	c := testConfig(nil)
	c.dialTimeout = 2 * time.Second // to let it say something
	tr := open(t, &endpoint{scheme: "ssh", address: "engine"}, c)
	_, err := tr.dial(t.Context())
	assert.ErrorContains(t, err, "no connection after 2s: connecting...")
	assert.NotErrorIs(t, err, context.DeadlineExceeded)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = tr.get(ctx, "/x")
	assert.ErrorIs(t, err, context.Canceled)
	tr.closeIdle()
}

func TestMissingSSHIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := open(t, &endpoint{scheme: "ssh", address: "engine"}, testConfig(nil)).dial(t.Context())
	assert.ErrorIs(t, err, exec.ErrNotFound)
}

func TestFewSSHHandshakesAtATime(t *testing.T) {
	noLeaks(t)
	var pings, most atomic.Int64
	tr := openRelay(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_ping" {
			now := pings.Add(1)
			for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			pings.Add(-1)
		}
	}))
	hammer(t, tr, 16, 20)
	assert.LessOrEqual(t, most.Load(), int64(sshHandshakes))
	// A connection that net/http has replaced, as it does on busy machines, takes a moment to end.
	assert.Eventually(t, func() bool { return len(strings.Fields(children(t))) <= 16 }, 10*time.Second, time.Millisecond)
}

func TestWaitingForAnSSHHandshakeEndsWithTheContext(t *testing.T) {
	noLeaks(t)
	tr := openSSH(t, "hang")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for range 3 * sshHandshakes {
		wg.Go(func() {
			_, err := tr.dial(ctx)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	wg.Wait()
	tr.closeIdle()
}

func TestSSHIsRunWithTheseArgumentsAndNoShell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "args")
	t.Setenv(fakeArgs, file)
	installSSH(t, "refused")
	c := testConfig(nil)
	c.dialTimeout = 1500 * time.Millisecond
	_, err := open(t, &endpoint{scheme: "ssh", address: "me@[::1]:2222", path: "/run/my engine's.sock"}, c).dial(t.Context())
	require.Error(t, err)
	args, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, []string{
		"-T", "-a", "-x", "-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-o", "ServerAliveInterval=15",
		"-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none",
		"-l", "me", "-p", "2222", "--", "::1",
		"docker", "--host", `'unix:///run/my engine'\''s.sock'`, "system", "dial-stdio",
	}, strings.Split(string(args), "\x00"))
}

func TestHostileSSHAddressesAreRefused(t *testing.T) {
	for _, test := range []struct{ address, path string }{
		{"", ""}, {"@h", ""}, {"-oProxyCommand=x", ""}, {"me@-oProxyCommand=x", ""}, {"-l@h", ""}, {"a b@h", ""}, {"a@b@h", ""},
		{"$(reboot)", ""}, {"h;reboot", ""}, {"h\nx", ""}, {"`x`@h", ""}, {"me@h%h", ""}, {"[::1]:0", ""}, {"h:65536", ""}, {"h:-1", ""},
		{"h:22:22", ""}, {strings.Repeat("h", 10_000), ""}, {"h", "relative"}, {"h", "/a\nb"}, {"h", "/a\x00"}, {"h", "/" + strings.Repeat("x", 10_000)},
	} {
		_, err := newTransport(&endpoint{scheme: "ssh", address: test.address, path: test.path}, testConfig(nil))
		assert.Error(t, err, "%.100q %.100q", test.address, test.path)
		if err != nil {
			assert.Less(t, len(err.Error()), 300)
		}
	}
}

// FuzzSSHArgs checks that nothing in a host can become an option, another
// command, or another argument of the command over there.
func FuzzSSHArgs(f *testing.F) {
	for _, seed := range [][2]string{
		{"me@host:22", "/var/run/docker.sock"}, {"-oProxyCommand=x@h", ""}, {"[fe80::1%25eth0]", "/a b"},
		{"h", "/it's"}, {"h", "/$(x)`y`"}, {"h", "/\\'"}, {"h.", "//"}, {"a.b_c-d@1.2.3.4:1", "/é"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, address, path string) {
		args, err := sshArgs(address, path, time.Second)
		if err != nil {
			return
		}
		end := 15 // of the constant options
		for end < len(args) && args[end] != "--" {
			require.Contains(t, []string{"-l", "-p"}, args[end])
			require.NotEmpty(t, args[end+1])
			require.NotEqual(t, byte('-'), args[end+1][0])
			end += 2
		}
		host := args[end+1]
		require.NotEqual(t, byte('-'), host[0])
		require.False(t, strings.ContainsAny(host, "@ \t\n\x00$`;&|<>'\"\\"), host)
		words, err := shellWords(strings.Join(args[end+2:], " "))
		require.NoError(t, err)
		want := []string{"docker", "system", "dial-stdio"}
		if path != "" && path != "/" {
			want = []string{"docker", "--host", "unix://" + path, "system", "dial-stdio"}
		}
		require.Equal(t, want, words)
	})
}

// shellWords splits a command line as a POSIX shell does; what would be
// anything but words is an error.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'':
			quoted = !quoted
		case quoted:
			word.WriteByte(c)
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
		case c == ' ':
			words = append(words, word.String())
			word.Reset()
		case strings.IndexByte("$`;&|<>\"\n\t*?[]#~!(){}", c) >= 0:
			return nil, fmt.Errorf("%q means something to a shell", c)
		default:
			word.WriteByte(c)
		}
	}
	if quoted {
		return nil, errors.New("open quote")
	}
	return append(words, word.String()), nil
}
