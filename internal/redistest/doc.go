// Package redistest gives each test a Redis server of its own: miniredis in
// process, or a real redis-server on a free port with its data in the test's
// temporary directory. Servers are never shared, so no test needs to flush or
// to prefix its keys.
//
// [Each] runs a test on both. [Start] runs a real server only, with an append
// only file or as a cluster of one node, that can be killed and started again.
//
// Where no redis-server is found, tests that need one are skipped, unless
// DISPATCH_REQUIRE_REDIS=1 is set: then they fail.
//
// # Time on miniredis
//
// Both TIME, in Lua too, and TTLs follow the real clock, as on a real server.
// (Miniredis would leave TTLs alone by default.) A test that needs no real
// server can move the clock instead: SetTime on [Server.Miniredis] moves TIME
// and TTLs together, FastForward only the TTLs.
package redistest
