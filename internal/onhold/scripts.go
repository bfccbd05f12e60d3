package onhold

import "github.com/redis/go-redis/v9"

// The hold is a hash that is there while the workspace is on hold:
//
//	id          names the hold, random
//	phase       'held' or 'trial'
//	round       counts from 1 the refused answers that made it 'held'
//	since       ms: when it began
//	reason      JSON of ledger.Error
//	probes      how many were begun
//	wait        ms: wait before the next probe
//	next_probe  ms: when a process may begin one
//	prober      token of the probe under way
//	owner       token of the message that is tried
//	until       ms: until then no other may be
//	paused:Q    the round for which the queue Q was paused
//
// Every script has KEYS[1] the hold and KEYS[2] the id of the last hold that
// ended. Each returns {verdict, now in ms, the hold afterwards as HGETALL}.
const prelude = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(n) return string.format('%.0f', n) end
local hold, ended = KEYS[1], KEYS[2]
local f = redis.call('HMGET', hold, 'id', 'phase', 'round', 'wait', 'next_probe', 'prober', 'owner', 'until')
local id, phase, round, wait, prober, owner = f[1], f[2], f[3], tonumber(f[4] or 0), f[6], f[7]
local due, untilms = tonumber(f[5] or 0), tonumber(f[8] or 0)
local function answer(verdict) return {verdict, int(now), redis.call('HGETALL', hold)} end
`

var readScript = redis.NewScript(prelude + `return answer('')`)

// blockScript makes the workspace held after a refused answer. Only the answer
// to the message that is tried ends a trial: others were asked for before it.
//
//	ARGV[1]    id of the hold if it begins here
//	ARGV[2]    reason
//	ARGV[3,4]  id and round of the trial that was refused, empty if none was
//	ARGV[5,6]  first and longest wait, ms
var blockScript = redis.NewScript(prelude + `
if not id then
  -- Neither a repeat of the call nor a trial of the hold that is over must
  -- begin it again.
  local last = redis.call('GET', ended)
  if last and (last == ARGV[1] or last == ARGV[3]) then return answer('') end
  redis.call('HSET', hold, 'id', ARGV[1], 'phase', 'held', 'round', '1', 'since', int(now), 'reason', ARGV[2],
    'probes', '0', 'wait', ARGV[5], 'next_probe', int(now + tonumber(ARGV[5])))
elseif phase == 'trial' and id == ARGV[3] and round == ARGV[4] then
  wait = math.max(wait, math.min(2 * wait, tonumber(ARGV[6])))
  redis.call('HSET', hold, 'phase', 'held', 'round', int(tonumber(round) + 1), 'reason', ARGV[2],
    'wait', int(wait), 'next_probe', int(now + wait))
  redis.call('HDEL', hold, 'prober', 'owner', 'until')
end
return answer('')`)

// turnScript hands out a due probe, with the verdict 'yes'.
//
//	ARGV[1,2]  id and round of the hold
//	ARGV[3]    token of the probe
//	ARGV[4]    ms after which a probe of which nothing is heard is given up
var turnScript = redis.NewScript(prelude + `
if id ~= ARGV[1] or round ~= ARGV[2] or phase ~= 'held' then return answer('no') end
if prober == ARGV[3] then return answer('yes') end
if now < due then return answer('no') end
redis.call('HINCRBY', hold, 'probes', 1)
redis.call('HSET', hold, 'prober', ARGV[3], 'next_probe', int(now + tonumber(ARGV[4])))
return answer('yes')`)

// probedScript ends a probe.
//
//	ARGV[1]   token of the probe
//	ARGV[2]   '1' if it succeeded
//	ARGV[3-]  the waits, ms, rising
var probedScript = redis.NewScript(prelude + `
if phase ~= 'held' or prober ~= ARGV[1] then return answer('') end
redis.call('HDEL', hold, 'prober')
if ARGV[2] == '1' then
  redis.call('HSET', hold, 'phase', 'trial')
  redis.call('HDEL', hold, 'next_probe')
  return answer('')
end
for i = 3, #ARGV do
  if tonumber(ARGV[i]) > wait then wait = tonumber(ARGV[i]) break end
end
redis.call('HSET', hold, 'wait', int(wait), 'next_probe', int(now + wait))
return answer('')`)

// tryScript takes the one place of the trial, with the verdict 'yes'.
//
//	ARGV[1,2]  id and round of the trial
//	ARGV[3]    token of the attempt
//	ARGV[4]    lease, ms
var tryScript = redis.NewScript(prelude + `
if id ~= ARGV[1] or round ~= ARGV[2] or phase ~= 'trial' then return answer('no') end
if owner == ARGV[3] then return answer('yes') end
if owner and now < untilms then return answer('no') end
redis.call('HSET', hold, 'owner', ARGV[3], 'until', int(now + tonumber(ARGV[4])))
return answer('yes')`)

// cancelScript gives the place of the trial back.
//
//	ARGV[1]  token of the attempt
var cancelScript = redis.NewScript(prelude + `
if owner == ARGV[1] then redis.call('HDEL', hold, 'owner', 'until') end
return answer('')`)

// endScript ends the hold after a trial. An answer that came after the lease
// counts too, unless another trial of the same round was refused.
//
//	ARGV[1,2]  id and round of the trial
//	ARGV[3]    how long the id is remembered, s
var endScript = redis.NewScript(prelude + `
if id == ARGV[1] and round == ARGV[2] and phase == 'trial' then
  redis.call('DEL', hold)
  redis.call('SET', ended, id, 'EX', ARGV[3])
end
return answer('')`)

// markScript remembers that queues were paused for a round.
//
//	ARGV[1,2]  id and round of the hold
//	ARGV[3-]   the queues
var markScript = redis.NewScript(prelude + `
if id == ARGV[1] and round == ARGV[2] and phase == 'held' then
  for i = 3, #ARGV do redis.call('HSET', hold, 'paused:' .. ARGV[i], round) end
end
return answer('')`)

// pauseScript pauses a queue for asynq, unless it is paused by somebody else.
// A pause of this project's that is there is taken over.
//
//	KEYS[1]  asynq's key
//	ARGV[1]  its value
//	ARGV[2]  the prefix of this project's values
var pauseScript = redis.NewScript(`
local v = redis.call('GET', KEYS[1])
if not v or string.sub(v, 1, #ARGV[2]) == ARGV[2] then redis.call('SET', KEYS[1], ARGV[1]) end
return 0`)

// replaceScript changes or ends a pause that still has the value it was seen
// with.
//
//	KEYS[1]  asynq's key
//	ARGV[1]  the value seen
//	ARGV[2]  the new value, empty to resume the queue
var replaceScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1`)
