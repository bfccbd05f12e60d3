// Package outside tests this module from a module of its own, as a backend
// that depends on it: with public packages only, built by the Go tool.
package outside
