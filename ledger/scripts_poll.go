package ledger

import (
	"strconv"

	"github.com/redis/go-redis/v9"
)

// pollFunc has a message looked at whose id has become known. It needs now. What
// it adds is a Poll as pack writes it.
var pollFunc = `
local function poll(set, message)
  local s = math.floor(now / 1000)
  redis.call('ZADD', set, string.format('%.0f', now + ` + strconv.FormatInt(FirstPoll.Milliseconds(), 10) + `), '` + markNotAnswered + `' ..
    string.char(math.floor(s / 16777216) % 256, math.floor(s / 65536) % 256, math.floor(s / 256) % 256, s % 256) .. message)
end
`

// pollClockFunc begins the scripts of this file. at is when the next request may
// be made; what a clock has left behind that was set back counts for nothing.
var pollClockFunc = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local function at(pace)
  local t = tonumber(redis.call('HGET', pace, 'at') or 0)
  if t > now + ` + strconv.FormatInt(2*MaxPollDelay.Milliseconds(), 10) + ` then return 0 end
  return t
end
`

// claimPollsScript takes the messages that are due, and for those who look after
// them now puts off their next look for as long as they may take. There is one
// such call at a time in a workspace, at intervals.
//
//	KEYS[1] the messages that are looked at, as PollKey says
//	KEYS[2] the pace: a hash that is there while somebody looks, with when the
//	        next request may be made (at, ms), and the last call's token (t) and
//	        the time of the next look at what it has taken (u)
//	ARGV[1] token of the call
//	ARGV[2] for how long they are taken, ms
//	ARGV[3] how many to take at most
//	ARGV[4] ms by which they may be early, if any is due
//	ARGV[5] ms until the next request
//	ARGV[6] record TTL, ms
//
// Result: {now in ms; ms until it is worth while to ask again, -1 for when
// something is added; how many there are; by how many ms the first is late; those
// taken}.
var claimPollsScript = redis.NewScript(pollClockFunc + `
local set, pace = KEYS[1], KEYS[2]
local first = tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2])
local function answer(wait, taken)
  return {int(now), int(wait), int(redis.call('ZCARD', set)), int(math.max(0, now - (first or now))), taken}
end
local last = redis.call('HMGET', pace, 't', 'u')
if last[1] == ARGV[1] then return answer(0, redis.call('ZRANGEBYSCORE', set, last[2], last[2])) end
redis.call('HSETNX', pace, 'at', '0')
redis.call('PEXPIRE', pace, ARGV[6])
redis.call('PEXPIRE', set, ARGV[6])
if not first then return answer(-1, {}) end
local turn = math.max(first, at(pace))
if turn > now then return answer(turn - now, {}) end

local taken = redis.call('ZRANGEBYSCORE', set, '-inf', int(now + ARGV[4]), 'LIMIT', 0, ARGV[3])
local again, entries = int(now + ARGV[2]), {}
for _, entry in ipairs(taken) do
  entries[#entries + 1] = again
  entries[#entries + 1] = entry
end
redis.call('ZADD', set, unpack(entries))
redis.call('HSET', pace, 'at', int(now + ARGV[5]), 't', ARGV[1], 'u', again)
return answer(0, taken)
`)

// pollTurnScript takes a turn for one more request.
//
//	KEYS[1] the pace, as in claimPollsScript
//	ARGV[1] ms until the request after it
//
// Result: ms until its turn. A repeat takes another turn, and leaves one unused.
var pollTurnScript = redis.NewScript(pollClockFunc + `
local turn = math.max(now, at(KEYS[1]))
redis.call('HSET', KEYS[1], 'at', int(turn + ARGV[1]))
return int(turn - now)
`)

// delayPollsScript has everybody wait.
//
//	KEYS[1] the pace, as in claimPollsScript
//	ARGV[1] for how long, ms
var delayPollsScript = redis.NewScript(pollClockFunc + `
redis.call('HSET', KEYS[1], 'at', int(math.max(at(KEYS[1]), now + ARGV[1])))
return 1
`)

// reschedulePollsScript says when messages that were taken are looked at next.
// One that is not there as it was taken is left alone: somebody else has looked
// after it meanwhile, or it is a repeat.
//
//	KEYS[1] as in claimPollsScript
//	ARGV    for each: as it was taken, as it is now, empty to let it go, and the
//	        time of the next look, ms
var reschedulePollsScript = redis.NewScript(`
for i = 1, #ARGV, 3 do
  if redis.call('ZSCORE', KEYS[1], ARGV[i]) then
    if ARGV[i + 1] ~= ARGV[i] then redis.call('ZREM', KEYS[1], ARGV[i]) end
    if ARGV[i + 1] ~= '' then redis.call('ZADD', KEYS[1], ARGV[i + 2], ARGV[i + 1]) end
  end
end
return 1
`)
