package ledger

import "github.com/redis/go-redis/v9"

// The scripts of this file run for every message, so they do the usual and
// nothing else: a first attempt, and the id that it got. They have only the keys
// and arguments for that. Where anything else is the case they change nothing and
// return nil, and the caller runs the script that knows all cases.

// beginFirstScript begins the first attempt at a message, as beginScript does.
//
//	KEYS[1] the record
//	KEYS[2] what is known of its contact, or the record once more
//	ARGV[1] record TTL, ms
//	ARGV[2] token of the attempt
//	ARGV[3] ms for which the attempt counts as under way
//	ARGV[4] expires at, ms, 0 for never
//	ARGV[5] the worker, may be empty
//	ARGV[6] token of the enqueueing
//	ARGV[7] digest
//	ARGV[8] what is taken over from the task, packed
//
// Result: {"begun", now in ms}, or nil if the message has a record or has
// expired, or its contact may be missing.
var beginFirstScript = redis.NewScript(`
local record = KEYS[1]
if redis.call('EXISTS', record, KEYS[2]) > 0 then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = tonumber(ARGV[4])
if expires > 0 and now >= expires then return false end
if ARGV[5] ~= '' then
  redis.call('HSET', record, 's', 'sending', 't', ARGV[2], 'e', ARGV[6], 'd', ARGV[7], 'z', ARGV[8],
    'a', '1', 'u', now + ARGV[3], 'b', now, 'w', ARGV[5])
else
  redis.call('HSET', record, 's', 'sending', 't', ARGV[2], 'e', ARGV[6], 'd', ARGV[7], 'z', ARGV[8],
    'a', '1', 'u', now + ARGV[3], 'b', now)
end
redis.call('PEXPIRE', record, ARGV[1])
return {'begun', string.format('%.0f', now)}
`)

// commitIdentifiedScript records the id of a message that the attempt under way
// has created, as commitSentScript does.
//
//	KEYS[1] the record
//	KEYS[2], KEYS[3] the message id's buckets
//	KEYS[4] the notifications that wait for the message id
//	KEYS[5] as KEYS[13] of commitSentScript, only there if replies are polled
//	ARGV[1] record TTL, ms
//	ARGV[2] token of the attempt
//	ARGV[3] the message's key, packed
//	ARGV[4] message id
//	ARGV[5] conversation id, may be empty
//	ARGV[6] queued at, ms
//	ARGV[7] when beginFirstScript began the attempt, ms: while that attempt is
//	        under way, the record is as that has left it. Empty for others
//	ARGV[8] what is taken over from the task, packed
//
// Result: the key, packed, that the message id was known to belong to, if
// another, else empty, behind parkedMark if notifications wait for the message id;
// or nil if the attempt is not under way, or any is in doubt.
var commitIdentifiedScript = redis.NewScript(`
local record = KEYS[1]
local first, packed, begun, f = ARGV[7] ~= '', ARGV[8], ARGV[7], nil
if first then
  f = redis.call('HMGET', record, 's', 't')
else
  f = redis.call('HMGET', record, 's', 't', 'us', 'pd', 'z', 'b')
  packed, begun = f[5], f[6]
end
if f[1] ~= 'sending' or f[2] ~= ARGV[2] or f[3] or f[4] or not packed then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = tonumber(ARGV[1])
` + indexFunc + `
-- varint is that of encoding/binary in Go.
local function varint(n)
  n = n < 0 and -2 * n - 1 or 2 * n
  local s = ''
  while n >= 128 do
    s = s .. string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  return s .. string.char(n)
end

local was = index(KEYS[2], KEYS[3], ARGV[4], ARGV[3])
if KEYS[5] and was ~= ARGV[3] then
` + pollFunc + `
poll(KEYS[5], ARGV[4])
end
if first then
  redis.call('HDEL', record, 't', 'u', 'b', 'w', 'a')
else
  redis.call('HDEL', record, 't', 'u', 'b', 'w', 'na', 'cs', 'ct', 'f', 'fs', 'er', 'nx')
end
redis.call('HSET', record, 's', 'sent', 'z', packed .. varint(now - ARGV[6]), 'id', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', record, 'cv', ARGV[5]) end
-- What begin gave it just now is as good.
if now - begun > ttl / 4096 then redis.call('PEXPIRE', record, ttl) end
local parked = redis.call('EXISTS', KEYS[4]) == 1 and '\2' or ''
if was and was ~= ARGV[3] then return parked .. was end
return parked
`)
