package engine

import (
	"fmt"
	"net/http"
)

// refusal is what a request is refused with. Its status and text are the
// engine's.
type refusal struct {
	status  int
	message string
}

// Error is the engine's text.
func (r *refusal) Error() string { return r.message }

// refuse is a refusal by the daemon itself.
func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

// The refusals that managers make. Daemons pass on their texts as they get them.

func invalid(format string, args ...any) *refusal {
	return fromManager(http.StatusBadRequest, "InvalidArgument", format, args)
}

func failedPrecondition(format string, args ...any) *refusal {
	return fromManager(http.StatusBadRequest, "FailedPrecondition", format, args)
}

func alreadyExists(format string, args ...any) *refusal {
	return fromManager(http.StatusConflict, "AlreadyExists", format, args)
}

func unimplemented(format string, args ...any) *refusal {
	return fromManager(http.StatusNotImplemented, "Unimplemented", format, args)
}

// unknown is an error that managers did not foresee, or did not give a code.
func unknown(format string, args ...any) *refusal {
	return fromManager(http.StatusInternalServerError, "Unknown", format, args)
}

func fromManager(status int, code, format string, args []any) *refusal {
	return refuse(status, "rpc error: code = %s desc = %s", code, fmt.Sprintf(format, args...))
}

// outOfSequence refuses a change of an object that has changed since it was read.
// It is no status of the managers', so daemons call it unknown.
func outOfSequence() *refusal { return unknown("update out of sequence") }

// notFound is a daemon's, whose look-ups go through lists.
func notFound(kind, ref string) *refusal {
	return refuse(http.StatusNotFound, "%s %s not found", kind, ref)
}

func ambiguous(kind, ref string, matches int) *refusal {
	return refuse(http.StatusBadRequest, "%s %s is ambiguous (%d matches found)", kind, ref, matches)
}
