// Package combine puts scripts that are run at the same time into common
// pipelines, so that many of them share a round trip and its system calls, which
// cost a worker and Redis more than most scripts do.
//
// Nobody waits for others to come: a script that finds no pipeline under way is
// sent at once, and those that come meanwhile go with the next. The scripts of a
// pipeline are run in the order in which they came, each has its own result, and
// whoever no longer waits for one leaves without disturbing the others.
//
// A pipeline whose connection breaks is sent again by go-redis as a whole, as a
// single script would be: scripts have to be safe to repeat in either case.
package combine
