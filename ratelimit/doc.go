// Package ratelimit shares one rate limit of Intercom's among all processes
// that spend from it.
//
// Intercom counts an app's requests in windows of 10 seconds and says with each
// answer how large the window is, what is left of it and when it ends
// (https://developers.intercom.com/docs/references/rest-api/errors/rate-limiting).
// A [Limiter] learns the limit from that and keeps in Redis what its processes
// have spent. Each asks for a few permits at a time, one for each request that
// waits, so that a permit costs far less than a round trip.
//
// # What is left
//
// What may still be sent in a window is what the answers have said was left, less
// the permits that no answer has come for. Each such request is either counted
// in that number already, which errs on the safe side until its answer comes, or
// is not. Nothing has to be known about others who spend from the same limit:
// the answers tell. Permits without an answer count in the next window as well,
// because a request that leaves in one window may arrive in the next.
//
// # Spreading
//
// The rest of a window is spread evenly over the rest of its time. A [Normal]
// request waits for its share of time; an [Urgent] one may run ahead of it by a
// small reserve, for which the others make up by waiting. Nothing is reserved
// at a window's end, so nothing is wasted.
//
// # Clocks
//
// The processes' clocks do not matter: Redis' clock is the common one. When a
// window ends by that clock is narrowed down from which answers belong to which
// window and, until that is known, from Intercom's Date header.
package ratelimit
