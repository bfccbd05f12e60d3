package ledger

import "github.com/redis/go-redis/v9"

// Every script has KEYS[1] the record and KEYS[2..7] the lists of the states
// in Listed, in that order, and ARGV[1] the message's key and ARGV[2] the
// record TTL in milliseconds. Their own KEYS and ARGV follow.
const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local lists = {waiting = KEYS[2], failed = KEYS[3], uncertain = KEYS[4],
  held = KEYS[5], expired = KEYS[6], cancelled = KEYS[7]}
local record, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])

-- enter writes the state, keeps the lists and starts the record's TTL anew.
local function enter(from, to)
  redis.call('HSET', record, 's', to)
  redis.call('PEXPIRE', record, ttl)
  if from and lists[from] and from ~= to then redis.call('ZREM', lists[from], id) end
  if lists[to] then
    redis.call('ZADD', lists[to], int(now), id)
    redis.call('ZREMRANGEBYSCORE', lists[to], '-inf', int(now - ttl))
  end
end
`

// createFunc writes what a record takes over from the task. It reads
// ARGV[3..8]: token of the enqueueing, digest, priority, queued at (ms),
// contacts (JSON), metadata (JSON or empty).
const createFunc = `
local function create()
  redis.call('HSET', record, 'e', ARGV[3], 'd', ARGV[4], 'q', ARGV[5], 'qa', ARGV[6], 'c', ARGV[7])
  if ARGV[8] ~= '' then redis.call('HSET', record, 'md', ARGV[8]) end
end
`

// beginScript is the only way to Sending.
//
//	ARGV[3..8]  as createFunc
//	ARGV[9]     token of the attempt
//	ARGV[10]    ms for which the attempt counts as under way
//	ARGV[11]    expires at, ms, 0 for never
//	ARGV[12]    the task's payload, kept if the message has expired
//	ARGV[13]    '1': an uncertain attempt was settled and may be repeated
//
// Result: {verdict, state, attempts, now, failing since, contact missing
// since, contact tries, failures, until}, times in ms.
var beginScript = redis.NewScript(prelude + createFunc + `
local f = redis.call('HMGET', record, 's', 'a', 't', 'u', 'e', 'fs', 'cs', 'ct', 'f')
local state, attempts = f[1], tonumber(f[2] or 0)
local function answer(verdict, s)
  return {verdict, s, int(attempts), int(now), f[6] or '0', f[7] or '0', f[8] or '0', f[9] or '0', f[4] or '0'}
end

if state == 'sending' and f[3] == ARGV[9] then return answer('begun', state) end
if state == 'sent' or state == 'replied' then return answer('refused', state) end
if state and f[5] ~= ARGV[3] then return answer('superseded', state) end
if state == 'cancelled' or state == 'held' or state == 'expired' then return answer('refused', state) end
if state == 'sending' then
  if now < tonumber(f[4]) then return answer('busy', state) end
  redis.call('HSET', record, 'er', '{"code":"worker_lost","message":"the worker ended in mid-request"}')
  -- A message that kills its workers must come to an end as well.
  if not f[6] then
    f[6] = int(now)
    redis.call('HSET', record, 'fs', f[6])
  end
  enter('sending', 'uncertain')
  return answer('uncertain', 'uncertain')
end
if state == 'uncertain' and ARGV[13] ~= '1' then return answer('uncertain', state) end

if not state then create() end
local expires = tonumber(ARGV[11])
if expires > 0 and now >= expires then
  redis.call('HSET', record, 'p', ARGV[12])
  redis.call('HDEL', record, 'na')
  -- What may have been created has not simply expired: a person has to look.
  local to = state == 'uncertain' and 'held' or 'expired'
  enter(state, to)
  return answer('refused', to)
end
attempts = attempts + 1
redis.call('HSET', record, 'a', int(attempts), 't', ARGV[9], 'u', int(now + tonumber(ARGV[10])))
if state == 'uncertain' then redis.call('HSET', record, 'pd', '1') end
if state == 'failed' then
  -- Run again by an operator: every deadline counts anew.
  redis.call('HDEL', record, 'cs', 'ct', 'f', 'fs')
  f[6], f[7], f[8], f[9] = '0', '0', '0', '0'
end
redis.call('HDEL', record, 'na', 'p')
enter(state, 'sending')
return answer('begun', 'sending')
`)

// commitSentScript records that a message exists. It is never refused: an
// attempt whose worker was thought dead may have created the message after
// all, and then nothing else matters.
//
//	KEYS[8]    the index entry of the message id (unused if ARGV[9] is empty)
//	ARGV[3..8] as createFunc, for a record that Redis has lost
//	ARGV[9]    message id, may be empty
//	ARGV[10]   conversation id, may be empty
//	ARGV[11]   error (JSON), may be empty
//
// Result: the state that was left.
var commitSentScript = redis.NewScript(prelude + createFunc + `
local f = redis.call('HMGET', record, 's', 'id')
local state, known = f[1], f[2]
if not state then create() end
if ARGV[9] ~= '' then
  redis.call('SET', KEYS[8], id, 'PX', int(ttl))
  if known and known ~= '' and known ~= ARGV[9] then
    -- A second copy was created: replies to either are matched.
    redis.call('HSET', record, 'pd', '1')
    return state
  end
  redis.call('HSET', record, 'id', ARGV[9])
