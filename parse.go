package swarm

import (
	"fmt"
	"regexp"
	"strings"
)

// Constraint is a condition on nodes, as Placement has it in text form.
type Constraint struct {
	// Key is what it is about: node.id, node.hostname, node.ip, node.role,
	// node.platform.os, node.platform.arch, node.labels.NAME or
	// engine.labels.NAME. Engines compare all but the names of labels without
	// regard to case.
	Key string
	// Not is set for !=.
	Not bool
	// Value is what it is compared with, also without regard to case.
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
// key==value or key!=value, with spaces around each part. The docker command
// sends anything; this is what engines take, whether they know the key or not.
func ParseConstraint(text string) (Constraint, error) {
	var c Constraint
	key, value, found := strings.Cut(text, "==") // engines look for == first, too
	if !found {
		c.Not = true
		key, value, found = strings.Cut(text, "!=")
	}
	c.Key, c.Value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !found:
		return Constraint{}, fmt.Errorf("constraint %q has neither == nor !=", text)
	case !constraintKey.MatchString(c.Key):
		return Constraint{}, fmt.Errorf("constraint %q: %q is no key, which are letters, digits, _, . and -", text, c.Key)
	case !constraintValue.MatchString(c.Value):
		return Constraint{}, fmt.Errorf("constraint %q: a value cannot be %q", text, c.Value)
	}
	return c, nil
}
