package swarm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sentinels are all errors that errors.Is can tell apart, with the marker
// method each has.
var sentinels = map[error]string{
	ErrNotFound:         "NotFound",
	ErrNameConflict:     "Conflict",
	ErrVersionConflict:  "Conflict",
	ErrInvalid:          "InvalidParameter",
	ErrInUse:            "FailedPrecondition",
	ErrImmutable:        "InvalidParameter",
	ErrUnauthorized:     "Unauthorized",
	ErrForbidden:        "Forbidden",
	ErrUnsupported:      "NotImplemented",
	ErrNotManager:       "Unavailable",
	ErrNoSwarm:          "Unavailable",
	ErrAlreadyInSwarm:   "Unavailable",
	ErrNoLeader:         "Unavailable",
	ErrTasksFailed:      "FailedPrecondition",
	ErrCredentials:      "FailedPrecondition",
	ErrLocked:           "Unavailable",
	ErrNotLocked:        "Conflict",
	ErrInvalidUnlockKey: "Unauthorized",
	ErrInProgress:       "Unavailable",
	ErrUnavailable:      "Unavailable",
	ErrUnreachable:      "Unavailable",
	ErrProtocol:         "Unknown",
	ErrAmbiguousRef:     "InvalidParameter",
	ErrClosed:           "FailedPrecondition",
	ErrLogsIncomplete:   "Unavailable",
	ErrLogsNotReadable:  "NotImplemented",
	ErrRolledBack:       "FailedPrecondition",
	ErrRolloutPaused:    "FailedPrecondition",
	ErrRollbackPaused:   "FailedPrecondition",
	ErrSuperseded:       "Conflict",
	ErrRemoved:          "NotFound",
	ErrJobFailed:        "FailedPrecondition",
	ErrNoEligibleNode:   "FailedPrecondition",
}

// markers find, as the errdefs packages of moby and containerd do, whether an
// error has one of their methods.
var markers = map[string]func(error) bool{
	"NotFound":           func(err error) bool { var m interface{ NotFound() }; return errors.As(err, &m) },
	"Conflict":           func(err error) bool { var m interface{ Conflict() }; return errors.As(err, &m) },
	"InvalidParameter":   func(err error) bool { var m interface{ InvalidParameter() }; return errors.As(err, &m) },
	"FailedPrecondition": func(err error) bool { var m interface{ FailedPrecondition() }; return errors.As(err, &m) },
	"Unauthorized":       func(err error) bool { var m interface{ Unauthorized() }; return errors.As(err, &m) },
	"Forbidden":          func(err error) bool { var m interface{ Forbidden() }; return errors.As(err, &m) },
	"NotImplemented":     func(err error) bool { var m interface{ NotImplemented() }; return errors.As(err, &m) },
	"Unavailable":        func(err error) bool { var m interface{ Unavailable() }; return errors.As(err, &m) },
	"Unknown":            func(err error) bool { var m interface{ Unknown() }; return errors.As(err, &m) },
}

func TestEverySentinelHasOneMarkerMethod(t *testing.T) {
	for sentinel := range sentinels {
		assertOnly(t, sentinel, &RolloutError{Err: fmt.Errorf("wrapped: %w", sentinel)})
	}
}

// assertOnly checks that an error is one sentinel and no other; nil stands for
// none at all.
func assertOnly(t *testing.T, want, err error) {
	t.Helper()
	require.Error(t, err)
	for sentinel := range sentinels {
		assert.Equal(t, sentinel == want, errors.Is(err, sentinel), "errors.Is(%q, %v)", err, sentinel)
	}
	for name, has := range markers {
		assert.Equal(t, name == sentinels[want], has(err), "%q has method %s", err, name)
	}
}

