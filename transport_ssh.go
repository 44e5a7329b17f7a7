package swarm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// sshHandshakes are made at a time. sshd begins to refuse them at random when
	// ten are under way, from all its clients together.
	sshHandshakes = 4
	// maxStderr of what ssh says, its last words, go into errors.
	maxStderr = 1 << 10
	// maxPing is what the answer to the first request may hold.
	maxPing = 16 << 10

	// What a process whose connection was closed has to end by itself, and then
	// once it was asked to.
	sshEndPatience  = 500 * time.Millisecond
	sshTermPatience = 2 * time.Second
	// sshStderrPatience is for the last words of a process that has ended; others
	// may hold its stderr open, a multiplexer for instance.
	sshStderrPatience = 500 * time.Millisecond
	// sshExitPatience is for the end of a process that has closed its output.
	sshExitPatience = 3 * time.Second
)

// sshDialer reaches an engine by running the system's ssh, so that the user's
// configuration, keys, agent and known hosts count. Every connection is a
// process of its own, which runs "docker system dial-stdio" over there.
type sshDialer struct {
	args    []string
	addr    net.Addr
	timeout time.Duration
	slots   chan struct{} // one for every handshake under way

	mu      sync.Mutex
	dials   map[context.Context]chan struct{} // under way; closed when one is over
	closing map[*sshConn]struct{}             // closed connections whose process is still there
}

func newSSHDialer(e *endpoint, c *config) (*sshDialer, error) {
	args, err := sshArgs(e.address, e.path, c.dialTimeout)
	if err != nil {
		return nil, err
	}
	name := e.address[strings.LastIndex(e.address, "@")+1:]
	return &sshDialer{
		args: args, addr: nameAddr{"ssh", name}, timeout: c.dialTimeout,
		slots: make(chan struct{}, sshHandshakes), dials: map[context.Context]chan struct{}{}, closing: map[*sshConn]struct{}{},
	}, nil
}

// plainWord needs no quotes in any shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=+@-]+$`)

// sshArgs is how ssh is called: for an address [user@]host[:port] and, unless
// it is empty, the path of the engine's socket over there.
func sshArgs(address, path string, timeout time.Duration) ([]string, error) {
	user, host, port, err := splitSSH(address)
	if err != nil {
		return nil, err
	}
	args := []string{
		"-T", "-a", "-x", // no terminal, no agent, no X11 over there
		"-o", "BatchMode=yes", // never ask
		"-o", "ConnectTimeout=" + strconv.Itoa(int(math.Ceil(timeout.Seconds()))),
		"-o", "ServerAliveInterval=15", // notice dead links
		// What the user configured for logging in would be in the way of a pipe.
		"-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none",
	}
	if user != "" {
		args = append(args, "-l", user)
	}
	if port != "" {
		args = append(args, "-p", port)
	}
	args = append(args, "--", host, "docker")
	if path != "" && path != "/" {
		socket, err := remoteSocket(path)
		if err != nil {
			return nil, err
		}
		args = append(args, "--host", socket)
	}
	return append(args, "system", "dial-stdio"), nil
}

// splitSSH takes [user@]host[:port] apart. What could be an option, or mean
// something to a shell in the user's ssh configuration, is refused.
func splitSSH(address string) (user, host, port string, err error) {
	authority := address
	if before, after, ok := strings.Cut(address, "@"); ok {
		user, authority = before, after
		if !sshLogin.MatchString(user) {
			return "", "", "", errors.New("ssh: invalid user name")
		}
	}
	if host, port, err = splitHostPort(authority); err == nil {
		err = checkHostName(host)
	}
	if err != nil {
		return "", "", "", fmt.Errorf("ssh: %w", err)
	}
	return user, host, port, nil
}

// remoteSocket is the URL of a socket over there, quoted for the shell at that
// end if it needs quotes.
func remoteSocket(path string) (string, error) {
	switch word := "unix://" + path; {
	case path[0] != '/' || len(path) > maxHost || strings.ContainsFunc(path, isUnprintable):
		return "", fmt.Errorf("ssh: %q is no path of a socket", clip(path, 64))
	case plainWord.MatchString(word):
		return word, nil
	default:
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'", nil
	}
}

// dial makes a connection, once there are few enough others being made.
func (d *sshDialer) dial(ctx context.Context) (net.Conn, error) {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return nil, dialError(d.addr, ctx.Err())
	}
	return within(d.timeout, d.addr, d.connect)(ctx)
}

