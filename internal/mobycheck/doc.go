// Package mobycheck compares the library with moby's own: its types with those of
// github.com/moby/moby/api, by reflection, member by member, word by word, and by
// sending recorded objects through both; its requests with those of
// github.com/moby/moby/client, which rides on its connections. It is a module of
// its own, so that nobody who imports the library has to do with these
// dependencies.
package mobycheck