// recordedErrors says what each recorded answer of 400 and above means, by its name
// or, where engines differ, by its folder and name.
var recordedErrors = map[error]string{
	ErrNoSwarm: `after_leave_services noswarm_leave noswarm_overlay_create noswarm_swarm noswarm_unlock
		noswarm_cluster_volume
		noswarm_configs noswarm_nodes noswarm_secret_create noswarm_secrets noswarm_service
		noswarm_service_create noswarm_service_logs noswarm_services noswarm_tasks noswarm_unlockkey`,
	ErrUnsupported: `apiversion_1.10 apiversion_1.12 apiversion_1.20 apiversion_1.23 apiversion_1.44 apiversion_1.99
		apiversion_2.0 apiversion_9.9 apiversion_malformed_1 apiversion_malformed_1.41.1 apiversion_malformed_x logs_s1_v1.42
		logs_tty_v1.42 method_not_allowed method_not_allowed_put page_not_found`,
	ErrInvalid: `config_create_badname config_create_empty config_create_noname config_list_badfilter events_bad_since
		events_since_after_until init_bad_addr init_bad_json join_bad_token leave_manager_noforce logs_badsince logs_badtail
		logs_nostream no_leader_leave node_delete_not_down node_delete_self node_demote_last node_update_badavail
		secret_create_501KB service_create_bad_constraint service_create_bad_failure_action service_create_bad_restart
		service_create_badimage_ref service_create_badname service_create_content_type_missing
		service_create_content_type_text service_create_dnsrr_ingress service_create_dup_mount service_create_empty_body
		service_create_empty_object service_create_job_updateconfig service_create_longname service_create_missing_config
		service_create_missing_network service_create_missing_secret service_create_neg_resources
		service_create_neg_update service_create_noimage service_create_secret_nofile service_create_secret_noid
		service_create_secret_wrongname service_create_trailing_json service_create_two_modes service_create_wrong_type
		service_inspect_baddefaults service_list_badfilter_json service_list_badfilter_string service_list_badstatus
		service_update_bad_version service_update_badauthfrom service_update_no_version service_update_rollback_bad
		service_update_rollback_none swarm_update_noversion task_list_filter_bad_desired
		net_create_noname net_create_badname net_create_longname net_create_badsubnet net_create_badipam
		net_create_ipv4off net_inspect_badverbose netf_bad netf_dangling_bad netf_type_bad auth_bad_address
		dist_badref dist_id df_bad
		vol_create_badname vol_create_shortname vol_create_badopt vol_create_cluster vol_create_cluster_empty
		vol_create_cluster_badmode vol_put_noversion volf_bad volf_dangling_bad
		config_create_toobig_1.1MB node_delete_self_force node_list_badfilter secret_create_badname
		secret_create_empty secret_create_noname secret_create_toobig_1.1MB secret_list_badfilter
		service_create_bad_json service_create_no_body service_create_no_containerspec
		service_list_badfilter service_update_badjson service_update_noimage task_list_badfilter`,
	ErrNameConflict: `config_create_dup network_create_dup secret_create_dup service_create_duplicate
		net_create_ingress2`,
	ErrVersionConflict: `config_update_stale_version swarm_update_stale
		node_update_stale secret_update_stale_version service_update_future_version
		service_update_stale_after_ok service_update_wrong_version`,
	ErrInUse: `config_delete_inuse network_delete_inuse secret_delete_inuse service_create_port_conflict
		net_remove_inuse net_remove_cfg_used net_remove_ingress_used net_remove_container
		vol_remove_inuse`,
	ErrNotFound: `config_delete_missing logs_container_missing logs_missing logs_task_missing network_delete_missing
		node_delete_missing node_inspect_self secret_delete_missing service_delete_again
		net_create_baddriver net_create_configfrom_missing net_inspect_badscope
		vol_create_baddriver vol_inspect_missing
		config_inspect_missing network_inspect_missing node_inspect_missing secret_inspect_missing
		service_delete_missing service_inspect_missing service_update_missing task_inspect_missing
		task_list_filter_badservice`,
	ErrImmutable: `config_update_data service_update_mode service_update_rename
		secret_update_data`,
	ErrAlreadyInSwarm: `init_again join_again locked_join worker_init`,
	ErrLocked: `locked_leave locked_service_create locked_swarm
		locked_services`,
	ErrInvalidUnlockKey: `locked_unlock_wrongformat locked_unlock_wrongkey`,
	ErrAmbiguousRef: `logs_ambiguous
		net_remove_ambiguous
		service_delete_ambiguous service_inspect_ambiguous service_update_ambiguous`,
	ErrNoLeader: `26.1-multi/quorum_lost_create_second no_leader_nodes no_leader_swarm
		no_leader_secrets no_leader_service_create no_leader_service_create_second no_leader_service_logs no_leader_services no_leader_tasks
		no_leader_unlockkey services_000 services_001 services_002`,
	ErrUnavailable: `quorum_lost_create_second quorum_lost_services_first
		registry_auth_distribution_empty auth_unreachable auth_hub dist_unreachable
		registry_auth_distribution_emptyobj registry_auth_distribution_notbase64
		registry_auth_distribution_notjson registry_auth_distribution_ok
		registry_auth_distribution_std_base64_padding registry_auth_distribution_urlsafe_nopad
		registry_auth_pull_empty registry_auth_pull_emptyobj registry_auth_pull_notbase64
		registry_auth_pull_notjson registry_auth_pull_ok registry_auth_pull_std_base64_padding
		registry_auth_pull_urlsafe_nopad`,
	ErrNotLocked: `swarm_unlock_notlocked`,
	ErrNotManager: `worker_nodes worker_swarm
		worker_secrets worker_service_create worker_service_logs worker_services worker_task_inspect`,
	ErrForbidden: `net_create_local_overlay net_remove_bridge`,
}