// connect runs ssh and asks the engine for a sign of life. Nothing else tells
// that the handshake is over, and ssh's failures thus come before a request is
// sent and not after, when nobody would know what became of it.
func (d *sshDialer) connect(ctx context.Context) (net.Conn, error) {
	if err := d.enter(ctx); err != nil {
		return nil, err
	}
	defer d.leave(ctx)
	conn, err := d.start()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, conn.kill)
	err = conn.ping()
	if !stop() {
		conn.kill() // the other one may not have begun
		return nil, &sshError{exit: ctx.Err(), stderr: conn.stderr.String()}
	}
	switch {
	case err == errNotKept:
		conn.kill()
		return d.start()
	case err != nil:
		conn.kill()
		return nil, err
	}
	return conn, nil
}

// start runs ssh with pipes for the files that net/http reads and writes:
// deadlines work on them.
func (d *sshDialer) start() (*sshConn, error) {
	childIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		in.Close()
		return nil, err
	}
	conn := &sshConn{dialer: d, in: in, out: out, closed: make(chan struct{}), ended: make(chan struct{})}
	cmd := exec.Command("ssh", d.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, &conn.stderr
	cmd.WaitDelay = sshStderrPatience
	detach(cmd)
	err = cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		in.Close()
		out.Close()
		return nil, fmt.Errorf("run ssh: %w", err)
	}
	conn.process = cmd.Process
	go conn.wait(cmd)
	return conn, nil
}

func (d *sshDialer) enter(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := ctx.Err()
	if err == nil {
		d.dials[ctx] = make(chan struct{})
	}
	return err
}

func (d *sshDialer) leave(ctx context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.dials[ctx])
	delete(d.dials, ctx)
}

// waitClosing waits for the processes of closed connections and of dials that
// were given up.
func (d *sshDialer) waitClosing() {
	for _, over := range d.givenUp() {
		<-over
	}
	for _, conn := range d.closed() {
		<-conn.ended
	}
}

func (d *sshDialer) remember(c *sshConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-c.ended:
	default:
		d.closing[c] = struct{}{}
	}
}

func (d *sshDialer) forget(c *sshConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.closing, c)
}

func (d *sshDialer) givenUp() (over []chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ctx, dial := range d.dials {
		if ctx.Err() != nil {
			over = append(over, dial)
		}
	}
	return over
}

func (d *sshDialer) closed() []*sshConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.closing))
}

// sshConn is the connection that one ssh process carries.
type sshConn struct {
	dialer  *sshDialer
	process *os.Process
	in      *os.File // what ssh reads
	out     *os.File // what ssh writes
	stderr  lastWords
	closing sync.Once
	closed  chan struct{} // closed by Close
	ended   chan struct{} // closed when the process is gone
	exit    error         // why, to be read after that
}

// wait takes the process from the system's table when it has ended.
func (c *sshConn) wait(cmd *exec.Cmd) {
	if err := cmd.Wait(); !errors.Is(err, exec.ErrWaitDelay) {
		c.exit = err
	}
	close(c.ended)
	c.dialer.forget(c)
}

// ping makes a first request. Any answer will do. That ssh has failed may show
// when it is sent, or when the answer is read.
func (c *sshConn) ping() error {
	err := c.askPing()
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err // the error of the dial has the rest
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) {
		return c.failure(errors.New("the connection ended before the engine answered"))
	}
	return err
}

func (c *sshConn) askPing() error {
	const request = "GET /_ping HTTP/1.1\r\nHost: " + fakeHost + "\r\nUser-Agent: swarm-go\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(c, maxPing))
	if start, err := reader.Peek(len("HTTP/")); err == nil && string(start) != "HTTP/" {
		line, _ := reader.ReadString('\n')
		return fmt.Errorf("malformed HTTP response %q: does the host print something at login?", clip(line, 128))
	}
	response, err := http.ReadResponse(reader, nil)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
	}
	var op *net.OpError
	switch {
	case errors.As(err, &op), errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case err != nil:
		return errors.New(clip(err.Error(), 256)) // it quotes what came
	case response.Close:
		return errNotKept
	case reader.Buffered() > 0:
		return errors.New("the engine sent more than the answer to a ping")
	}
	return nil
}

// errNotKept is an answer that shows that the engine is there, but ends the
// connection: a proxy before it that forbids pings may do that.
var errNotKept = errors.New("the connection ends with the answer")

