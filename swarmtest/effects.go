package swarmtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/swarm-go/swarm/internal/frames"
)

// Delay lets requests wait before the engine sees them. It never sees those whose
// client has gone meanwhile.
func Delay(d time.Duration) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r, err := readWhole(r); err == nil && sleep(r, d) {
				next.ServeHTTP(w, r)
			}
		})
	}
}

// Hang lets requests wait until the client has enough of it. The engine never
// sees them.
func Hang() Effect {
	return instead(func(_ http.ResponseWriter, r *http.Request) {
		if r, err := readWhole(r); err == nil {
			<-r.Context().Done()
		}
	})
}

// readWhole is a request whose body has come. Only then does net/http notice that
// the client goes away. It fails if the client has gone before.
func readWhole(r *http.Request) (*http.Request, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	whole := r.WithContext(r.Context())
	whole.Body = io.NopCloser(bytes.NewReader(body))
	return whole, nil
}

// Refuse answers with that status and the engine's form of a message. The engine
// never sees the request.
func Refuse(status int, message string) Effect {
	return instead(func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, message) })
}

// FailAfter lets the engine do what it is asked, and answers with that status and
// message all the same: a write that has happened looks as if it had not.
func FailAfter(status int, message string) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(unheard{}, r)
			refuse(w, status, message)
		})
	}
}

// Answer answers with anything at all, such as a proxy's page or a redirect. The
// engine never sees the request.
func Answer(status int, header http.Header, body string) Effect {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
}

// Raw writes those bytes in the place of an answer and cuts the connection. The
// engine never sees the request.
func Raw(bytes string) Effect {
	return instead(func(w http.ResponseWriter, _ *http.Request) {
		connection, buffer, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer connection.Close()
		buffer.WriteString(bytes)
		buffer.Flush()
	})
}

// Cut cuts the connection. The engine never sees the request.
func Cut() Effect {
	return instead(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// CutAnswer lets the engine do what it is asked, and cuts the connection before
// the answer.
func CutAnswer() Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(unheard{}, r)
			panic(http.ErrAbortHandler)
		})
	}
}

// CutBody cuts the connection after so many bytes of the answer's body. An answer
// that is shorter gets through.
func CutBody(bytes int) Effect {
	return throttle(func(w *throttled, p []byte) (int, bool) {
		return min(len(p), bytes-w.written), w.written+len(p) > bytes
	}, func(*throttled) { panic(http.ErrAbortHandler) })
}

// EndBody ends the answer after so many bytes of its body as if there were no
// more.
func EndBody(bytes int) Effect {
	return throttle(func(w *throttled, p []byte) (int, bool) {
		return min(len(p), bytes-w.written), w.written+len(p) > bytes
	}, func(w *throttled) { w.ended = true })
}

// EndLogs ends a stream of log frames after so many of them as engines do when
// they lose what they read from: with a frame of the engine's own that holds the
// message, and no error below.
func EndLogs(count int, message string) Effect {
	return throttle(func(w *throttled, p []byte) (int, bool) {
		if w.frames == count {
			return 0, true
		}
		w.frames++
		return len(p), false
	}, func(w *throttled) {
		w.ResponseWriter.Write(frames.Append(nil, frames.System, []byte(message)))
		w.ended = true
	})
}

// SlowBody lets the answer's body through so many bytes at a time, with that
// pause after each.
func SlowBody(bytes int, pause time.Duration) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&slow{ResponseWriter: w, r: r, bytes: max(bytes, 1), pause: pause}, r)
		})
	}
}

// EndlessBody answers 200 with a body that never ends, of that text over and over.
// The engine never sees the request.
func EndlessBody(contentType, text string) Effect {
	piece := []byte(strings.Repeat(text, 1+4096/max(len(text), 1)))
	return instead(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for r.Context().Err() == nil {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
}

// ContentType lets the engine answer, under another content type. Empty: none.
func ContentType(value string) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&relabelled{ResponseWriter: w, contentType: value}, r)
		})
	}
}

// instead is an effect that keeps requests from the engine.
func instead(answer http.HandlerFunc) Effect {
	return func(http.Handler) http.Handler { return answer }
}

// refuse answers as engines refuse.
func refuse(w http.ResponseWriter, status int, message string) {
	body, _ := json.Marshal(map[string]string{"message": message}) // strings always encode
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// unheard is an answer that nobody gets.
type unheard struct{}

func (unheard) Header() http.Header         { return http.Header{} }
func (unheard) Write(p []byte) (int, error) { return len(p), nil }
func (unheard) WriteHeader(int)             {}

// throttle is an effect on an answer's body: pass says how much of a write gets
// through and whether the body is over with it, end is what comes then.
func throttle(pass func(*throttled, []byte) (int, bool), end func(*throttled)) Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(&throttled{ResponseWriter: w, pass: pass, end: end}, r)
		})
	}
}

// throttled is an answer that is cut short somewhere.
type throttled struct {
	http.ResponseWriter
	pass func(*throttled, []byte) (int, bool)
	end  func(*throttled)

	// written and frames are how much got through: in bytes, and in writes.
	written, frames int
	ended           bool
}

// Write lets through what the effect does. To whoever answers it looks as if all
// of it had; once the body is over it is an error, which ends streams.
func (t *throttled) Write(p []byte) (int, error) {
	if t.ended {
		return 0, http.ErrHandlerTimeout
	}
	n, over := t.pass(t, p)
	t.ResponseWriter.Write(p[:n])
	t.written += n
	if over {
		http.NewResponseController(t.ResponseWriter).Flush()
		t.end(t)
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (t *throttled) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// slow is an answer that trickles.
type slow struct {
	http.ResponseWriter
	r     *http.Request
	bytes int
	pause time.Duration
}

func (s *slow) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		n, err := s.ResponseWriter.Write(p[sent:min(sent+s.bytes, len(p))])
		sent += n
		if err != nil {
			return sent, err
		}
		http.NewResponseController(s.ResponseWriter).Flush()
		if !sleep(s.r, s.pause) {
			return sent, s.r.Context().Err()
		}
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (s *slow) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// relabelled is an answer under another content type.
type relabelled struct {
	http.ResponseWriter
	contentType string
	begun       bool
}

func (l *relabelled) Write(p []byte) (int, error) {
	if !l.begun {
		l.WriteHeader(http.StatusOK)
	}
	return l.ResponseWriter.Write(p)
}

func (l *relabelled) WriteHeader(status int) {
	l.begun = true
	// Nil keeps net/http from guessing one.
	l.Header()["Content-Type"] = nil
	if l.contentType != "" {
		l.Header().Set("Content-Type", l.contentType)
	}
	l.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (l *relabelled) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// LoseEvents lets so many events of a stream through and loses that many after
// them, as engines do with clients that are slow to read. It is for GET /events.
func LoseEvents(after, count int) Effect {
	return throttle(func(w *throttled, p []byte) (int, bool) {
		w.frames++
		if w.frames > after && w.frames <= after+count {
			return 0, false
		}
		return len(p), false
	}, func(*throttled) {})
}

// Conflict has somebody else write the object that a request is about just before
// the engine sees it, so that the version it names is an old one. It is for
// updates of services, nodes, secrets, configs and the swarm.
func (e *Engine) Conflict() Effect {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e.world.Touch(apiVersion.ReplaceAllString(r.URL.Path, "/"))
			next.ServeHTTP(w, r)
		})
	}
}