// mayHaveBeenCarriedOut are the recorded answers that leave a write's outcome open.
var mayHaveBeenCarriedOut = strings.Fields(`20.10-multi/quorum_lost_create_second 28.5-multi/quorum_lost_create_second
	20.10-multi/quorum_lost_services_first 26.1-multi/quorum_lost_services_first 28.5-multi/quorum_lost_services_first`)

// recording is an answer of a real engine, byte for byte.
type recording struct {
	version, name string
	raw           []byte
	status        int
}

// recordings reads all recorded answers of 400 and above.
func recordings(t *testing.T) []recording {
	t.Helper()
	files, err := filepath.Glob("testdata/captures/*/*.http")
	require.NoError(t, err)
	var all []recording
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
		require.NoError(t, err, file)
		if response.StatusCode >= 400 {
			all = append(all, recording{filepath.Base(filepath.Dir(file)), strings.TrimSuffix(filepath.Base(file), ".http"), raw, response.StatusCode})
		}
	}
	require.NotEmpty(t, all)
	return all
}

func TestEveryRecordedErrorMeansOneThing(t *testing.T) {
	t.Parallel()
	want := map[string]error{}
	for sentinel, names := range recordedErrors {
		for name := range strings.FieldsSeq(names) {
			require.NotContains(t, want, name)
			want[name] = sentinel
		}
	}
	seen := map[string]bool{}
	for _, recorded := range recordings(t) {
		whole, key := recorded.version+"/"+recorded.name, recorded.name
		if want[whole] != nil {
			key = whole
		}
		seen[key] = true
		t.Run(whole, func(t *testing.T) {
			require.Contains(t, want, key, "an answer of which nobody has said what it means")
			client := rawEngine(t, string(recorded.raw), WithRetry(RetryPolicy{ReadAttempts: 1, WriteAttempts: 1}))
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				err := client.ask(t.Context(), method)
				assertOnly(t, want[key], err)
				assert.False(t, isContextError(err))
				assertPlain(t, err)
				var unknown *OutcomeUnknownError
				assert.Equal(t, method == http.MethodPost && slices.Contains(mayHaveBeenCarriedOut, whole), errors.As(err, &unknown), "outcome unknown")
				var e *Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, recorded.status, e.StatusCode)
				assert.NotEmpty(t, e.Message)
				assert.NotContains(t, e.Message, "rpc error")
				assert.NotContains(t, e.Message, "desc =")
				assert.False(t, strings.HasPrefix(e.Message, "{"), e.Message)
				assert.Equal(t, e.Message, strings.TrimSpace(e.Message))
			}
		})
	}
	for name := range want {
		assert.Contains(t, seen, name, "no such recording")
	}
}

// assertPlain checks that an error's text is one printable line.
func assertPlain(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	text := err.Error()
	assert.True(t, utf8.ValidString(text))
	assert.False(t, strings.ContainsFunc(text, isUnprintable), "%q", text)
	assert.Less(t, len(text), 8<<10)
}

