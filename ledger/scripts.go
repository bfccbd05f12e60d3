package ledger

import "github.com/redis/go-redis/v9"

// Every script has the same first keys: KEYS[1] the record, KEYS[2..8] the
// lists of the states in Listed, in that order, KEYS[9] the unsettled messages
// to the first contact of the message, KEYS[10] the workers that are there.
// ARGV[1] is the message's key and ARGV[2] the record TTL in milliseconds.
// Their own KEYS and ARGV follow.
const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local lists = {waiting = KEYS[2], failed = KEYS[3], uncertain = KEYS[4],
  held = KEYS[5], expired = KEYS[6], cancelled = KEYS[7]}
local unidentified, unsettled, workers = KEYS[8], KEYS[9], KEYS[10]
local record, id, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])

local function list(key)
  redis.call('ZADD', key, int(now), id)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', int(now - ttl))
end

-- enter writes the state, keeps the lists and starts the record's TTL anew.
local function enter(from, to)
  redis.call('HSET', record, 's', to)
  redis.call('PEXPIRE', record, ttl)
  if from and lists[from] and from ~= to then redis.call('ZREM', lists[from], id) end
  if lists[to] then list(lists[to]) end
end

-- unsettle remembers that an attempt may have created the message, and since
-- when such attempts were made, for whoever finds the message in Intercom.
local function unsettle(payload)
  redis.call('HSET', record, 'ua', int(now), 'p', payload)
  local f = redis.call('HMGET', record, 'b', 'a')
  redis.call('HSETNX', record, 'us', f[1] or int(now))
  redis.call('HSETNX', record, 'un', f[2] or '0')
  redis.call('SADD', unsettled, id)
  redis.call('PEXPIRE', unsettled, ttl)
end

-- settled forgets it: what every attempt has done is known.
local function settled()
  redis.call('HDEL', record, 'us', 'un', 'ua', 'p')
  redis.call('SREM', unsettled, id)
end
`

// createFunc writes what a record takes over from the task. It reads
// ARGV[3..5]: token of the enqueueing, digest, and the rest, packed.
const createFunc = `
local function create()
  redis.call('HSET', record, 'e', ARGV[3], 'd', ARGV[4], 'z', ARGV[5])
end
`

// beginScript is the only way to Sending.
//
//	ARGV[3..5]  as createFunc
//	ARGV[6]     token of the attempt
//	ARGV[7]     ms for which the attempt counts as under way, where nothing
//	            is known of its worker
//	ARGV[8]     expires at, ms, 0 for never
//	ARGV[9]     the task's payload, kept if the message has expired
//	ARGV[10]    the number of an uncertain attempt that was settled and may be
//	            repeated, or empty
//	ARGV[11]    the worker, a field of KEYS[10], may be empty
//	ARGV[12]    the number of an attempt that its worker, which is there, does
//	            not have in hand, or empty
//	KEYS[11], KEYS[12] and ARGV[13..16] as followFunc
//
// Result: {verdict, state, attempts, now, failing since, contact missing
// since, contact tries, failures, until, unsettled since, uncertain at,
// message id, worker, next attempt at, '1' for a probe}, times in ms.
var beginScript = redis.NewScript(prelude + createFunc + followFunc + `
local f = redis.call('HMGET', record, 's', 'a', 't', 'u', 'e', 'fs', 'cs', 'ct', 'f', 'w', 'nx', 'id', 'z')
local state, attempts, owner = f[1], tonumber(f[2] or 0), f[10]
local probe = ''
-- A record that was written anew as sent leaves out that it took one attempt.
if not f[2] and (state == 'sent' or state == 'replied') and f[13] then attempts = 1 end
local function answer(verdict, s)
  local since = redis.call('HMGET', record, 'us', 'ua')
  return {verdict, s, int(attempts), int(now), f[6] or '0', f[7] or '0', f[8] or '0', f[9] or '0', f[4] or '0',
    since[1] or '0', since[2] or '0', f[12] or '', owner or '', redis.call('HGET', record, 'na') or '0', probe}
end

if f[3] == ARGV[6] and state == 'sending' then
  if KEYS[11] ~= record and redis.call('HGET', KEYS[11], 'p') == ARGV[6] then probe = '1' end
  return answer('begun', state)
end
if f[3] == ARGV[6] and state == 'failed' then return answer('refused', state) end
if state == 'sent' or state == 'replied' then return answer('refused', state) end
if state and f[5] ~= ARGV[3] then return answer('superseded', state) end
if state == 'cancelled' or state == 'held' or state == 'expired' then return answer('refused', state) end
if state == 'sending' then
  -- A worker that is there holds on to its attempt, however long Redis was
  -- away. Of others the lease decides.
  local there = owner and f[2] ~= ARGV[12] and redis.call('HEXISTS', workers, owner) == 1
  if there or (not owner and now < tonumber(f[4])) then return answer('busy', state) end
  redis.call('HSET', record, 'er', '{"code":"worker_lost","message":"the worker ended in mid-request"}')
  -- A message that kills its workers must come to an end as well.
  if not f[6] then
    f[6] = int(now)
    redis.call('HSET', record, 'fs', f[6])
  end
  unsettle(ARGV[9])
  enter('sending', 'uncertain')
  return answer('uncertain', 'uncertain')
end
if state == 'uncertain' and ARGV[10] ~= f[2] then return answer('uncertain', state) end

if not state then create() end
local expires = tonumber(ARGV[8])
if expires > 0 and now >= expires and not f[11] then
  redis.call('HSET', record, 'p', ARGV[9])
  redis.call('HDEL', record, 'na')
  -- What may have been created has not simply expired: a person has to look,
  -- also where a later attempt is known to have failed. Once reopened, it does
  -- not expire again.
  local to = 'expired'
  if redis.call('HEXISTS', record, 'us') == 1 then
    to = 'held'
    redis.call('HSET', record, 'nx', '1')
  end
  enter(state, to)
  return answer('refused', to)
end
if ARGV[13] ~= '' and (not state or state == 'waiting') then
  local followed, tries = follow(state, tonumber(f[7] or now))
  if followed == 'failed' then return answer('refused', 'failed') end
  if followed == 'waiting' then
    f[7] = redis.call('HGET', record, 'cs')
    return answer('follow', 'waiting')
  end
  if followed == 'probe' then
    probe = '1'
    if tries > tonumber(f[8] or 0) then
      f[8] = int(tries)
      redis.call('HSET', record, 'ct', f[8])
    end
  end
end
attempts = attempts + 1
f[4] = int(now + tonumber(ARGV[7]))
redis.call('HSET', record, 'a', int(attempts), 't', ARGV[6], 'u', f[4], 'b', int(now))
if ARGV[11] ~= '' then redis.call('HSET', record, 'w', ARGV[11]) else redis.call('HDEL', record, 'w') end
if state == 'uncertain' then redis.call('HSET', record, 'pd', '1') end
if state == 'failed' then
  -- Run again by an operator: every deadline counts anew.
  redis.call('HDEL', record, 'cs', 'ct', 'f', 'fs')
  f[6], f[7], f[8], f[9] = '0', '0', '0', '0'
end
redis.call('HDEL', record, 'na')
-- An earlier attempt that is not settled is still looked for by the text.
if redis.call('HEXISTS', record, 'us') == 0 then redis.call('HDEL', record, 'p') end
enter(state, 'sending')
return answer('begun', 'sending')
`)
