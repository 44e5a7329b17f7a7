package docs

const Bare = 1

// A comment for the group is not one for each.
const (
	Grouped = 2
)

// Repeated is the repeated.
var Repeated = 3

type Naked struct {
	Field int
	// Inner has fields too.
	Inner []struct {
		Deep int
		// Kept is told about.
		Kept int // twice even
	}
	hidden
}
type hidden struct {
	Promoted int
}

// More is documented.
type More struct {
	MaxSize int // max size
	private int
}

func (Naked) Method() {}

// Right is another function.
func Wrong() {}

// Face is an interface.
type Face interface {
	Method()
}

// Generic has a parameter.
type Generic[T any] struct {
	Value T
}

// helper is not exported.
func helper() {}

// Method of what cannot be reached.
func (hidden) Other() {}