func TestTextsAreMatchedBeforeStatus(t *testing.T) {
	for _, row := range []struct {
		status   int
		text     string
		kind     error
		executed bool
		again    bool
	}{
		{500, "rpc error: code = Unknown desc = update out of sequence", ErrVersionConflict, false, false},
		{500, "node lost leader status", ErrUnavailable, true, true},
		{503, "rpc error: code = Unavailable desc = transport is closing", ErrUnavailable, true, true},
		{500, "rpc error: code = Canceled desc = context canceled", ErrUnavailable, true, true},
		{503, "Manager is being prepared, please try again", ErrUnavailable, false, true},
		{500, "manager stopped: failed to listen on remote API address: listen tcp 0.0.0.0:2377: bind: address already in use", ErrUnavailable, false, true},
		{503, "Timeout was reached before node joined. The attempt to join the swarm will continue in the background.", ErrInProgress, true, false},
		{503, "something new", ErrUnavailable, true, false},
		{500, "something new", nil, true, false},
		{599, "", nil, true, false},
		{502, "", ErrUnavailable, true, true},
		{504, "", ErrUnavailable, true, true},
		{429, "", ErrUnavailable, false, true},
		{418, "", nil, false, false},
		{401, "", ErrUnauthorized, false, false},
		{500, `Head "https://r.example/v2/web/manifests/1": no basic auth credentials`, ErrUnauthorized, false, false},
		{403, "", ErrForbidden, false, false},
		{404, "", ErrUnsupported, false, false},
		{404, "page not found", ErrUnsupported, false, false},
		{404, "service web not found", ErrNotFound, false, false},
		{405, "", ErrUnsupported, false, false},
		{301, "update out of sequence", ErrProtocol, false, false},
		{304, "", nil, false, false},
		{101, "", ErrProtocol, true, false},
	} {
		r := classify(row.status, row.text)
		assert.Equal(t, row.kind, r.kind, "%d %s", row.status, row.text)
		assert.Equal(t, row.executed, r.executed, "%d %s executed", row.status, row.text)
		assert.Equal(t, row.again, r.again, "%d %s again", row.status, row.text)
	}
}

func TestUsersOfAnObjectAreNamed(t *testing.T) {
	for message, users := range map[string][]string{
		"secret 'a' is in use by the following service: web":                                      {"web"},
		"secret 'a' is in use by the following services: web, api":                                {"web", "api"},
		"network n1 is in use by service 8wbdklq4qpeqj4dsynjcmsdpt":                               {"8wbdklq4qpeqj4dsynjcmsdpt"},
		"port '8081' is already in use by service 'p1' (f1n39zo3fugjgeu33f00nw7w6) as an ingress": {"p1"},
		"ingress network cannot be removed because service s1 depends on it":                      {"s1"},
		"network n1 is in use by task x":                                                          nil,
	} {
		client := rawEngine(t, rawAnswer(400, `{"message":"rpc error: code = FailedPrecondition desc = `+message+`"}`))
		err := client.ask(t.Context(), http.MethodDelete)
		assertOnly(t, ErrInUse, err)
		var inUse *InUseError
		if assert.ErrorAs(t, err, &inUse) {
			assert.Equal(t, users, inUse.Services)
		}
	}
}

// Bodies that say no, and the message each leaves.
func TestErrorBodiesOfEveryKind(t *testing.T) {
	long := strings.Repeat("é", 3<<10)
	for _, row := range []struct{ contentType, body, message string }{
		{"application/json", `{"message":"no such thing"}`, "no such thing"},
		{"application/json; charset=utf-8", `{"message":"no such thing"}`, "no such thing"},
		{"application/json; charset", `{"message":"no such thing"}`, "no such thing"},
		{"Application/JSON;charset=UTF-8;x=\"y\"", "{\"message\":\"no such thing\"}\n", "no such thing"},
		{"application/json", `{"message":"rpc error: code = Unknown desc = no such thing"}`, "no such thing"},
		{"application/json", `{"message":"` + long + `"}`, clip(long, maxError)},
		{"application/json", `{"message":"a\u001b[2Jb\nc\u202ed"}`, `a\x1b[2Jb\nc\u202ed`},
		{"application/json", ``, ""},
		{"application/json", `{}`, ""},
		{"application/json", `null`, ""},
		{"application/json", `{"message":""}`, ""},
		{"application/json", `{"message":null}`, ""},
		{"application/json", `{"error":"other","code":5}`, ""},
		{"application/json", `[1,2]`, "[1,2]"},
		{"application/json", `"text"`, `"text"`},
		{"application/json", `{"message":"cut`, `{"message":"cut`},
		{"application/json", `{"message":5}`, `{"message":5}`},
		{"text/plain", "client version 1.10 is too old\n", "client version 1.10 is too old"},
		{"text/plain; charset=utf-8", "a\r\nb\x00\xff", `a\r\nb\x00\ufffd`},
		{"", "plain", "plain"},
		{"text/html; charset=utf-8", "<html><title>502 Bad Gateway</title></html>", ""},
		{"text/html", "oops", ""},
		{"text/plain", "<!DOCTYPE html><html>", ""},
		{"???", "plain", "plain"},
	} {
		client := rawEngine(t, "HTTP/1.1 418 Teapot\r\nContent-Type: "+row.contentType+"\r\nConnection: close\r\n\r\n"+row.body)
		err := client.ask(t.Context(), http.MethodGet)
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, row.message, e.Message, "%s %s", row.contentType, clip(row.body, 100))
		assert.Equal(t, 418, e.StatusCode)
		assertPlain(t, err)
	}
}