end
if ARGV[10] ~= '' then redis.call('HSET', record, 'cv', ARGV[10]) end
if state == 'sent' or state == 'replied' then return state end
redis.call('HDEL', record, 't', 'u', 'na', 'p', 'cs', 'ct', 'f', 'fs', 'er')
if ARGV[11] ~= '' then redis.call('HSET', record, 'er', ARGV[11]) end
redis.call('HSET', record, 'sa', int(now))
enter(state, 'sent')
return state or ''
`)

// commitScript leaves Sending for a state other than Sent.
//
//	ARGV[3]  token of the attempt
//	ARGV[4]  the state to enter
//	ARGV[5]  error (JSON)
//	ARGV[6]  next attempt at, ms, 0 for none
//	ARGV[7]  contact missing since, ms, 0 for not
//	ARGV[8]  contact tries
//	ARGV[9]  failures
//	ARGV[10] failing since, ms, 0 for not
//	ARGV[11] the task's payload to keep, may be empty
//
// Result: {1 if committed, else 0, state}.
var commitScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't')
local state, to = f[1], ARGV[4]
if f[2] ~= ARGV[3] then return {0, state or ''} end
if state == to then return {1, state} end
-- An attempt that was given up for dead may still say what it did.
if state ~= 'sending' and state ~= 'uncertain' then return {0, state or ''} end
redis.call('HSET', record, 'er', ARGV[5])
local function put(name, value)
  if value == '0' or value == '' then redis.call('HDEL', record, name)
  else redis.call('HSET', record, name, value) end
end
put('na', ARGV[6]); put('cs', ARGV[7]); put('ct', ARGV[8]); put('f', ARGV[9]); put('fs', ARGV[10]); put('p', ARGV[11])
enter(state, to)
return {1, to}
`)

// abandonScript leaves Sending for Waiting where nothing was sent. All counts
// stay.
//
//	ARGV[3] token of the attempt
//
// Result: 1 if the attempt was under way, else 0.
var abandonScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 't')
if f[1] ~= 'sending' or f[2] ~= ARGV[3] then return 0 end
enter('sending', 'waiting')
return 1
`)

// holdScript leaves Uncertain for Held.
//
//	ARGV[3] attempts: the number of the attempt that was settled
//	ARGV[4] the task's payload
//
// Result: the state that stands then.
var holdScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'a')
if f[1] ~= 'uncertain' or f[2] ~= ARGV[3] then return f[1] or '' end
redis.call('HSET', record, 'p', ARGV[4])
redis.call('HDEL', record, 'na')
enter('uncertain', 'held')
return 'held'
`)

// cancelScript takes back a message that no attempt is or was under way for.
//
//	ARGV[3..8] as createFunc
//
// Result: the state that stands then.
var cancelScript = redis.NewScript(prelude + createFunc + `
local state = redis.call('HGET', record, 's')
if state and state ~= 'waiting' then return state end
if not state then create() end
redis.call('HDEL', record, 'na')
enter(state, 'cancelled')
return 'cancelled'
`)

// replyScript records a contact's reply and publishes its event, once for
// each part of a conversation.
//
//	KEYS[8]  the stream of events
//	KEYS[9]  the parts that were seen, each with the token of the call
//	ARGV[3]  conversation id
//	ARGV[4]  part id
//	ARGV[5]  event as it is if it is the first reply
//	ARGV[6]  event as it is if it is not
//	ARGV[7]  when the contact replied, ms
//	ARGV[8]  token of the call
//
// Result: 1 if the event was published, 0 if the part was seen before, -1 if
// there is no such record.
var replyScript = redis.NewScript(prelude + `
local f = redis.call('HMGET', record, 's', 'ra')
local state = f[1]
if state ~= 'sent' and state ~= 'replied' then return -1 end
if redis.call('HSETNX', KEYS[9], ARGV[4], ARGV[8]) == 0 then
  if redis.call('HGET', KEYS[9], ARGV[4]) == ARGV[8] then return 1 end
  return 0
end
redis.call('PEXPIRE', KEYS[9], ttl)
local event = ARGV[5]
if f[2] then event = ARGV[6] else redis.call('HSET', record, 'ra', ARGV[7]) end
redis.call('HSET', record, 'cv', ARGV[3])
enter(state, 'replied')
redis.call('XADD', KEYS[8], 'MINID', '~', int(now - ttl), '*', 'event', event)
return 1
`)
