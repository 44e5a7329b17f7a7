// Package house holds the rules of this repository as tests: what is exported
// is documented, methods name the endpoints they call, the API speaks of the
// standard library's types and our own only, api.txt lists it, the README's code
// compiles.
//
// Each rule is a function from source to findings, and each is itself tested
// on a package of testdata that breaks it.
//
// After a deliberate change of the exported API:
//
//	go test ./internal/house -update
package house