func FuzzErrorBody(f *testing.F) {
	f.Add(500, "application/json", []byte(`{"message":"rpc error: code = Unknown desc = update out of sequence"}`))
	f.Add(400, "application/json; charset=utf-8", []byte(`{"message":"x is in use by the following services: a, b"}`))
	f.Add(404, "text/html", []byte("<html>\x1b]0;x\x07"))
	f.Add(503, "", []byte("\xff\xfe\u202e"))
	f.Add(302, "text/plain", []byte("a"))
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		if status < 100 || status >= 200 && status < 300 || status > 999 {
			return
		}
		response := httptest.NewRecorder().Result()
		response.StatusCode = status
		response.Header.Set("Content-Type", contentType)
		response.Header.Set("Retry-After", contentType)
		response.Body = http.NoBody
		if len(body) > 0 {
			response.Body = readCloser{bytes.NewReader(body)}
		}
		call := &call{op: "read", method: http.MethodGet, to: to("/x")}
		e := answerError(call, response, readError(response))
		assertPlain(t, e)
		assert.LessOrEqual(t, len(e.Message), maxError+len("…"))
		assert.LessOrEqual(t, time.Duration(e.wait), time.Minute)
		assert.GreaterOrEqual(t, time.Duration(e.wait), time.Duration(0))
		kinds := 0
		for sentinel := range sentinels {
			if errors.Is(e, sentinel) {
				kinds++
			}
		}
		assert.LessOrEqual(t, kinds, 1)
	})
}

// What a user has to do about the common connection errors is said in words.
func TestConnectionErrorsGiveAHint(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(plain.Close)
	plainAddr := plain.Listener.Addr().String()
	secure := tlsServer(t, &tls.Config{})
	closedPort, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closedPort.Close()
	socket := filepath.Join(t.TempDir(), "engine.sock")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	refuse := func(cause error) Option {
		return WithDialer(func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: socket}, Err: os.NewSyscallError("connect", cause)}
		})
	}
	trusting := WithTLS(&tls.Config{RootCAs: secure.roots})
	for name, row := range map[string]struct {
		host string
		opts []Option
		kind error
		hint string
	}{
		"no such socket":      {"unix://" + socket, nil, ErrUnreachable, "is this its socket?"},
		"permission denied":   {"unix://" + socket, []Option{refuse(syscall.EACCES)}, ErrUnreachable, "group docker"},
		"a file, no socket":   {"unix://" + file, nil, ErrUnreachable, "is the engine running"},
		"nobody listens":      {"tcp://" + closedPort.Addr().String(), nil, ErrUnreachable, "does it listen there?"},
		"https to plain":      {"https://" + plainAddr, nil, ErrUnreachable, "does not speak TLS there"},
		"plain to https":      {"tcp://" + secure.addr, nil, ErrProtocol, "speaks TLS there"},
		"unknown certificate": {"https://" + secure.addr, nil, ErrUnreachable, ""},
		"TLS is too old":      {"https://" + tlsServer(t, &tls.Config{MaxVersion: tls.VersionTLS11}).addr, nil, ErrUnreachable, ""},
		"no certificate for 1.3": {"https://" + requiring(t, tls.VersionTLS13, secure).addr, []Option{trusting}, ErrUnreachable,
			"wants a client certificate"},
		"no certificate for 1.2": {"https://" + requiring(t, tls.VersionTLS12, secure).addr, []Option{trusting}, ErrUnreachable,
			"wants a client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := append([]Option{WithHost(row.host), WithRetry(RetryPolicy{MinDelay: 1, MaxDelay: 2})}, row.opts...)
			client, err := New(opts...)
			require.NoError(t, err)
			t.Cleanup(func() { client.Close() })
			for _, call := range []func() error{
				func() error { return client.System.Ping(t.Context()) },
				func() error { return client.ask(t.Context(), http.MethodPost) },
			} {
				err = call()
				require.Error(t, err)
				assertOnly(t, row.kind, err)
				assert.Contains(t, err.Error(), row.hint)
				assertPlain(t, err)
				var unknown *OutcomeUnknownError
				assert.NotErrorAs(t, err, &unknown, "nothing was carried out")
			}
			if row.kind == ErrUnreachable && !strings.Contains(name, "nobody") && !strings.Contains(name, "a file") {
				assert.NotContains(t, err.Error(), "attempts", "waiting does not cure it")
			}
		})
	}
}

