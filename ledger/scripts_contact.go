package ledger

import "github.com/redis/go-redis/v9"

// What is known of a contact that Intercom does not know is a hash. It is there
// while the contact is missing, and for appearedFor after it has appeared. The
// times are in ms.
//
//	n   when the next probe is due; not there once the contact has appeared
//	u   until then a probe is under way
//	p   the token of that attempt
//	l   the last answer that it is missing
//	ct  how many such answers
//	er  the error of the last one, JSON
//	fin '1' if it will never be there again
//	al  when it has appeared
//
// Messages to a missing contact do not all ask Intercom: the one that begins when
// the next probe is due asks, and the others follow.

// followFunc decides about a message whose contact may be missing.
//
//	KEYS[11] what is known of the contact
//	KEYS[12] the messages that wait for it
//	ARGV[6], ARGV[7] as in beginScript
//	ARGV[9]  the task's payload
//	ARGV[13] ms for which the message waits for the contact, empty for a message
//	         that does not follow
//	ARGV[14] ms after the next probe at which a follower comes back
//	ARGV[15] the message as a member of KEYS[12]
//	ARGV[16] what to put in front of the error's message if the wait is over
//
// follow returns 'waiting', or 'failed' if the wait is over and an answer has
// shown since that the contact is still missing, and has written so. It returns
// 'probe' and the number of answers so far for a message that is to ask, and
// nothing where the contact is not known to be missing.
const followFunc = `
local function follow(state, since)
  local c = redis.call('HMGET', KEYS[11], 'n', 'u', 'l', 'ct', 'er', 'fin')
  if not c[1] then return nil end
  local next, busy, last = tonumber(c[1]), tonumber(c[2] or 0), tonumber(c[3] or 0)
  local ends = since + tonumber(ARGV[13])
  local over = now >= ends
  local failed = c[6] or over and last >= ends
  local waits = now < busy or (now < next and not over)
  if not failed and not waits then
    redis.call('HSET', KEYS[11], 'u', int(now + tonumber(ARGV[7])), 'p', ARGV[6])
    -- Who is asked for again after a long time may be new once more.
    return 'probe', now - last < 600000 and tonumber(c[4] or 0) or 0
  end
  if not state then create() end
  redis.call('HSET', record, 'er', c[5] or '', 'cs', int(since), 'p', ARGV[9])
  if failed then
    if not c[6] and c[5] then
      local e = cjson.decode(c[5])
      e.message = ARGV[16] .. (e.message or '')
      redis.call('HSET', record, 'er', cjson.encode(e))
    end
    redis.call('HSET', record, 't', ARGV[6]) -- By which a repeat is recognised.
    redis.call('HDEL', record, 'na')
    redis.call('ZREM', KEYS[12], ARGV[15])
    enter(state, 'failed')
    return 'failed'
  end
  local back = math.max(next, busy) + tonumber(ARGV[14])
  if back > ends then back = math.max(ends, now + 1000) end
  redis.call('HSET', record, 'na', int(back))
  redis.call('ZADD', KEYS[12], 'NX', int(now), ARGV[15])
  redis.call('PEXPIRE', KEYS[12], ttl)
  enter(state, 'waiting')
  return 'waiting'
end
`

// noteContactFunc notes what an answer says about a contact.
//
//	KEYS[11]    what is known of the contact; the record once more for a message
//	            that has several
//	KEYS[12...] the messages that wait for each of the message's contacts
//	ARGV[5]     the answer's error (JSON)
//	ARGV[6]     next attempt at, ms, 0 for none
//	ARGV[8]     contact tries
//	ARGV[12]    'missing' if the answer says that a contact is missing, 'probe' if
//	            it says nothing about that and the attempt was a probe, or empty
//	ARGV[13]    the message as a member of KEYS[12]
const noteContactFunc = `
local function noteContact(to, begun)
  if ARGV[12] == '' then return end
  local contact = KEYS[11] ~= record and KEYS[11]
  if ARGV[12] == 'probe' then
    if redis.call('HEXISTS', contact, 'n') == 1 then redis.call('HSET', contact, 'u', '0', 'n', int(now)) end
    return
  end
  for i = 12, #KEYS do
    if to == 'waiting' then
      redis.call('ZADD', KEYS[i], 'NX', int(now), ARGV[13])
      redis.call('PEXPIRE', KEYS[i], ttl)
    else
      redis.call('ZREM', KEYS[i], ARGV[13])
    end
  end
  if not contact then return end
  local next = ARGV[6]
  -- An answer from before the contact has appeared is no reason to wait.
  if next == '0' or tonumber(redis.call('HGET', contact, 'al') or 0) >= begun then next = int(now) end
  redis.call('HDEL', contact, 'al')
  redis.call('HSET', contact, 'n', next, 'u', '0', 'l', int(now), 'ct', ARGV[8], 'er', ARGV[5])
  redis.call('PEXPIRE', contact, ttl)
end
`

// appearedScript forgets that a contact is missing.
//
//	KEYS[1] what is known of the contact
//	KEYS[2] the messages that wait for it
//	ARGV[1] ms for which it is remembered that it has appeared
//
// Result: the messages that wait for it, the first to wait first. A repeat returns
// none: those come back by themselves.
var appearedScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1], KEYS[2]) == 0 then return {} end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'al', now)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
local waiting = redis.call('ZRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
return waiting
`)

// explainScript says better why the contact of an attempt is missing.
//
//	KEYS[11] what is known of the contact, or the record once more
//	ARGV[3]  token of the attempt
//	ARGV[4]  error (JSON)
//	ARGV[5]  'contact' if the contact will never be there again, 'message' if only
//	         this message will never be sent, or empty
//
// Result: the state that stands then, or empty if the attempt is not the last one.
var explainScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't')
if f[2] ~= ARGV[3] or (f[1] ~= 'waiting' and f[1] ~= 'failed') then return '' end
redis.call('HSET', record, 'er', ARGV[4])
if KEYS[11] ~= record and ARGV[5] ~= 'message' and redis.call('HEXISTS', KEYS[11], 'n') == 1 then
  redis.call('HSET', KEYS[11], 'er', ARGV[4])
  if ARGV[5] == 'contact' then redis.call('HSET', KEYS[11], 'fin', '1') end
end
if ARGV[5] ~= '' and f[1] == 'waiting' then
  redis.call('HDEL', record, 'na')
  enter('waiting', 'failed')
  return 'failed'
end
return f[1]
`)

// mergedScript notes that a contact was merged into another one, as were those
// that had been merged into it before.
//
//	KEYS[1] what became of the contact
//	KEYS[2] the contacts that were merged into the other one
//	KEYS[3] the contacts that were merged into this one
//	ARGV[1] the contact
//	ARGV[2] what became of it
//	ARGV[3] ms for which it is remembered
//
// Result: 1.
var mergedScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
for _, earlier in ipairs(redis.call('SMEMBERS', KEYS[3])) do redis.call('SADD', KEYS[2], earlier) end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
`)