// Read reads what the engine sends. If ssh has failed, the error says why.
func (c *sshConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err != nil {
		err = c.opError("read", err)
	}
	return n, err
}

// Write sends to the engine.
func (c *sshConn) Write(p []byte) (int, error) {
	n, err := c.in.Write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// CloseWrite tells the engine that nothing more will be sent.
func (c *sshConn) CloseWrite() error {
	if err := c.in.Close(); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// Close ends the connection. It does not wait for the process, which has three
// seconds to end before it is killed.
func (c *sshConn) Close() error {
	if !c.close() {
		return c.opError("close", net.ErrClosed)
	}
	go c.end()
	return nil
}

// close reports whether it was the first to do so.
func (c *sshConn) close() (first bool) {
	c.closing.Do(func() {
		first = true
		close(c.closed)
		c.dialer.remember(c)
		c.in.Close()
		c.out.Close()
	})
	return first
}

// kill ends a connection that is of no use to anybody.
func (c *sshConn) kill() {
	if c.close() {
		c.process.Kill()
	}
}

func (c *sshConn) end() {
	for _, step := range []struct {
		patience time.Duration
		signal   os.Signal
	}{{sshEndPatience, syscall.SIGTERM}, {sshTermPatience, os.Kill}} {
		select {
		case <-c.ended:
			return
		case <-time.After(step.patience):
			c.process.Signal(step.signal)
		}
	}
}

// LocalAddr names the process.
func (c *sshConn) LocalAddr() net.Addr {
	return nameAddr{"ssh", "process " + strconv.Itoa(c.process.Pid)}
}

// RemoteAddr is the host, without the user.
func (c *sshConn) RemoteAddr() net.Addr { return c.dialer.addr }

// SetDeadline sets both deadlines.
func (c *sshConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds Read. Windows has no deadlines for pipes.
func (c *sshConn) SetReadDeadline(t time.Time) error {
	if err := c.out.SetReadDeadline(t); err != nil {
		return c.opError("set", err)
	}
	return nil
}

// SetWriteDeadline bounds Write. Windows has no deadlines for pipes.
func (c *sshConn) SetWriteDeadline(t time.Time) error {
	if err := c.in.SetWriteDeadline(t); err != nil {
		return c.opError("set", err)
	}
	return nil
}

// opError is a pipe's error as a connection's. An end is an error if ssh failed.
func (c *sshConn) opError(op string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case c.isClosed() || errors.Is(err, os.ErrClosed):
		err = net.ErrClosed
	case err == io.EOF, errors.Is(err, syscall.EPIPE):
		if err = c.failure(err); err == io.EOF {
			return io.EOF
		}
	}
	return &net.OpError{Op: op, Net: "ssh", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *sshConn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// failure is why ssh ended, or else what it looks like from here.
func (c *sshConn) failure(seen error) error {
	select {
	case <-c.ended:
		if c.exit != nil {
			return &sshError{exit: c.exit, stderr: c.stderr.String()}
		}
	case <-c.closed:
		return net.ErrClosed
	case <-time.After(sshExitPatience):
	}
	return seen
}

// sshError is the end of an ssh process before its time.
type sshError struct {
	exit   error  // usually *exec.ExitError: ssh itself fails with status 255
	stderr string // fit to be printed
}

func (e *sshError) Error() string { return e.exit.Error() + prefixed(": ", e.stderr) }
func (e *sshError) Unwrap() error { return e.exit }

// isPermanentSSH reports that there is no ssh here, no docker command over
// there, or no trust between the two.
func isPermanentSSH(err error) bool {
	var failed *sshError
	var exit *exec.ExitError
	return errors.Is(err, exec.ErrNotFound) ||
		errors.As(err, &failed) && (strings.Contains(failed.stderr, "Host key verification failed") || strings.Contains(failed.stderr, "Permission denied")) ||
		errors.As(err, &exit) && exit.ExitCode() == 127
}

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	kept []byte
	cut  bool
}

func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, p[max(0, len(p)-maxStderr):]...)
	if excess := len(w.kept) - maxStderr; excess > 0 || len(p) > maxStderr {
		w.kept, w.cut = append([]byte(nil), w.kept[max(excess, 0):]...), true
	}
	return len(p), nil
}

// String is what was kept, on one line and without control characters.
func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for line := range strings.Lines(string(w.kept)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	text := printable(strings.Join(lines, "; "))
	if w.cut {
		text = "…" + text
	}
	return text
}