// secureServer is an HTTPS server and what to trust to reach it.
type secureServer struct {
	addr  string
	roots *x509.CertPool
}

func tlsServer(t *testing.T, config *tls.Config) secureServer {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = config
	server.Config.ErrorLog = quietLog
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return secureServer{server.Listener.Addr().String(), roots}
}

func requiring(t *testing.T, version uint16, known secureServer) secureServer {
	t.Helper()
	return tlsServer(t, &tls.Config{MinVersion: version, MaxVersion: version, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known.roots})
}

func TestErrorsHoldNoSecrets(t *testing.T) {
	const canary = "SWMTKN-1-canary"
	answers := []string{
		"garbage " + canary[:3] + "\r\n\r\n",
		rawAnswer(500, `{"message":"unknown"}`),
		rawAnswer(200, `{"JoinTokens":{"Worker":"`+canary+`"}`),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{\"UnlockKey\":\"" + canary + "\"}",
		"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://user:" + canary + "@127.0.0.1:1/x\r\nContent-Length: 0\r\n\r\n",
		"",
	}
	for _, raw := range answers {
		client := rawEngine(t, raw, WithHeader("X-Proxy-Token", canary), WithRetry(RetryPolicy{ReadAttempts: 2, WriteAttempts: 2, MinDelay: 1, MaxDelay: 2}))
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			call := &call{op: "test", method: method, to: to("/x"), header: http.Header{"X-Registry-Auth": {canary}},
				encode: func(agreed negotiation) (version, []byte, error) { return agreed.use, []byte(`"` + canary + `"`), nil }}
			var out struct{ ID string }
			err := client.do(t.Context(), call, &out)
			require.Error(t, err)
			for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
				assert.NotContains(t, fmt.Sprintf(format, err), canary)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				assert.NotContains(t, fmt.Sprintf("%#v", cause), canary)
			}
		}
	}
}

func TestErrorsSayWhatHappenedFromOutsideIn(t *testing.T) {
	cause := errors.New("cause")
	for want, err := range map[string]error{
		"update service web: update out of sequence": &Error{Op: "update service", Object: "web", StatusCode: 500, Message: "update out of sequence", kind: ErrVersionConflict},
		"list tasks: HTTP status 502":                &Error{Op: "list tasks", StatusCode: 502},
		"ping: unreachable":                          &Error{Op: "ping", kind: ErrUnreachable},
		"ping: failed":                               &Error{Op: "ping"},
		"ping: cause (after 3 attempts) (hint?)":     &Error{Op: "ping", Err: cause, attempts: 3, hint: "hint?"},
		`read a\nb: said: cause`:                     &Error{Op: "read", Object: "a\nb", Message: "said", Err: cause},
		"F needs API 1.46, there is 1.41":            &VersionError{Field: "F", Needs: "1.46", Have: "1.41"},
		"API 1.41 would drop F":                      &VersionError{Field: "F", Have: "1.41"},
		"in use":                                     &InUseError{},
		"in use by a, b":                             &InUseError{Services: []string{"a", "b"}},
		"outcome unknown: remove service web: cause": &OutcomeUnknownError{Err: &Error{Op: "remove service", Object: "web", Err: cause}},
	} {
		assert.Equal(t, want, err.Error())
	}
	assert.ErrorIs(t, &VersionError{}, ErrUnsupported)
	assert.ErrorIs(t, &Error{Err: cause, kind: ErrProtocol}, cause)
	assert.Len(t, (&Error{Op: "x", Object: strings.Repeat("é", 200)}).Error(), len("x ")+128+len("…")+len(": failed"))
}
