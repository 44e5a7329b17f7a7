// Package mobycheck compares the library's types with those of
// github.com/moby/moby/api: by reflection, member by member, and by sending
// recorded objects through both. It is a module of its own, so that nobody who
// imports the library has to do with that dependency.
package mobycheck
